"""Operations that are prepared together, because together they are faster; results are the same.

Operations run one after another, each on its own, and that is fast enough for nearly every batch.
For a single row the way through Python from one operation to the next takes longer than dense
layers do, and half as long as convolutions. So the network that is asked for one row most often,
thermometer bits and plain dense layers, is one compiled call, and so are the bits of pixels and the
plain convolutions that follow. And where bits are shared out to tokens, the features are put in the
tokens' order before they become bits: there are fewer of them.
"""

import math
from itertools import takewhile

import numpy as np

from skbnn.bits import (
    aligned,
    comparison_layout,
    interleave,
    n_words,
    open_layout,
    pack_bits,
    threshold_layout,
    token_layout,
    unpack_bits,
)
from skbnn.bits.packing import WORD_BITS
from skbnn.packed.attention import TokenBits
from skbnn.packed.conv import BinaryConv
from skbnn.packed.encode import Thermometer, refuse
from skbnn.packed.images import ImageThermometer
from skbnn.packed.linear import BinaryLinear
from skbnn.packed.outputs import ClassScores, SignThreshold

__all__ = ["prepare_all", "prepare_chain"]

_VECTOR = 8
_CLOSING = 4
"""To close up a word takes as long as its product with so many vectors of units."""


def prepare_all(operations, kernels, real):
    """Return functions that, one after the other, run a program which is no chain.

    Parameters
    ----------
    operations : tuple of Operation
        A whole program.
    kernels : module
        :mod:`skbnn.bits.reference` or :mod:`skbnn.bits.kernels`.
    real : dtype
        In which real numbers are computed.

    Returns
    -------
    runs : list of callable
    """
    # At most one of them knows what to do with the first operation.
    found = [prepare(operations, kernels) for prepare in (_prepare_tokens, _prepare_convolutions)]
    together, n_together = [run for run, n in found if n], sum(n for _, n in found)
    return together + [one.prepare(kernels, real) for one in operations[n_together:]]


def _prepare_tokens(operations, kernels):
    """Return the function from raw rows to the bits of tokens, and of how many operations it is."""
    if [type(operation) for operation in operations[:2]] != [Thermometer, TokenBits]:
        return None, 0
    bits, tokens = operations[:2]
    n_tokens, width = math.prod(tokens.places), n_words(tokens.length)
    owners = np.full(len(bits.counts), n_tokens)
    owners[bits.features] = tokens.owners
    if not np.array_equal(owners[bits.features], tokens.owners):
        return None, 0
    order, layout = token_layout(bits.counts, bits.thresholds, owners, width)

    def run(X):
        out = np.empty((len(X), n_tokens * width), np.uint64)
        refuse(kernels.encode_thresholds(X.take(order, 1), *layout, out))
        return out.reshape(len(X), 1, *tokens.places, width)

    return run, 2


def _prepare_convolutions(operations, kernels):
    """Return the function from raw rows through the first convolutions from signs to signs.

    And of how many operations it is.
    """
    first, *layers = operations
    layers = list(takewhile(lambda layer: isinstance(layer, BinaryConv) and layer.is_fused, layers))
    if not isinstance(first, ImageThermometer) or not layers:
        return None, 0
    encoding, sizes = first.encoding(), (*first.layout.places, n_words(first.shape[2]))
    table, units, limits, ends, masks = [], [], [], [], []
    for layer in layers:
        pixel, n_bits, taps, words, bounds, lines, columns, pool, minima = layer.fused_layout()
        zones = bounds.shape[:2]
        table.append((n_bits, *taps, *words.shape, *zones, *pool, *layer.window.pooled))
        units.append(words.ravel())
        limits.append(bounds.ravel())
        ends += [lines, columns]
        masks += [pixel, minima]
    words = aligned((sum(map(len, units)),), np.uint64)
    np.concatenate(units, out=words)
    layout = np.array(table, np.int64), words, *map(np.concatenate, (limits, ends, masks))
    shape = (*layers[-1].window.pooled, len(minima))

    def run(X):
        out = np.empty((len(X), *shape), np.uint64)
        refuse(kernels.run_convolutions(X, *encoding, sizes, *layout, out))
        return out[:, None]

    return run, 1 + len(layers)


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
    parts = [layer.comparison() for layer in hidden]
    parts.append(last.plain_scores())
    opened, places = open_layout(layout)
    if _is_better_open(len(opened.firsts), parts[0][0]):
        layout, parts[0] = opened, (_spread(parts[0][0], places, len(opened.firsts)), parts[0][1])
    laid = [comparison_layout(*parts.pop(0)) for _ in hidden]
    ((flat, (factors, bases)),) = parts
    units = [units for units, _ in laid] + [interleave(flat, 16)]
    shapes = np.array([part.shape for part in units], np.int64)
    words = aligned((sum(part.size for part in units),), np.uint64)
    np.concatenate([part.ravel() for part in units], out=words)
    limits = np.concatenate([np.empty(0, np.int64), *(limits for _, limits in laid)])
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
    n_units = -(-len(units) // 16) * 16
    return (n_entries - units.shape[1]) * n_units <= _CLOSING * n_entries * _VECTOR


def _spread(units, places, width):
    """Return units whose bits are at other places, zeros between them."""
    spread = np.empty((len(units), width), np.uint64)
    # Bits one by one take many times the memory of the units: a few at a time.
    for start in range(0, len(units), WORD_BITS):
        part = slice(start, start + WORD_BITS)
        bits = np.zeros((len(units[part]), width * WORD_BITS), np.bool_)
        bits[:, places] = unpack_bits(units[part], len(places))
        spread[part] = pack_bits(bits)
    return spread
