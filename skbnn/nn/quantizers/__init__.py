"""Quantizers: what turns real tensors into the tensors that bits can store.

Read :mod:`~skbnn.nn.quantizers.base` first, then :mod:`~skbnn.nn.quantizers.weights` and
:mod:`~skbnn.nn.quantizers.activations`, what all of each share; then one module for each kind:
:mod:`~skbnn.nn.quantizers.plain` (signs), :mod:`~skbnn.nn.quantizers.scaled` (signs times a scale),
:mod:`~skbnn.nn.quantizers.adabin`, :mod:`~skbnn.nn.quantizers.abcnet`,
:mod:`~skbnn.nn.quantizers.lqnets`, :mod:`~skbnn.nn.quantizers.dorefa`,
:mod:`~skbnn.nn.quantizers.elastic` (BiT) and :mod:`~skbnn.nn.quantizers.others`.
"""

from functools import partial

from skbnn.nn.named import named
from skbnn.nn.quantizers.abcnet import BasesActivations, BasesWeights
from skbnn.nn.quantizers.activations import LevelActivations
from skbnn.nn.quantizers.adabin import AdaptiveActivations, AdaptiveWeights
from skbnn.nn.quantizers.base import Quantizer
from skbnn.nn.quantizers.codes import Code, Planes, Staircase
from skbnn.nn.quantizers.dorefa import UniformActivations, UniformWeights
from skbnn.nn.quantizers.elastic import ElasticActivations, ElasticPositiveActivations
from skbnn.nn.quantizers.lqnets import BasisActivations, BasisWeights
from skbnn.nn.quantizers.others import ShiftedSignActivations, TernaryWeights
from skbnn.nn.quantizers.plain import (
    RealActivations,
    RealWeights,
    SignActivations,
    SignWeights,
    StochasticWeights,
    TanhWeights,
)
from skbnn.nn.quantizers.rounding import sign, snap, straight_through, surrogate_sign
from skbnn.nn.quantizers.scaled import (
    CenteredSignWeights,
    LayerScaledWeights,
    LibraWeights,
    MagnitudeWeights,
    PowerWeights,
    XnorWeights,
)
from skbnn.nn.quantizers.weights import PlaneWeights
from skbnn.nn.surrogates import make_surrogate

__all__ = [
    "AdaptiveActivations",
    "AdaptiveWeights",
    "BasesActivations",
    "BasesWeights",
    "BasisActivations",
    "BasisWeights",
    "CenteredSignWeights",
    "Code",
    "ElasticActivations",
    "ElasticPositiveActivations",
    "LayerScaledWeights",
    "LevelActivations",
    "LibraWeights",
    "MagnitudeWeights",
    "PlaneWeights",
    "Planes",
    "PowerWeights",
    "Quantizer",
    "RealActivations",
    "RealWeights",
    "ShiftedSignActivations",
    "SignActivations",
    "SignWeights",
    "Staircase",
    "StochasticWeights",
    "TanhWeights",
    "TernaryWeights",
    "UniformActivations",
    "UniformWeights",
    "XnorWeights",
    "make_quantizer",
    "sign",
    "snap",
    "straight_through",
    "surrogate_sign",
]

_QUANTIZERS = {
    "weights": {
        "sign": SignWeights,
        "stochastic": StochasticWeights,
        "ternary": TernaryWeights,
        "xnor": XnorWeights,
        "magnitude": MagnitudeWeights,
        "layer-scaled": LayerScaledWeights,
        "centered": CenteredSignWeights,
        "power": PowerWeights,
        "libra": LibraWeights,
        "adaptive": AdaptiveWeights,
        "bases-1": partial(BasesWeights, 1),
        "bases-2": BasesWeights,
        "bases-3": partial(BasesWeights, 3),
        "bases-5": partial(BasesWeights, 5),
        "basis-1": partial(BasisWeights, 1),
        "basis-2": BasisWeights,
        "basis-3": partial(BasisWeights, 3),
        "uniform-2": UniformWeights,
        "uniform-3": partial(UniformWeights, 3),
        "tanh": TanhWeights,
        "real": RealWeights,
    },
    "activations": {
        "sign": SignActivations,
        "shifted": ShiftedSignActivations,
        "adaptive": AdaptiveActivations,
        "bases-1": partial(BasesActivations, 1),
        "bases-3": BasesActivations,
        "bases-5": partial(BasesActivations, 5),
        "basis-1": partial(BasisActivations, 1),
        "basis-2": BasisActivations,
        "basis-3": partial(BasisActivations, 3),
        "uniform-1": partial(UniformActivations, 1),
        "uniform-2": UniformActivations,
        "uniform-3": partial(UniformActivations, 3),
        "elastic-1": ElasticActivations,
        "elastic-2": partial(ElasticActivations, 2),
        "elastic-positive-1": ElasticPositiveActivations,
        "real": RealActivations,
    },
}


def make_quantizer(role, quantizer, *, surrogate="identity", generator=None, n_units=1):
    """Return a new quantizer of a technique.

    Parameters
    ----------
    role : {"weights", "activations"}
        What it quantizes.
    quantizer : str or callable
        A built-in name, or a class or callable with the keywords of :class:`Quantizer`.
    surrogate : str or callable
        Surrogate gradient, see :func:`skbnn.nn.surrogates.make_surrogate`.
    generator : torch.Generator
        Source of randomness.
    n_units : int
        Units that it quantizes the weights or activations of.

    Returns
    -------
    quantizer : Quantizer

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is a quantizer instead of its class; if the callable does not make a
        :class:`Quantizer`, or makes one of activations that has bits but no levels.
    """
    quantizer = named(f"quantizer of {role}", _QUANTIZERS[role], quantizer)
    surrogate = make_surrogate(surrogate)
    if isinstance(quantizer, Quantizer):
        raise TypeError(
            f"Pass the class {type(quantizer).__name__}, not an object of it: each layer has a "
            f"quantizer of {role} of its own."
        )
    made = quantizer
    # Another class may take other arguments.
    if not isinstance(quantizer, type) or issubclass(quantizer, Quantizer):
        made = quantizer(surrogate=surrogate, generator=generator, n_units=n_units)
    if not isinstance(made, Quantizer):
        kind = made if isinstance(made, type) else type(made)
        raise TypeError(
            f"A quantizer of {role} must derive from skbnn.nn.quantizers.Quantizer, "
            f"got {kind.__name__}."
        )
    if role == "activations" and made.coded and not isinstance(made, LevelActivations):
        raise TypeError(
            "A quantizer of activations that has bits must derive from "
            f"skbnn.nn.quantizers.LevelActivations, got {type(made).__name__}."
        )
    return made
