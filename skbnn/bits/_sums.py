"""Sums of coded products: counts of a few rows at a time, added up while they are in cache.

The counts of all planes of a block of rows would be as large as the planes squared, and wait for
each other in memory.

A cached kernel is renewed only when its own file changes: after an edit of one that it calls, touch
this file too.
"""

import numpy as np
from numba import njit

from skbnn.bits._counting import add_up, count_ones
from skbnn.bits._products import count_mismatches

__all__ = ["sum_products"]

_COUNTS = 1 << 16


@njit(cache=True, nogil=True)
def sum_products(rows, units, coefficients, ones_coefficients, base, out):
    """Sum the products of coded rows and units, all planes with all planes."""
    n_rows, n_planes, width = rows.shape
    n_pairs, n_units = coefficients.shape
    n_unit_planes = n_pairs // n_planes
    # Sums that fit the dtype of `out` are right in its arithmetic, whatever wraps on the way.
    factors = coefficients.astype(out.dtype)
    ones_factors = ones_coefficients.astype(out.dtype)
    start = base.astype(out.dtype)
    size = max(4, _COUNTS // (n_pairs * n_units))
    counts = np.empty((size, n_pairs, n_units), np.int32)
    ones = np.empty((size, len(ones_factors)), np.int32)
    for first in range(0, n_rows, size):
        n = min(size, n_rows - first)
        planes = rows[first : first + n].reshape(n * n_planes, width)
        count_mismatches(planes, units, counts[:n].reshape(n * n_planes, n_unit_planes * n_units))
        if len(ones_factors):
            count_ones(planes, ones[:n].reshape(n * n_planes))
        add_up(counts[:n], factors, ones[:n], ones_factors, start, out[first : first + n])
