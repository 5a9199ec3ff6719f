"""What a technique is: a choice on each axis of binarized training, as plain data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Recipe", "Technique"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a technique's training needs to know about a family of networks.

    Estimator parameters left at ``None`` take their value from here.

    Parameters
    ----------
    learning_rate : float
        Initial learning rate; it falls as the technique's ``schedule`` says.
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
    weights : str or callable
        Weight quantizer: a class of :mod:`skbnn.nn.quantizers`. ``"sign"`` for signs of latent
        weights, ``"stochastic"`` for drawn ones, ``"real"`` and ``"tanh"`` for none; signs with a
        scale are ``"xnor"``, ``"magnitude"``, ``"layer-scaled"``, ``"centered"``, ``"power"`` and
        ``"libra"``; ``"adaptive"`` has an offset too; ``"ternary"``, ``"bases-2"``, ``"basis-2"``
        and ``"uniform-2"`` have two planes, others more.
    activations : str or callable
        Activation quantizer: ``"sign"``, ``"shifted"``, ``"adaptive"``, ``"elastic-1"``,
        ``"elastic-positive-1"`` and ``"uniform-1"`` of one bit, ``"bases-3"``, ``"basis-2"``,
        ``"uniform-2"``, ``"elastic-2"`` and others of more. With ``"real"`` the network's inputs
        are real too, standardised by the mean and variance of the training set; otherwise inputs
        are bits, as the estimator's ``encoding`` says, unless ``first_last`` is ``"real"``.
    surrogate : str or callable
        The derivative that replaces that of sign in the backward pass of the activations:
        ``"identity"``, ``"clipped"``, ``"approx_sign"``, ``"ede"``, ``"tanh"``, ``"power"`` or
        ``"sign_swish"``.
    nonlinearity : str or callable
        Monotone function between normalisation and activation quantizer: ``"none"``, ``"relu"``,
        ``"hard_tanh"``, ``"tanh"``, ``"prelu"``, ``"rprelu"`` or ``"maxout"``.
    output_normalizer : {"scale", "batch"} or callable
        What turns the sums of the last layer into class scores: a learned scale and shift for
        each class, or batch normalisation.
    loss : {"cross_entropy", "squared_hinge"} or callable
        Called with scores and class indices, it returns one loss for each row.
    optimizer : {"adam", "adamax", "sgd", "bop", "none"} or callable
        Optimizer of all parameters. ``"bop"`` flips binary weights that it keeps instead of latent
        ones; ``"none"`` changes nothing, and the statistics of normalisers become those of one fit.
    schedule : {"cosine", "linear", "exponential", "constant"}
        How the learning rate falls to a thousandth of its initial value, or stays.
    latent_clip : float or None
        Latent weights are clipped to ``[-latent_clip, latent_clip]`` after every update.
    learning_rate_scaling : {"none", "glorot"}
        ``"glorot"`` multiplies the step of each quantized weight matrix by
        ``sqrt((n_in + n_out) / 1.5)``, as the BinaryConnect paper does.
    regularizer : {"l2", "bipolar"} or callable
        Penalty of each latent weight matrix; the estimator's ``alpha`` is its strength.
        ``"bipolar"`` is ``sum(1 - w^2)``, which draws latent weights to -1 and +1.
    recipes : mapping of str to Recipe
        Training settings for each family: ``"logistic"``, ``"mlp"``, ``"cnn"``,
        ``"transformer"``.
    starts_from : Technique, str or None
        A technique that is trained first and initialises this one: what both networks have, of
        the same shape. It reads this technique's inputs. It may start from another in turn.
    distillation : float
        Share of the loss that is the cross-entropy with the class probabilities of the network
        that this one starts from, in [0, 1].
    share : float
        Epochs relative to those of the other stages; ``max_iter`` is the sum of all.
    first_last : {"coded", "real"}
        Whether first and last layer have codes as all others, or, as in many papers, real weights;
        inputs are then real too, and the packed program computes those two layers in floats. Not
        for streams of integers, which transformers and residual networks have.
    packs : bool
        False for a technique that others only start from: it may then combine what no packed
        program computes.
    reference : str
        The paper.

    See Also
    --------
    list_techniques : Names of the built-in techniques.
    get_technique : The technique of a name.

    Notes
    -----
    With ``first_last="coded"`` first and last layer are coded as all others are; many papers keep
    both real.
    """

    name: str
    weights: str | Callable = "sign"
    activations: str | Callable = "sign"
    surrogate: str | Callable = "clipped"
    nonlinearity: str | Callable = "none"
    output_normalizer: str | Callable = "batch"
    loss: str | Callable = "cross_entropy"
    optimizer: str | Callable = "adam"
    schedule: str = "cosine"
    latent_clip: float | None = 1.0
    learning_rate_scaling: str = "none"
    regularizer: str | Callable = "l2"
    recipes: Mapping[str, Recipe] = field(default_factory=dict, hash=False)
    starts_from: "Technique | str | None" = None
    distillation: float = 0.0
    share: float = 1.0
    first_last: str = "coded"
    packs: bool = True
    reference: str = ""

    def __post_init__(self):
        """Refuse what no training could mean."""
        if not 0 <= self.distillation <= 1:
            raise ValueError(f"distillation must be in [0, 1], got {self.distillation}.")
        if self.distillation and self.starts_from is None:
            raise ValueError(
                f"distillation={self.distillation} needs a teacher: set starts_from, or leave "
                "distillation at 0."
            )
        if self.latent_clip is not None and not self.latent_clip > 0:
            raise ValueError(f"latent_clip must be positive or None, got {self.latent_clip}.")
        if not self.share >= 0:
            raise ValueError(f"share must not be negative, got {self.share}.")

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
