"""Multi-layer perceptron of one-bit weights and activations."""

from numbers import Integral

from skbnn.estimators._base import NetworkClassifier
from skbnn.estimators._validation import positive_sizes

__all__ = ["BinaryMLPClassifier"]


class BinaryMLPClassifier(NetworkClassifier):
    """Multi-layer perceptron whose weights, activations and inputs are bits.

    Rows become thermometer bits; each hidden unit counts how many inputs agree with its one-bit
    weights, batch-normalises the count and keeps its sign; the last layer turns counts into
    logits by a scale and a shift per class. Training keeps real *latent* weights behind the bits
    and passes gradients through sign by a surrogate. Fitted, every layer but the last is XOR,
    popcount and one integer comparison per unit.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(256, 256)
        Units of each hidden layer.
    technique : str or Technique, default="bnn"
        How the network is binarized; see :func:`skbnn.techniques.list_techniques`. ``"float"``
        is the control: same topology and budget, batch norm and ReLU, nothing quantized.
    n_thresholds : int, default=3
        Input bits per feature, at quantiles of the feature's distinct values; features with
        fewer distinct values get fewer bits, constant ones none. Techniques with real
        activations standardise the inputs instead.
    encoding : {"thermometer", "planes"}, default="thermometer"
        The input bits: thermometer bits, or the eight binary digits of whole numbers from 0 to
        255, which a weight multiplies together: exact, with one weight a number, and eight
        products. Techniques with real activations ignore it.
    max_iter : int, default=30
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
        Fraction of the hidden units dropped in training; None is the technique's recipe.
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
    BinaryLogisticRegression : Without hidden layers.
    sklearn.neural_network.MLPClassifier : The classic, in float.

    Notes
    -----
    Rows that are equal once encoded, and of the same class, are merged and their weights added
    before training, so that a weight of 2 is exactly a row given twice.

    References
    ----------
    .. [1] Courbariaux et al., "Binarized Neural Networks", NIPS 2016, arXiv 1602.02830.
    .. [2] Kim and Smaragdis, "Bitwise Neural Networks", 2016, arXiv 1601.06071.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from skbnn import BinaryMLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> clf = BinaryMLPClassifier(random_state=0).fit(X_train, y_train)
    >>> bool(clf.score(X_test, y_test) > 0.95)
    True
    """

    _builder = "dense_network"
    _family = "mlp"

    _parameter_constraints = {
        **NetworkClassifier._parameter_constraints,
        "hidden_layer_sizes": ["array-like", Integral],
    }

    def __init__(
        self,
        hidden_layer_sizes=(256, 256),
        *,
        technique="bnn",
        n_thresholds=3,
        encoding="thermometer",
        max_iter=30,
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
        self.hidden_layer_sizes = hidden_layer_sizes
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
        return {"hidden_layer_sizes": positive_sizes("hidden_layer_sizes", self.hidden_layer_sizes)}
