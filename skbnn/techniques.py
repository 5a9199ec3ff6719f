"""The registry of training techniques: each one a few lines of data on common axes.

A technique says *how* a network is binarized; it never changes the network's topology. Because
it is plain data, this module imports neither torch nor scikit-learn, ``technique="bnn"`` is an
ordinary string parameter of every estimator, and ``GridSearchCV(est, {"technique": [...]})``
compares techniques on equal terms.

Axes name classes of :mod:`skbnn.nn` by a short word, or hold a class (or any callable that makes
the module) directly, so that a new quantizer needs no registration::

    from dataclasses import replace
    from skbnn.techniques import get_technique

    steeper = replace(get_technique("bnn"), name="bnn-ede", surrogate="ede")
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

__all__ = ["Recipe", "Technique", "get_technique", "list_techniques"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a technique's training needs to know about a family of networks.

    Estimator parameters left at ``None`` take their value from here.

    Parameters
    ----------
    learning_rate : float
        Initial learning rate; it follows a cosine to a thousandth of itself.
    init : float or None
        Latent weights start uniform in ``[-init, init]``; None is Glorot's range
        ``sqrt(6 / (n_in + n_out))``.
    input_dropout, hidden_dropout : float
        Fraction of the inputs and of the hidden units dropped in training.
    """

    learning_rate: float
    init: float | None = None
    input_dropout: float = 0.0
    hidden_dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Technique:
    """A named choice on every axis of binarized training.

    Parameters
    ----------
    name : str
        What tables, errors and saved settings call it.
    weights : {"sign", "stochastic", "real"} or callable
        Weight quantizer: a class of :mod:`skbnn.nn.quantizers`.
    activations : {"sign", "real"} or callable
        Activation quantizer. With ``"real"`` the network's inputs are real too, standardised by
        the mean and variance of the training set; otherwise inputs are thermometer bits.
    surrogate : {"identity", "clipped", "approx_sign", "ede", "tanh"} or callable
        The derivative that replaces that of sign in the backward pass of the activations.
    nonlinearity : {"none", "relu"} or callable
        Function between normalisation and activation quantizer.
    output_normalizer : {"scale", "batch"} or callable
        What turns the sums of the last layer into class scores: a learned scale and shift for
        each class, or batch normalisation.
    loss : {"cross_entropy", "squared_hinge"} or callable
        Called with scores and class indices, it returns one loss for each row.
    optimizer : {"adam", "sgd"} or callable
        Optimizer of all parameters.
    latent_clip : float or None
        Latent weights are clipped to ``[-latent_clip, latent_clip]`` after every update.
    learning_rate_scaling : {"none", "glorot"}
        ``"glorot"`` multiplies the step of each quantized weight matrix by
        ``sqrt((n_in + n_out) / 1.5)``, as the BinaryConnect paper does.
    regularizer : {"l2"} or callable
        Penalty of each latent weight matrix; the estimator's ``alpha`` is its strength.
    recipes : mapping of str to Recipe
        Training settings for each family: ``"logistic"``, ``"mlp"``, ``"cnn"``,
        ``"transformer"``.
    reference : str
        The paper.

    See Also
    --------
    list_techniques : Names of the built-in techniques.
    get_technique : The technique of a name.
    """

    name: str
    weights: str | Callable = "sign"
    activations: str | Callable = "sign"
    surrogate: str | Callable = "clipped"
    nonlinearity: str | Callable = "none"
    output_normalizer: str | Callable = "scale"
    loss: str | Callable = "cross_entropy"
    optimizer: str | Callable = "adam"
    latent_clip: float | None = 1.0
    learning_rate_scaling: str = "none"
    regularizer: str | Callable = "l2"
    recipes: Mapping[str, Recipe] = field(default_factory=dict, hash=False)
    packs: bool = True
    reference: str = ""

    def recipe(self, family):
        """Return the recipe of a family of networks.

        Parameters
        ----------
        family : {"logistic", "mlp", "cnn", "transformer"}
            The family's name.

        Returns
        -------
        recipe : Recipe

        Raises
        ------
        ValueError
            If the technique has no recipe for the family.
        """
        try:
            return self.recipes[family]
        except KeyError:
            raise ValueError(
                f"Technique {self.name!r} has no recipe for the family {family!r}; it has "
                f"{sorted(self.recipes)}. Add one with "
                f"dataclasses.replace(technique, recipes={{..., {family!r}: Recipe(...)}})."
            ) from None


_FLOAT = Technique(
    name="float",
    weights="real",
    activations="real",
    nonlinearity="relu",
    latent_clip=None,
    recipes={
        "logistic": Recipe(learning_rate=1e-2),
        "mlp": Recipe(learning_rate=3e-3, input_dropout=0.2, hidden_dropout=0.5),
        "cnn": Recipe(learning_rate=1e-2),
        "transformer": Recipe(learning_rate=2e-3, hidden_dropout=0.2),
    },
    reference="the control: same topology and budget, nothing quantized",
)

_BNN = Technique(
    name="bnn",
    recipes={
        "logistic": Recipe(learning_rate=1e-1, init=0.3),
        "mlp": Recipe(learning_rate=1e-2, init=0.1, input_dropout=0.2, hidden_dropout=0.3),
        "cnn": Recipe(learning_rate=3e-2, init=0.3),
        "transformer": Recipe(learning_rate=1e-2, init=0.1, hidden_dropout=0.2),
    },
    reference="Courbariaux et al., Binarized Neural Networks, NIPS 2016, arXiv 1602.02830",
)

_BINARYCONNECT = Technique(
    name="binaryconnect",
    activations="real",
    nonlinearity="relu",
    output_normalizer="batch",
    loss="squared_hinge",
    learning_rate_scaling="glorot",
    recipes={
        "logistic": Recipe(learning_rate=1e-2, init=1.0),
        "mlp": Recipe(learning_rate=3e-3, init=1.0),
        "cnn": Recipe(learning_rate=3e-2, init=1.0),
        "transformer": Recipe(learning_rate=3e-3, init=1.0),
    },
    reference="Courbariaux, Bengio, David, BinaryConnect, NIPS 2015, arXiv 1511.00363",
)

_STOCHASTIC = replace(
    _BINARYCONNECT,
    name="binaryconnect-stochastic",
    weights="stochastic",
    recipes={**_BINARYCONNECT.recipes, "cnn": Recipe(learning_rate=1e-1, init=1.0)},
)

_REGISTRY = MappingProxyType(
    {technique.name: technique for technique in (_FLOAT, _BINARYCONNECT, _STOCHASTIC, _BNN)}
)


def list_techniques():
    """Return the names of the built-in techniques.

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> from skbnn.techniques import list_techniques
    >>> list_techniques()
    ['float', 'binaryconnect', 'binaryconnect-stochastic', 'bnn']
    """
    return list(_REGISTRY)


def get_technique(technique):
    """Return the technique of a name; a :class:`Technique` is returned as it is.

    Parameters
    ----------
    technique : str or Technique
        A name out of :func:`list_techniques`, or a technique of your own.

    Returns
    -------
    technique : Technique

    Raises
    ------
    ValueError
        If no technique has that name; the message lists the known ones.
    TypeError
        If it is neither a string nor a :class:`Technique`.
    """
    if isinstance(technique, Technique):
        return technique
    if not isinstance(technique, str):
        raise TypeError(
            f"technique must be a name or a skbnn.Technique, got {type(technique).__name__}."
        )
    try:
        return _REGISTRY[technique]
    except KeyError:
        raise ValueError(
            f"Unknown technique {technique!r}; the known techniques are "
            f"{', '.join(map(repr, _REGISTRY))}. A Technique of your own can be passed as it is."
        ) from None
