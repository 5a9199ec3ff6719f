"""Convolutional network of one-bit weights and activations."""

from collections.abc import Iterable
from numbers import Integral

from sklearn.utils._param_validation import Interval, StrOptions

from skbnn.estimators._base import NetworkClassifier
from skbnn.estimators._validation import image_shape_of, positive_sizes
from skbnn.packed import ImageLayout

__all__ = ["BinaryCNNClassifier"]


class BinaryCNNClassifier(NetworkClassifier):
    """Convolutional network whose weights, activations and inputs are bits.

    Pixels become thermometer bits, the same for all places. Each layer counts, at every place of
    the image, how many bits of the window around it agree with a unit's one-bit weights; takes
    the greatest count of each pool of places; batch-normalises it and keeps its sign. The last
    layer turns counts into logits by a scale and a shift per class. Fitted, a convolution is XOR,
    popcount and one integer comparison per place and unit, read where the image lies in memory,
    and pooling is OR or AND on words.

    Rows are images, line by line, pixel by pixel, channel by channel; rows that are no images are
    signals of one line, so that any number of features will do.

    Parameters
    ----------
    channels : int or array-like of int, default=(32, 64)
        Units of each convolution layer.
    kernel_size : int, default=3
        Height and width of the windows, odd. Images are padded to keep their size.
    stride : int or array-like of int, default=1
        Step of the windows of each layer, or one for each layer: 2 looks at every second place of
        every second line. With ``residual``, it divides height and width.
    pool_size : int or array-like of int, default=2
        Height and width of the max-pool behind each layer, or one for each layer: with
        ``channels=(48, 48, 96, 96)``, ``(1, 2, 1, 2)`` pools behind every second. Lines and
        columns that fill no pool are left out; no pool is larger than its image.
    hidden_layer_sizes : int or array-like of int, default=()
        Units of each dense hidden layer behind the convolutions.
    padding_value : {-1, 0, 1}, default=-1
        What pads images of bits: a bit, or zero, exactly. Real activations are padded with zero.
    residual : bool, default=False
        Whether a stream of integers is led around every layer but the first: each layer reads its
        signs and adds its counts to it. For networks of more than a few layers.
    image_shape : tuple of int, default=None
        ``(height, width)`` or ``(height, width, channels)`` of the rows. None is a square where
        the number of features is one, else a signal of one line.
    space_to_depth : int or "auto", default="auto"
        Side of the squares of pixels whose bits become one pixel of the first layer: fewer
        places, which trains and predicts faster. It divides height and width. "auto" is 2 for
        images of even sides of 16 pixels and more, else 1.
    technique : str or Technique, default="bnn"
        How the network is binarized; see :func:`skbnn.techniques.list_techniques`. ``"float"``
        is the control: same topology and budget, batch norm and ReLU, nothing quantized.
    n_thresholds : int, default=7
        Input bits per pixel and channel, at quantiles of the channel's distinct values. All places
        share them, hence more than the 3 of :class:`BinaryMLPClassifier`. Techniques with real
        activations standardise each channel instead.
    encoding : {"thermometer", "planes"}, default="thermometer"
        The input bits: thermometer bits, or the eight binary digits of whole numbers from 0 to
        255, which a weight multiplies together: exact, with one weight a pixel and channel, and
        eight products. Techniques with real activations ignore it.
    max_iter : int, default=15
        Epochs, of all stages of the technique together. The learning rate falls over those of each
        stage, as the technique's ``schedule`` says.
    batch_size : int or "auto", default="auto"
        Rows per update, at least 2; "auto" is a twentieth of the distinct rows, 16 to 256.
    learning_rate_init : float, default=None
        Initial learning rate, of the last stage; None is the technique's recipe.
    alpha : float, default=0.0
        Strength of the technique's regularizer on the latent weights, as in scikit-learn's
        networks divided by the batch size.
    input_dropout : float, default=None
        Fraction of the inputs dropped in training; None is the technique's recipe.
    hidden_dropout : float, default=None
        Fraction of the results of each hidden layer dropped in training; None is the technique's
        recipe.
    early_stopping : bool, default=False
        Whether to set a validation part aside, stop when its accuracy no longer grows and keep
        the best weights.
    validation_fraction : float, default=0.1
        Size of that part.
    n_iter_no_change : int, default=10
        Epochs without growth before training stops.
    tol : float, default=1e-4
        What counts as growth.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the weights and input bits of the fit before; parameters that
        shape them must not have changed.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights, order of rows and dropout.
    n_jobs : int, default=None
        Threads that share the rows in predictions; -1 for one on each core.
    device : str, default="cpu"
        Where to train, as torch names it, or ``"accelerate"`` for the processes and devices that
        ``accelerate launch`` has started: see the user guide, *From one core to a cluster*.
    checkpoint : str or path-like, default=None
        File from which ``fit`` goes on after it was interrupted or killed. It is replaced after
        every epoch and removed when the fit has ended.
    verbose : bool or int, default=False
        Whether to print a line for each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    packed_ : PackedModel
        The fitted network as packed bits: predicts without validation in microseconds, saves,
        needs neither torch nor scikit-learn.
    state_ : dict of str to ndarray
        Latent weights, normaliser parameters and running statistics, float32, from which
        ``warm_start``, ``partial_fit`` and ``to_torch`` go on.
    technique_ : Technique
        The technique of the fit.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had string column names.
    n_iter_ : int
        Epochs run.
    loss_curve_ : list of float
        Training loss of each epoch.
    flip_ratios_ : list of float
        Share of the latent weights that changed their sign in each epoch.
    validation_scores_, best_validation_score_ : list of float, float
        Accuracies on the validation part, with ``early_stopping``.

    See Also
    --------
    BinaryMLPClassifier : Dense layers, for rows without neighbourhoods.

    Notes
    -----
    Rows that are equal once encoded, and of the same class, are merged and their weights added
    before training, so that a weight of 2 is exactly a row given twice.

    References
    ----------
    .. [1] Courbariaux et al., "Binarized Neural Networks", NIPS 2016, arXiv 1602.02830.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from skbnn import BinaryCNNClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> clf = BinaryCNNClassifier(max_iter=5, random_state=0).fit(X_train, y_train)
    >>> bool(clf.score(X_test, y_test) > 0.9)
    True
    """

    _builder = "conv_network"
    _family = "cnn"

    _parameter_constraints = {
        **NetworkClassifier._parameter_constraints,
        "channels": ["array-like", Integral],
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
        "stride": ["array-like", Interval(Integral, 1, None, closed="left")],
        "pool_size": ["array-like", Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", Integral],
        "padding_value": [Interval(Integral, -1, 1, closed="both")],
        "residual": ["boolean"],
        "image_shape": ["array-like", None],
        "space_to_depth": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        channels=(32, 64),
        *,
        kernel_size=3,
        stride=1,
        pool_size=2,
        hidden_layer_sizes=(),
        padding_value=-1,
        residual=False,
        image_shape=None,
        space_to_depth="auto",
        technique="bnn",
        n_thresholds=7,
        encoding="thermometer",
        max_iter=15,
        batch_size="auto",
        learning_rate_init=None,
        alpha=0.0,
        input_dropout=None,
        hidden_dropout=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        class_weight=None,
        warm_start=False,
        random_state=None,
        n_jobs=None,
        device="cpu",
        checkpoint=None,
        verbose=False,
    ):
        self.channels = channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.pool_size = pool_size
        self.hidden_layer_sizes = hidden_layer_sizes
        self.padding_value = padding_value
        self.residual = residual
        self.image_shape = image_shape
        self.space_to_depth = space_to_depth
        self.technique = technique
        self.n_thresholds = n_thresholds
        self.encoding = encoding
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.alpha = alpha
        self.input_dropout = input_dropout
        self.hidden_dropout = hidden_dropout
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.device = device
        self.checkpoint = checkpoint
        self.verbose = verbose

    def _topology(self, n_features):
        channels = positive_sizes("channels", self.channels)
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}.")
        return {
            "channels": channels,
            "kernel_size": int(self.kernel_size),
            "strides": self._of_each_layer("stride", len(channels)),
            "pool_sizes": self._of_each_layer("pool_size", len(channels)),
            "padding_value": int(self.padding_value),
            "residual": bool(self.residual),
            "hidden_layer_sizes": positive_sizes("hidden_layer_sizes", self.hidden_layer_sizes),
        }

    def _of_each_layer(self, name, n_layers):
        """Return one number for each convolution layer, where a parameter may be one for all."""
        value = getattr(self, name)
        sizes = value if isinstance(value, Iterable) else (value,) * n_layers
        sizes = positive_sizes(name, sizes)
        if len(sizes) != n_layers:
            raise ValueError(f"{name} has {len(sizes)} entries for {n_layers} layers of channels.")
        return sizes

    def _layout(self, n_features):
        shape = image_shape_of(self.image_shape, n_features) or (1, n_features, 1)
        block = self.space_to_depth
        if block == "auto":
            is_large = min(shape[:2]) >= 16 and not any(size % 2 for size in shape[:2])
            block = 2 if is_large else 1
        if any(size % block for size in shape[:2]):
            raise ValueError(
                f"space_to_depth={block} must divide height and width of images of {shape[:2]}."
            )
        return ImageLayout(shape, int(block))
