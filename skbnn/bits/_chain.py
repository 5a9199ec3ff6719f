"""Plain layers of signs in one compiled call, dense or convolutions, and the classes of scores.

Each step is the kernel that also runs alone; what a chain saves is the way through Python between
them, which for a single row takes longer than dense layers do, and half as long as convolutions.

A cached kernel is renewed only when its own file changes, which therefore names what it calls:
``_CALLED`` is a digest of it.
"""

import numpy as np
from numba import njit

from skbnn.bits._convolutions import convolve_signs
from skbnn.bits._encoding import encode_images, encode_thresholds
from skbnn.bits._products import compare_parities, compare_words, count_few

__all__ = ["first_largest", "run_chain", "run_convolutions"]

_CALLED = "d9af021bfeb3f69a"
_ROWS = 256
_LEAST = np.int64(np.iinfo(np.int64).min)


@njit(cache=True, nogil=True)
def run_chain(X, table, firsts, starts, masks, shapes, words, limits, factors, bases, out):
    """Encode rows, pass them through plain layers, and turn the last counts into scores."""
    n_last = len(shapes) - 1
    for first in range(0, len(X), _ROWS):
        part = X[first : first + _ROWS]
        rows = np.empty((len(part), shapes[0, 1]), np.uint64)
        status = encode_thresholds(part, table, firsts, starts, masks, rows)
        if status:
            return status
        word = limit = 0
        for layer in range(n_last):
            n_blocks, width, lanes = shapes[layer]
            n_units = n_blocks * lanes
            units = words[word : word + width * n_units].reshape(n_blocks, width, lanes)
            bounds = limits[limit : limit + n_units]
            made = np.empty((len(part), -(-n_units // 64)), np.uint64)
            if lanes == 16:
                compare_parities(rows, units, bounds, made)
            else:
                compare_words(rows, units, bounds, made)
            rows = made
            word += width * n_units
            limit += n_units
        n_blocks, width, lanes = shapes[n_last]
        scores = out[first : first + _ROWS]
        count_few(rows, words[word:].reshape(n_blocks, width, lanes), scores)
        for n in range(len(part)):
            for c in range(len(factors)):
                scores[n, c] = bases[c] + factors[c] * scores[n, c]
    return 0


@njit(cache=True, nogil=True)
def run_convolutions(X, thresholds, features, steps, sizes, table, words, limits, ends, masks, out):
    """Encode rows as images, and pass them through plain convolutions."""
    images = np.empty((len(X), sizes[0], sizes[1], sizes[2]), np.uint64)
    status = encode_images(X, thresholds, features, steps, images)
    if status:
        return status
    word = limit = end = mask = 0
    for layer in range(len(table)):
        n_bits, height, width, stride, n_blocks, n_words, lanes = table[layer, :7]
        n_row_zones, n_column_zones, pool_height, pool_width, n_lines, n_columns = table[layer, 7:]
        n_units, n_in = n_blocks * lanes, images.shape[3]
        n_out = -(-n_units // 64)
        units = words[word : word + n_words * n_units]
        bounds = limits[limit : limit + n_row_zones * n_column_zones * n_units]
        rows = ends[end : end + n_row_zones + 1]
        end += len(rows)
        columns = ends[end : end + n_column_zones + 1]
        end += len(columns)
        if layer < len(table) - 1:
            made = np.empty((len(X), n_lines, n_columns, n_out), np.uint64)
        else:
            made = out
        convolve_signs(
            images,
            masks[mask : mask + n_in],
            n_bits,
            (height, width, stride),
            units.reshape(n_blocks, n_words, lanes),
            bounds.reshape(n_row_zones, n_column_zones, n_units),
            rows,
            columns,
            (pool_height, pool_width),
            masks[mask + n_in : mask + n_in + n_out],
            made,
        )
        images = made
        word += len(units)
        limit += len(bounds)
        mask += n_in + n_out
    return 0


@njit(cache=True, nogil=True)
def first_largest(scores, out):
    """Find the largest score of each row."""
    n_classes = scores.shape[1]
    for n in range(len(scores)):
        # One number holds a score and, below it, how near its class is to the first: the largest
        # of them is found without a branch.
        best = _LEAST
        for c in range(n_classes):
            best = max(best, (np.int64(scores[n, c]) << 32) | (n_classes - 1 - c))
        out[n] = n_classes - 1 - (best & 0xFFFFFFFF)
