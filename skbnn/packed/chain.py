"""Chains: a network of plain dense layers, prepared as one compiled call.

Operations run one after another, each on its own, and that is fast enough for every batch. For a
single row the way through Python from one operation to the next takes longer than the layers
themselves, so the network that is asked for one row most often, thermometer bits and plain dense
layers, is also prepared as a whole. Kernels, arrays and results are the same.
"""

import numpy as np

from skbnn.bits import aligned_words, threshold_layout
from skbnn.packed.encode import Thermometer, refuse
from skbnn.packed.linear import BinaryLinear
from skbnn.packed.outputs import ClassScores, SignThreshold

__all__ = ["prepare_chain"]


def prepare_chain(operations, kernels):
    """Return the function from raw rows to scores, if the operations are a plain chain.

    Parameters
    ----------
    operations : tuple of Operation
        A whole program.
    kernels : module
        :mod:`skbnn.bits.reference` or :mod:`skbnn.bits.kernels`.

    Returns
    -------
    run : callable or None
        Maps a block of raw rows to int32 scores; None where an operation is of another kind.
    """
    if not _is_plain_chain(operations):
        return None
    first, *hidden, last = operations
    layout = threshold_layout(first.counts, first.thresholds)
    parts = [layer.fused_layout() for layer in hidden]
    parts.append(last.plain_layout())
    shapes = np.array([units.shape for units, _ in parts], np.int64)
    words = aligned_words((sum(units.size for units, _ in parts),))
    np.concatenate([units.ravel() for units, _ in parts], out=words)
    limits = np.concatenate([limits for _, limits in parts[:-1]] or [np.empty(0, np.int64)])
    factors, bases = parts[-1][1]
    n_classes = last.output.n_units

    def run(X):
        out = np.empty((len(X), n_classes), np.int32)
        refuse(kernels.run_chain(X, *layout, shapes, words, limits, factors, bases, out))
        return out

    return run


def _is_plain_chain(operations):
    """Whether a program is thermometer bits and dense layers of plain signs, nothing else."""
    first, *layers = operations
    outputs = [SignThreshold] * (len(layers) - 1) + [ClassScores]
    return isinstance(first, Thermometer) and all(
        isinstance(layer, BinaryLinear) and layer.is_plain and isinstance(layer.output, output)
        for layer, output in zip(layers, outputs, strict=True)
    )
