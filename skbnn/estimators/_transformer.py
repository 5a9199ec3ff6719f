"""Transformer of one-bit weights and activations."""

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions

from skbnn.estimators._base import NetworkClassifier
from skbnn.estimators._validation import image_shape_of, positive_sizes

__all__ = ["BinaryTransformerClassifier"]

_TOKENS_A_SIDE = 4
_TOKENS_A_ROW = 16


class BinaryTransformerClassifier(NetworkClassifier):
    """Transformer whose weights, activations and attention are bits.

    Rows become thermometer bits, shared out to tokens: patches of an image, or runs of features.
    Each token has a stream of ``d_model`` integers. Every layer reads it as bits, lets each token
    attend to others, 0 or 1, by how many bits of its query agree with their keys, and adds integer
    sums to the stream; then it does the same through a layer of hidden bits. The bits of the last
    stream of all tokens go to the classes. Fitted, scores, attention and projections are XOR, AND
    and popcount, everything else shifts, additions and comparisons of integers: at predict there
    is no softmax and no product of floats.

    Parameters
    ----------
    d_model : int, default=128
        Width of the stream.
    n_layers : int, default=2
        Layers, each of attention and a feed-forward part.
    n_heads : int, default=4
        Heads of attention; they divide ``d_model``.
    mlp_ratio : float, default=2
        Hidden units of the feed-forward part for each number of the stream.
    patch_size : int or tuple of two ints, default=None
        Height and width of the patches of an image, or features of a token otherwise. They need
        not divide what they cut. None makes at most 4 x 4 tokens of an image and at most 16
        of other rows.
    image_shape : tuple of int, default=None
        ``(height, width)`` or ``(height, width, channels)`` of the rows, line by line, pixel by
        pixel, channel by channel. None is a square where the number of features is one; else
        tokens are runs of features, constant ones left out.
    attention : {"threshold", "row-max", "softmax"}, default="threshold"
        Which tokens a token attends to. ``"threshold"``: those whose score reaches a learned
        number, one for each head. ``"row-max"``: those whose score is within a learned margin of
        the best. ``"softmax"``: those with a learned share of the softmax, which takes a table of
        integer exponentials at predict. Techniques with real activations have ordinary softmax.
    technique : str or Technique, default="bnn"
        How the network is binarized; see :func:`skbnn.techniques.list_techniques`. ``"float"``
        is the control: same topology and budget, softmax and ReLU, nothing quantized.
    n_thresholds : int, default=7
        Input bits per feature, at quantiles of the feature's distinct values; features with fewer
        distinct values get fewer bits, constant ones none. More than the 3 of
        :class:`BinaryMLPClassifier`, because a token sees few features. Techniques with real
        activations standardise the inputs instead.
    encoding : {"thermometer", "planes"}, default="thermometer"
        The input bits: thermometer bits, or the eight binary digits of whole numbers from 0 to
        255, which a weight multiplies together: exact, with one weight a number, and eight
        products. Techniques with real activations ignore it.
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
        Fraction of what the last layer reads dropped in training; None is the technique's recipe.
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
    BinaryCNNClassifier : Convolutions, for images.
    BinaryMLPClassifier : Dense layers.

    Notes
    -----
    Rows that are equal once encoded, and of the same class, are merged and their weights added
    before training, so that a weight of 2 is exactly a row given twice.

    References
    ----------
    .. [1] Qin et al., "BiBERT: Accurate Fully Binarized BERT", ICLR 2022, arXiv 2203.06390.
    .. [2] Liu et al., "BiT: Robustly Binarized Multi-distilled Transformer", NeurIPS 2022,
       arXiv 2205.13016.
    .. [3] He et al., "BiViT: Extremely Compressed Binary Vision Transformers", ICCV 2023,
       arXiv 2211.07091.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from skbnn import BinaryTransformerClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> clf = BinaryTransformerClassifier(64, max_iter=8, random_state=0).fit(X_train, y_train)
    >>> bool(clf.score(X_test, y_test) > 0.9)
    True
    """

    _builder = "transformer_network"
    _family = "transformer"

    _parameter_constraints = {
        **NetworkClassifier._parameter_constraints,
        "d_model": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "mlp_ratio": [Interval(Real, 0, None, closed="neither")],
        "patch_size": [Interval(Integral, 1, None, closed="left"), "array-like", None],
        "image_shape": ["array-like", None],
        "attention": [StrOptions({"threshold", "row-max", "softmax"}), callable],
    }

    def __init__(
        self,
        d_model=128,
        *,
        n_layers=2,
        n_heads=4,
        mlp_ratio=2,
        patch_size=None,
        image_shape=None,
        attention="threshold",
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
        self.d_model = d_model
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.mlp_ratio = mlp_ratio
        self.patch_size = patch_size
        self.image_shape = image_shape
        self.attention = attention
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
        if self.d_model % self.n_heads:
            raise ValueError(f"n_heads={self.n_heads} must divide d_model={self.d_model}.")
        shape = image_shape_of(self.image_shape, n_features)
        patch = self.patch_size
        if patch is None:
            patch = _patch_of(shape, n_features)
        patch = positive_sizes("patch_size", patch)
        if len(patch) == 1:
            patch = (1, *patch) if shape is None else patch * 2
        if len(patch) != 2:
            raise ValueError(f"patch_size must be one or two numbers, got {self.patch_size}.")
        if shape is None and patch[0] != 1:
            raise ValueError(
                f"patch_size={self.patch_size} is that of images. Pass image_shape, or the number "
                "of features of a token as patch_size."
            )
        return {
            "d_model": int(self.d_model),
            "n_layers": int(self.n_layers),
            "n_heads": int(self.n_heads),
            "mlp_ratio": float(self.mlp_ratio),
            "image_shape": shape,
            "patch_size": patch,
            "attention": self.attention,
        }


def _patch_of(shape, n_features):
    """Return the size of patches that makes few enough tokens."""
    if shape is None:
        return -(-n_features // _TOKENS_A_ROW)
    return tuple(-(-size // _TOKENS_A_SIDE) for size in shape[:2])
