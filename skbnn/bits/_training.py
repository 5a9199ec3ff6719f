"""Kernels of training: gradients rounded to 8-bit levels, sums pooled, norms.

To round, one pass finds the largest magnitude, on the bits of the floats, whose order is that of
the magnitudes; one rounds. Adding ``1.5 * 2**23`` leaves a number's nearest integer in the low
bits, ties to even, which LLVM turns into vectors where it would call a function for ``rint``; so
would a check for division by zero be in the way of vectors, hence NumPy's rules of errors.

Batch norm with a sign behind it reads a batch twice on each way, for moments and for results, and
writes nothing in between. Sums run over a few rows in float32 and then go on in float64. What takes
the place of the sign's derivative is a clip, or a table of any even function.
"""

import numpy as np
from numba import njit

from skbnn.bits.magnitudes import DIGITS, FIRST_STEP, LAST_STEP

__all__ = [
    "clipped_gradient",
    "clipped_moments",
    "column_moments",
    "normalize_signs",
    "pool_sums",
    "round_columns",
    "round_rows",
    "scale_sums",
    "spread_levels",
    "tabulated_gradient",
]

_CALLED = "7863259596c47c86"
_MAGNITUDE = np.int32(0x7FFFFFFF)
_TINY = np.finfo(np.float32).tiny
_LEVELS = np.float32(127)
_SHIFT = np.float32(1.5 * 2**23)
_ROWS = 64
_DIGITS, _FIRST, _LAST = np.int32(DIGITS), np.int32(FIRST_STEP), np.int32(LAST_STEP)


@njit(cache=True, nogil=True)
def _scales(magnitudes, scales):
    """Turn the bits of the largest magnitudes into the steps of the levels."""
    largest = magnitudes.view(np.float32)
    for i in range(len(scales)):
        scales[i] = max(largest[i] / _LEVELS, _TINY)


@njit(cache=True, nogil=True, error_model="numpy")
def round_rows(x, levels, scales):
    """Round each row to 8 bits of its own largest magnitude."""
    n_rows, n_columns = x.shape
    bits = x.view(np.int32)
    magnitudes = np.zeros(n_rows, np.int32)
    for n in range(n_rows):
        largest = np.int32(0)
        for i in range(n_columns):
            largest = max(largest, bits[n, i] & _MAGNITUDE)
        magnitudes[n] = largest
    _scales(magnitudes, scales)
    shifted = np.empty(n_columns, np.float32)
    whole = shifted.view(np.int32)
    for n in range(n_rows):
        scale = scales[n]
        for i in range(n_columns):
            shifted[i] = x[n, i] / scale + _SHIFT
        for i in range(n_columns):
            levels[n, i] = np.int8(whole[i])


@njit(cache=True, nogil=True, error_model="numpy")
def round_columns(x, levels, scales):
    """Round each column to 8 bits of its own largest magnitude."""
    n_rows, n_columns = x.shape
    bits = x.view(np.int32)
    magnitudes = np.zeros(n_columns, np.int32)
    for n in range(n_rows):
        for i in range(n_columns):
            magnitudes[i] = max(magnitudes[i], bits[n, i] & _MAGNITUDE)
    _scales(magnitudes, scales)
    shifted = np.empty(n_columns, np.float32)
    whole = shifted.view(np.int32)
    for n in range(n_rows):
        for i in range(n_columns):
            shifted[i] = x[n, i] / scales[i] + _SHIFT
        for i in range(n_columns):
            levels[n, i] = np.int8(whole[i])


@njit(cache=True, nogil=True)
def scale_sums(sums, scales):
    """Turn sums into real numbers, each row times its scale, in the same memory."""
    n_rows, n_columns = sums.shape
    numbers = sums.view(np.float32)
    for n in range(n_rows):
        scale = scales[n]
        for i in range(n_columns):
            numbers[n, i] = np.float32(sums[n, i]) * scale


@njit(cache=True, nogil=True)
def pool_sums(sums, pool_height, pool_width, out, winners):
    """Take the largest sum of each unit in every window of a pool, and say which it was."""
    n, height, width, n_units = out.shape
    winner = np.empty(n_units, np.int32)
    for image in range(n):
        for line in range(height):
            for column in range(width):
                best = out[image, line, column]
                best[:] = sums[image, line * pool_height, column * pool_width]
                winner[:] = 0
                for tap in range(1, pool_height * pool_width):
                    dy, dx = divmod(tap, pool_width)
                    candidates = sums[image, line * pool_height + dy, column * pool_width + dx]
                    for unit in range(n_units):
                        is_better = candidates[unit] > best[unit]
                        best[unit] = candidates[unit] if is_better else best[unit]
                        winner[unit] = tap if is_better else winner[unit]
                for unit in range(n_units):
                    winners[image, line, column, unit] = winner[unit]


@njit(cache=True, nogil=True)
def spread_levels(levels, winners, pool_height, pool_width, out):
    """Give each pooled level to the place that had won its pool, and 0 to all others."""
    n, height, width, n_units = levels.shape
    out[:] = 0
    for image in range(n):
        for line in range(height):
            for column in range(width):
                for tap in range(pool_height * pool_width):
                    dy, dx = divmod(tap, pool_width)
                    place = out[image, line * pool_height + dy, column * pool_width + dx]
                    for unit in range(n_units):
                        is_winner = winners[image, line, column, unit] == tap
                        place[unit] = levels[image, line, column, unit] if is_winner else 0


@njit(cache=True, nogil=True, error_model="numpy")
def column_moments(x, weights, means, variances):
    """Compute the weighted mean and variance of each column."""
    n_rows, n_columns = x.shape
    # Away from 0 squares would swallow the variance; any row is near enough.
    first = x[0].copy()
    sums, squares, total = np.zeros(n_columns), np.zeros(n_columns), 0.0
    some, of_some = np.empty(n_columns, np.float32), np.empty(n_columns, np.float32)
    for start in range(0, n_rows, _ROWS):
        some[:] = 0
        of_some[:] = 0
        for n in range(start, min(start + _ROWS, n_rows)):
            weight = weights[n]
            total += weight
            for i in range(n_columns):
                centred = x[n, i] - first[i]
                some[i] += weight * centred
                of_some[i] += weight * (centred * centred)
        for i in range(n_columns):
            sums[i] += some[i]
            squares[i] += of_some[i]
    for i in range(n_columns):
        mean = sums[i] / total
        means[i] = first[i] + mean
        variances[i] = max(squares[i] / total - mean * mean, 0.0)


@njit(cache=True, nogil=True)
def normalize_signs(x, means, slopes, shifts, out):
    """Take the signs of each column's affine map."""
    n_rows, n_columns = x.shape
    for n in range(n_rows):
        for i in range(n_columns):
            y = (x[n, i] - means[i]) * slopes[i] + shifts[i]
            out[n, i] = np.float32(1) if y >= 0 else np.float32(-1)


@njit(cache=True, nogil=True)
def clipped_moments(x, grad, means, slopes, shifts, bound, sums, products):
    """Sum up the gradient of each column where its affine map is small."""
    n_rows, n_columns = x.shape
    sums[:] = 0
    products[:] = 0
    some, of_some = np.empty(n_columns, np.float32), np.empty(n_columns, np.float32)
    for start in range(0, n_rows, _ROWS):
        some[:] = 0
        of_some[:] = 0
        for n in range(start, min(start + _ROWS, n_rows)):
            for i in range(n_columns):
                centred = x[n, i] - means[i]
                y = centred * slopes[i] + shifts[i]
                passed = grad[n, i] if abs(y) <= bound else np.float32(0)
                some[i] += passed
                of_some[i] += passed * centred
        for i in range(n_columns):
            sums[i] += some[i]
            products[i] += of_some[i]


@njit(cache=True, nogil=True)
def clipped_gradient(x, grad, weights, means, slopes, shifts, bound, constants, parts, out):
    """Compute the gradient of a batch norm with a clipped sign behind it."""
    n_rows, n_columns = x.shape
    for n in range(n_rows):
        weight = weights[n]
        for i in range(n_columns):
            centred = x[n, i] - means[i]
            y = centred * slopes[i] + shifts[i]
            passed = grad[n, i] if abs(y) <= bound else np.float32(0)
            of_batch = constants[i] + parts[i] * centred
            out[n, i] = slopes[i] * passed - weight * of_batch


@njit(cache=True, nogil=True)
def tabulated_gradient(x, grad, means, slopes, shifts, table, out):
    """Multiply a gradient by a function of the size of each column's affine map."""
    n_rows, n_columns = x.shape
    sizes = np.empty(n_columns, np.float32)
    bits = sizes.view(np.int32)
    for n in range(n_rows):
        for i in range(n_columns):
            sizes[i] = abs((x[n, i] - means[i]) * slopes[i] + shifts[i])
        for i in range(n_columns):
            step = min(max((bits[i] >> _DIGITS) - _FIRST, np.int32(0)), _LAST)
            out[n, i] = grad[n, i] * table[step]
