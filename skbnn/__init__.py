"""Binarized neural networks with the manners of scikit-learn.

The estimators of this package train networks whose weights and activations are single bits, and
their float twins, with torch. What they predict with afterwards is a short integer program on
packed bits that needs neither torch nor scikit-learn.

Importing the package loads nothing else: every public name is found in its module when it is
first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skbnn.estimators import (
        BinaryCNNClassifier,
        BinaryLogisticRegression,
        BinaryMLPClassifier,
        BinaryTransformerClassifier,
        KMeansClassifier,
    )
    from skbnn.inspection import compare_models
    from skbnn.packed import PackedModel, load
    from skbnn.preprocessing import ThermometerEncoder
    from skbnn.techniques import Technique

__version__ = "0.1.0"

__all__ = [
    "BinaryCNNClassifier",
    "BinaryLogisticRegression",
    "BinaryMLPClassifier",
    "BinaryTransformerClassifier",
    "KMeansClassifier",
    "PackedModel",
    "Technique",
    "ThermometerEncoder",
    "compare_models",
    "load",
]

_MODULE_OF = {
    "BinaryCNNClassifier": "skbnn.estimators",
    "BinaryLogisticRegression": "skbnn.estimators",
    "BinaryMLPClassifier": "skbnn.estimators",
    "BinaryTransformerClassifier": "skbnn.estimators",
    "KMeansClassifier": "skbnn.estimators",
    "PackedModel": "skbnn.packed",
    "Technique": "skbnn.techniques",
    "ThermometerEncoder": "skbnn.preprocessing",
    "compare_models": "skbnn.inspection",
    "load": "skbnn.packed",
}

_SUBMODULES = frozenset(
    {
        "bits",
        "datasets",
        "estimators",
        "export",
        "inspection",
        "nn",
        "packed",
        "preprocessing",
        "techniques",
    }
)


def __getattr__(name):
    """Find a public name in its module, or import a submodule, at its first use."""
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name in _MODULE_OF:
        value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    """List the public names and the submodules."""
    return sorted({*globals(), *__all__, *_SUBMODULES})
