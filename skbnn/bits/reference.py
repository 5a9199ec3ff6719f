"""The definition of every kernel, in plain NumPy.

Each function says what the kernel of the same name in :mod:`skbnn.bits.kernels` computes, and is
what runs where Numba is missing. Arrays are C-contiguous and may be read-only, results go to the
``out`` that the caller gives, and nothing is validated: callers do. Rows are taken in blocks, so
that memory stays bounded.
"""

import numpy as np

from skbnn.bits._activations_reference import bend, bend_moments, level_moments, quantize_levels
from skbnn.bits._blocks import mismatches, plain_units, row_blocks
from skbnn.bits._image_reference import (
    compare_windows,
    convolve_signs,
    convolve_sums,
    count_windows,
    encode_images,
    gather_windows,
    pool_channels,
    pool_images,
    run_convolutions,
)
from skbnn.bits._sums_reference import add_scaled, code_products, sum_products
from skbnn.bits._token_reference import attend, gather_bits
from skbnn.bits._training_reference import (
    clipped_gradient,
    clipped_moments,
    column_moments,
    normalize_signs,
    pool_sums,
    round_columns,
    round_rows,
    scale_sums,
    spread_levels,
    tabulated_gradient,
    unfold_images,
)
from skbnn.bits.packing import WORD_BITS, n_words, pack_bits, unpack_bits

__all__ = [
    "add_scaled",
    "attend",
    "bend",
    "bend_moments",
    "clipped_gradient",
    "clipped_moments",
    "code_products",
    "column_moments",
    "compare_mismatches",
    "compare_windows",
    "convolve_signs",
    "convolve_sums",
    "count_columns",
    "count_mismatches",
    "count_ones",
    "count_windows",
    "encode_images",
    "encode_planes",
    "encode_thresholds",
    "first_largest",
    "gather_bits",
    "gather_windows",
    "level_moments",
    "nearest_units",
    "normalize_signs",
    "pool_channels",
    "pool_images",
    "pool_sums",
    "quantize_levels",
    "round_columns",
    "round_rows",
    "run_chain",
    "run_convolutions",
    "scale_sums",
    "signed_sums",
    "spread_levels",
    "sum_products",
    "tabulated_gradient",
    "threshold_sums",
    "unfold_images",
]


def count_mismatches(rows, units, out):
    """Count the bits in which rows and units differ.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n_rows, n_words)
        Packed rows.
    units : uint64 ndarray of shape (n_blocks, n_words, lanes)
        Interleaved units, lanes 16 or 32.
    out : int32 ndarray of shape (n_rows, n_units)
        ``out[n, m] = popcount(rows[n] ^ unit[m])``, for the first units only where ``n_units``
        is less than ``n_blocks * lanes``.
    """
    for block in row_blocks(len(rows), out.shape[1]):
        out[block] = mismatches(rows[block], units, out.shape[1])


def compare_mismatches(rows, units, limits, out):
    """Compare the mismatches of rows and units with a limit: a whole layer, from bits to bits.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n_rows, n_words)
        Packed rows.
    units : uint64 ndarray of shape (n_blocks, n_words, lanes)
        Units and running parities as :func:`~skbnn.bits.comparison_layout` lays them out: which of
        the two, the lanes say.
    limits : int64 ndarray of shape (n_blocks * lanes,)
        Limit of each unit; -1 for units that are padding, so that their bit is 0.
    out : uint64 ndarray of shape (n_rows, n_words(n_blocks * lanes))
        Packed rows of the bits ``popcount(rows[n] ^ unit[m]) <= limits[m]``.
    """
    units = plain_units(units)
    for block in row_blocks(len(rows), len(limits)):
        out[block] = pack_bits(mismatches(rows[block], units, len(limits)) <= limits)


def count_ones(rows, out):
    """Count the ones of each row.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n_rows, n_words)
        Packed rows.
    out : int32 ndarray of shape (n_rows,)
        Number of ones.
    """
    for block in row_blocks(*rows.shape):
        out[block] = np.bitwise_count(rows[block]).sum(1, dtype=np.int32)


def nearest_units(rows, units, n_units, index, distance):
    """Find the unit nearest to each row; the lowest of those equally near.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n_rows, n_words)
        Packed rows.
    units : uint64 ndarray of shape (n_blocks, n_words, lanes)
        Interleaved units, lanes 16 or 32.
    n_units : int
        Number of units, at least 1; those behind them in the last block are padding.
    index, distance : int32 ndarray of shape (n_rows,)
        The nearest unit and the number of mismatches with it.
    """
    for block in row_blocks(len(rows), n_units):
        counts = mismatches(rows[block], units, n_units)
        index[block] = counts.argmin(1)
        distance[block] = counts.min(1)


def threshold_sums(sums, thresholds, out):
    """Compare sums with thresholds.

    Parameters
    ----------
    sums : int16, int32 or int64 ndarray of shape (n_rows, n_units)
        Integer sums.
    thresholds : ndarray of shape (n_units,)
        Threshold of each unit, of the same dtype.
    out : uint64 ndarray of shape (n_rows, n_words(n_units))
        Packed rows of the bits ``sums[n, m] >= thresholds[m]``.
    """
    for block in row_blocks(*sums.shape):
        out[block] = pack_bits(sums[block] >= thresholds)


def signed_sums(rows, units, out):
    """Add up the inputs of rows with the signs of units.

    Parameters
    ----------
    rows : float64 or float32 ndarray of shape (n_rows, n_inputs)
        Real rows.
    units : uint32 ndarray of shape (n_blocks, n_inputs)
        Masks of units, as :func:`~skbnn.bits.layouts.unit_masks` lays them out.
    out : ndarray of shape (n_rows, n_units), of the dtype of `rows`
        ``sum_i w[m, i] * rows[n, i]`` with w +1 where unit m's bit is 1, else -1. In compiled
        code a row's sums do not depend on the other rows, to the last digit.
    """
    places = np.arange(32, dtype=np.uint32)[:, None]
    bits = (units[:, None] >> places) & np.uint32(1)
    bits = bits.reshape(32 * len(units), units.shape[1])[: out.shape[1]]
    weights = bits.astype(rows.dtype) * 2 - 1
    for block in row_blocks(*out.shape):
        out[block] = rows[block] @ weights.T


def encode_thresholds(X, table, firsts, starts, masks, out):
    """Encode features as thermometer bits, ``float32(x) >= threshold``.

    Parameters
    ----------
    X : float64, float32, uint8 or bool ndarray of shape (n_rows, n_features)
        Raw rows.
    table, firsts, starts, masks : ndarray
        A :class:`~skbnn.bits.thresholds.ThresholdLayout`.
    out : uint64 ndarray of shape (n_rows, n_words(n_bits)), or (n_rows, n_entries) if open
        Packed rows; of no use where the status is not 0.

    Returns
    -------
    status : int
        0; or 1 if any feature, encoded or not, is NaN; else 2 if any is infinite as float32.
    """
    used = unpack_bits(masks[:, :1], WORD_BITS)
    features = np.concatenate([np.arange(WORD_BITS) + first for first in firsts] or [[]])
    features = features.astype(np.intp)[used.ravel()]
    is_open = masks.shape[1] == 1
    lanes = [np.flatnonzero(bits) if is_open else np.arange(bits.sum()) for bits in used]
    places = [start + inside for start, inside in zip(starts, lanes, strict=True)]
    places = np.concatenate(places or [[]]).astype(np.intp)
    limits = table[used].astype(np.float32)

    status = 0
    for block in row_blocks(len(X), X.shape[1] + len(places)):
        with np.errstate(over="ignore", invalid="ignore"):
            values = X[block].astype(np.float32)
        if np.isnan(values).any():
            return 1
        if np.isinf(values).any():
            status = 2
        bits = np.zeros((len(values), out.shape[1] * WORD_BITS), np.bool_)
        bits[:, places] = values[:, features] >= limits
        out[block] = pack_bits(bits)
    return status


def encode_planes(X, columns, out):
    """Take the binary digits of 8-bit features, each digit a plane.

    Parameters
    ----------
    X : uint8 ndarray of shape (n_rows, n_features)
        Raw rows.
    columns : int32 ndarray of shape (n_used,)
        Features in use, in rising order.
    out : uint64 ndarray of shape (n_rows, 8, n_words(n_used))
        Packed rows: plane ``k`` holds bit ``k`` of each value.
    """
    digits = np.arange(8, dtype=np.uint8)[:, None]
    for block in row_blocks(len(X), 8 * len(columns)):
        values = X[block][:, None, columns]
        out[block] = pack_bits((values >> digits) & 1)


def count_columns(rows, order, starts, out):
    """Count the ones of each bit position in clusters of rows.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n_rows, n_words)
        Packed rows.
    order : int64 ndarray of shape (n_members,)
        Row numbers, grouped by cluster.
    starts : int64 ndarray of shape (n_clusters + 1,)
        The members of cluster k are ``order[starts[k] : starts[k + 1]]``.
    out : int32 ndarray of shape (n_clusters, n_words * 64)
        Number of ones of each bit position among the members.
    """
    n_bits = out.shape[1]
    for k, (start, stop) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
        members = order[start:stop]
        out[k] = 0
        for block in row_blocks(len(members), n_bits):
            out[k] += unpack_bits(rows[members[block]], n_bits).sum(0, dtype=np.int32)


def run_chain(X, table, firsts, starts, masks, shapes, words, limits, factors, bases, out):
    """Encode rows, pass them through plain layers, and turn the last counts into scores.

    Parameters
    ----------
    X : float64, float32, uint8 or bool ndarray of shape (n_rows, n_features)
        Raw rows.
    table, firsts, starts, masks : ndarray
        A :class:`~skbnn.bits.thresholds.ThresholdLayout`.
    shapes : int64 ndarray of shape (n_layers, 3)
        Shape ``(n_blocks, n_words, lanes)`` of the units of each layer, laid out for comparisons;
        the last layer's are interleaved in blocks of 16.
    words : uint64 ndarray
        The units of all layers, one after the other.
    limits : int64 ndarray
        Limits of all layers but the last, as :func:`compare_mismatches` takes them.
    factors, bases : int32 ndarray of shape (n_classes,)
        Scores are ``bases + factors * mismatches``; they fit int32.
    out : int32 ndarray of shape (n_rows, n_classes)
        Scores; of no use where the status is not 0.

    Returns
    -------
    status : int
        That of :func:`encode_thresholds`.
    """
    rows = np.empty((len(X), shapes[0, 1]), np.uint64)
    status = encode_thresholds(X, table, firsts, starts, masks, rows)
    if status:
        return status
    *hidden, last = np.split(words, np.cumsum(shapes.prod(1))[:-1])
    for shape, units in zip(shapes, hidden, strict=False):
        n_units = shape[0] * shape[2]
        made = np.empty((len(X), n_words(n_units)), np.uint64)
        compare_mismatches(rows, units.reshape(shape), limits[:n_units], made)
        rows, limits = made, limits[n_units:]
    count_mismatches(rows, last.reshape(shapes[-1]), out)
    out *= factors
    out += bases
    return 0


def first_largest(scores, out):
    """Find the largest score of each row.

    Parameters
    ----------
    scores : int32 ndarray of shape (n_rows, n_classes)
        Scores, at least one of each row.
    out : intp ndarray of shape (n_rows,)
        Where the largest is; the first of equal ones.
    """
    scores.argmax(1, out=out)
