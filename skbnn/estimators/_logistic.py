"""Multinomial logistic regression with one-bit weights."""

from skbnn.estimators._base import NetworkClassifier

__all__ = ["BinaryLogisticRegression"]


class BinaryLogisticRegression(NetworkClassifier):
    """Multinomial logistic regression with one-bit weights.

    Not two-class regression: any number of classes, every weight -1 or +1. Rows become
    thermometer bits (``n_thresholds`` per feature), each class counts how many of its weights
    agree, and a scale and a shift per class turn counts into logits. Fitted, the model is a few
    hundred bytes to a few kilobytes of packed bits, and predicts from them with XOR and popcount.

    Parameters
    ----------
    technique : str or Technique, default="bnn"
        How the model is binarized; see :func:`skbnn.techniques.list_techniques`. ``"float"`` is
        the control: ordinary logistic regression, trained by the same loop.
    n_thresholds : int, default=7
        Input bits per feature, at quantiles of the feature's distinct values; features with
        fewer distinct values get fewer bits, constant ones none. A single layer gains more from
        finer inputs than a deep network, hence more than the 3 of
        :class:`BinaryMLPClassifier`. Techniques with real inputs standardise instead.
    encoding : {"thermometer", "planes"}, default="thermometer"
        The input bits: thermometer bits, or the eight binary digits of whole numbers from 0 to
        255, which a weight multiplies together: exact, with one weight a number, and eight
        products. Techniques with real inputs ignore it.
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
        Fraction of the input bits dropped in training; None is the technique's recipe.
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
        The fitted model as packed bits: predicts without validation in microseconds, saves,
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
    BinaryMLPClassifier : With hidden layers.
    sklearn.linear_model.LogisticRegression : The classic.

    References
    ----------
    .. [1] Courbariaux et al., "Binarized Neural Networks", NIPS 2016, arXiv 1602.02830.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from skbnn import BinaryLogisticRegression
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> clf = BinaryLogisticRegression(random_state=0).fit(X_train, y_train)
    >>> bool(clf.score(X_test, y_test) > 0.9)
    True
    """

    _builder = "dense_network"
    _family = "logistic"

    _parameter_constraints = {**NetworkClassifier._parameter_constraints}
    _parameter_constraints.pop("hidden_dropout")

    hidden_dropout = None

    def __init__(
        self,
        *,
        technique="bnn",
        n_thresholds=7,
        encoding="thermometer",
        max_iter=30,
        batch_size="auto",
        learning_rate_init=None,
        alpha=0.0,
        input_dropout=None,
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
        self.technique = technique
        self.n_thresholds = n_thresholds
        self.encoding = encoding
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.alpha = alpha
        self.input_dropout = input_dropout
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
        return {"hidden_layer_sizes": ()}
