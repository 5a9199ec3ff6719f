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

from skbnn.techniques._registry import get_technique, list_techniques, stages_of
from skbnn.techniques._technique import Recipe, Technique

__all__ = ["Recipe", "Technique", "get_technique", "list_techniques", "stages_of"]
