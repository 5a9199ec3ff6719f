"""Chains: a network of plain dense layers, prepared as one compiled call.

Operations run one after another, each on its own, and that is fast enough for every batch. For a
single row the way through Python from one operation to the next takes longer than the layers
themselves, so the network that is asked for one row most often, thermometer bits and plain dense
layers, is also prepared as a whole. Kernels, arrays and results are the same.
"""

import numpy as np

from skbnn.bits import (
    aligned_words,
    interleave,
    open_layout,
    pack_bits,
    threshold_layout,
    unpack_bits,
)
from skbnn.bits.packing import WORD_BITS
from skbnn.packed.encode import Thermometer, refuse
from skbnn.packed.linear import BinaryLinear
from skbnn.packed.outputs import ClassScores, SignThreshold

__all__ = ["prepare_chain"]

_VECTOR = 8
_CLOSING = 4
"""To close up a word takes as long as its product with so many vectors of units."""


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
    opened, places = open_layout(layout)
    if _is_better_open(len(opened.firsts), parts[0][0]):
        layout, parts[0] = opened, (_spread(parts[0][0], places, len(opened.firsts)), parts[0][1])
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


def _is_better_open(n_entries, units):
    """Whether more words of input, not closed up, are less work for the first layer."""
    n_blocks, n_words, lanes = units.shape
    return (n_entries - n_words) * n_blocks * lanes <= _CLOSING * n_entries * _VECTOR


def _spread(units, places, n_words):
    """Return interleaved units whose bits are at other places, zeros between them."""
    n_blocks, width, lanes = units.shape
    rows = units.transpose(0, 2, 1).reshape(n_blocks * lanes, width)
    bits = np.zeros((len(rows), n_words * WORD_BITS), np.bool_)
    bits[:, places] = unpack_bits(rows, len(places))
    return interleave(pack_bits(bits), lanes)
