"""Kernels of training: functions of activations of two slopes, and of a few levels.

Each reads a batch once. As in :mod:`skbnn.bits._training`, sums run over a few rows in float32 and
then go on in float64; choices are written so that LLVM turns them into vectors.
"""

import numpy as np
from numba import njit

__all__ = ["bend", "bend_moments", "level_moments", "quantize_levels"]

_ROWS = 64


@njit(cache=True, nogil=True)
def bend(x, centers, rises, falls, shifts, out):
    """Take the function of two slopes of each column."""
    n_rows, n_columns = x.shape
    for n in range(n_rows):
        for i in range(n_columns):
            moved = x[n, i] - centers[i]
            slope = rises[i] if moved > 0 else falls[i]
            out[n, i] = slope * moved + shifts[i]


@njit(cache=True, nogil=True)
def bend_moments(x, grad, centers, rises, falls, out, sums):
    """Compute the gradient of a function of two slopes, and its sums on either side."""
    n_rows, n_columns = x.shape
    sums[:] = 0
    some = np.empty((4, n_columns), np.float32)
    above, below, above_moved, below_moved = some
    for start in range(0, n_rows, _ROWS):
        some[:] = 0
        for n in range(start, min(start + _ROWS, n_rows)):
            for i in range(n_columns):
                moved, pull = x[n, i] - centers[i], grad[n, i]
                is_above = moved > 0
                out[n, i] = (rises[i] if is_above else falls[i]) * pull
                upper = pull if is_above else np.float32(0)
                lower = np.float32(0) if is_above else pull
                above[i] += upper
                below[i] += lower
                above_moved[i] += upper * moved
                below_moved[i] += lower * moved
        for k in range(4):
            for i in range(n_columns):
                sums[k, i] += some[k, i]


@njit(cache=True, nogil=True)
def quantize_levels(x, thresholds, values, out):
    """Give each number the value of its level."""
    n_rows, n_columns = x.shape
    n_steps = len(thresholds)
    for n in range(n_rows):
        row = out[n]
        row[:] = values[0]
        for step in range(n_steps):
            value, limits = values[step + 1], thresholds[step]
            for i in range(n_columns):
                row[i] = value if x[n, i] >= limits[i] else row[i]


@njit(cache=True, nogil=True)
def level_moments(x, thresholds, counts, sums):
    """Count the numbers of each level, and sum them up."""
    n_rows, n_columns = x.shape
    n_steps = len(thresholds)
    counts[:] = 0
    sums[:] = 0
    met, some = np.empty(n_columns, np.float32), np.empty(n_columns, np.float32)
    for start in range(0, n_rows, _ROWS):
        stop = min(start + _ROWS, n_rows)
        # Of what is above each threshold; the difference between two is that of a level.
        for step in range(n_steps + 1):
            met[:] = 0
            some[:] = 0
            for n in range(start, stop):
                for i in range(n_columns):
                    is_met = step == 0 or x[n, i] >= thresholds[step - 1]
                    met[i] += np.float32(1) if is_met else np.float32(0)
                    some[i] += x[n, i] if is_met else np.float32(0)
            for i in range(n_columns):
                counts[step] += met[i]
                sums[step] += some[i]
    for step in range(n_steps):
        counts[step] -= counts[step + 1]
        sums[step] -= sums[step + 1]
