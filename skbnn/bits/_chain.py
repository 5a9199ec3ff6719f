"""A whole network of plain dense layers in one compiled call: from raw rows to class scores.

Each step is the kernel that also runs alone; what the chain saves is the way through Python
between them, which for a single row takes longer than the layers do.

A cached kernel is renewed only when its own file changes: after an edit of one that it calls, touch
this file too.
"""

import numpy as np
from numba import njit

from skbnn.bits._encoding import encode_thresholds
from skbnn.bits._products import compare_mismatches, count_mismatches

__all__ = ["run_chain"]

_ROWS = 256


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
            units = words[word : word + n_blocks * width * lanes]
            made = np.empty((len(part), (n_blocks + 1) // 2), np.uint64)
            compare_mismatches(
                rows,
                units.reshape(n_blocks, width, lanes),
                limits[limit : limit + n_blocks * lanes],
                made,
            )
            rows = made
            word += len(units)
            limit += n_blocks * lanes
        n_blocks, width, lanes = shapes[n_last]
        scores = out[first : first + _ROWS]
        count_mismatches(rows, words[word:].reshape(n_blocks, width, lanes), scores)
        for n in range(len(part)):
            for c in range(len(factors)):
                scores[n, c] = bases[c] + factors[c] * scores[n, c]
    return 0
