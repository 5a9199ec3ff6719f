"""A whole convolution in one compiled call: from packed images to packed images, or to sums.

Each step is a kernel that also runs alone; what this saves is the way through Python between them,
which for a single image takes as long as the steps do.

A cached kernel is renewed only when its own file changes, which therefore names what it calls:
``_CALLED`` is a digest of it.
"""

import numpy as np
from numba import njit

from skbnn.bits._images import gather_windows, pool_images
from skbnn.bits._products import compare_windows, count_windows
from skbnn.bits._sums import sum_windows

__all__ = ["convolve_signs", "convolve_sums"]

_CALLED = "8db9fbd1c144daf8"
_CHUNK_WORDS = 1 << 14
_SUMS = 1 << 17


@njit(cache=True, nogil=True)
def convolve_signs(images, pixel, n_bits, taps, units, limits, rows, columns, pool, minima, out):
    """Pad images, compare the sums of their windows with limits, and pool the bits."""
    n_images, n_lines, n_columns, n_words = images.shape
    height, width, stride = taps
    top, left = height // 2, width // 2
    shape = (n_lines + 2 * top, n_columns + 2 * left)
    n_rows, n_places, n_out = rows[-1], columns[-1], out.shape[3]
    # A few images at a time stay in cache.
    size = max(1, min(n_images, _CHUNK_WORDS // (shape[0] * shape[1] * n_words)))
    padded = np.empty((size, *shape, n_words), np.uint64)
    padded[:] = pixel
    windows = np.empty((size if n_bits else 0, n_rows, n_places, units.shape[1]), np.uint64)
    is_pooled = pool[0] * pool[1] > 1
    bits = np.empty((size if is_pooled else 0, n_rows, n_places, n_out), np.uint64)
    for first in range(0, n_images, size):
        n = min(size, n_images - first)
        made = out[first : first + n]
        padded[:n, top : top + n_lines, left : left + n_columns] = images[first : first + n]
        results = bits[:n] if is_pooled else made
        if n_bits:
            gather_windows(padded[:n], n_bits, height, width, stride, windows[:n])
            compare_windows(windows[:n], 1, 1, 1, units, limits, rows, columns, results)
        else:
            compare_windows(
                padded[:n], height, width, stride, units, limits, rows, columns, results
            )
        if is_pooled:
            pool_images(results, pool[0], pool[1], minima, made)


@njit(cache=True, nogil=True)
def convolve_sums(
    images, pixel, n_bits, taps, units, factors, base, corrections, rows, columns, pool, minima, out
):
    """Pad images, sum the products of their windows with units of all planes, and pool the sums."""
    n_images, n_planes, n_lines, n_columns, n_words = images.shape
    n_units, n_ones = out.shape[3], factors.shape[1] - n_planes * (len(units) // len(factors))
    height, width, _ = taps
    shape = (n_lines + height // 2 * 2, n_columns + width // 2 * 2)
    n_rows, n_places = rows[-1], columns[-1]
    missing = corrections.astype(out.dtype)
    # A few images at a time stay in cache, and the sums of their places.
    most = min(
        _CHUNK_WORDS // (shape[0] * shape[1] * n_words * n_planes),
        _SUMS // (n_rows * n_places * n_units),
    )
    size = max(1, min(n_images, most))
    padded = np.empty((size * n_planes, *shape, n_words), np.uint64)
    padded[:] = pixel
    windows = np.empty(
        (size * n_planes if n_bits else 0, n_rows, n_places, units.shape[1]), np.uint64
    )
    blank = np.zeros((1, units.shape[1], 16), np.uint64)
    ones = np.empty((size, n_rows, n_places, n_ones, 1), np.int32)
    is_pooled = pool[0] * pool[1] > 1
    sums = np.empty((size if is_pooled else 0, n_rows, n_places, n_units), out.dtype)
    read = (1, 1, 1) if n_bits else taps
    for first in range(0, n_images, size):
        n = min(size, n_images - first)
        part = images[first : first + n].reshape(n * n_planes, n_lines, n_columns, n_words)
        top, left = height // 2, width // 2
        padded[: len(part), top : top + n_lines, left : left + n_columns] = part
        laid = padded[: len(part)]
        if n_bits:
            gather_windows(laid, n_bits, height, width, taps[2], windows[: len(part)])
            laid = windows[: len(part)]
        laid = laid.reshape(n, n_planes, laid.shape[1], laid.shape[2], laid.shape[3])
        if n_ones:
            count_windows(laid, read[0], read[1], read[2], blank, ones[:n])
        made = out[first : first + n]
        results = sums[:n] if is_pooled else made
        counted = ones[:n].reshape(n, n_rows, n_places, n_ones)
        sum_windows(laid, read, units, factors, counted, base, results)
        _correct(results, missing, rows, columns)
        if is_pooled:
            _pool(results, pool, minima, made)


@njit(cache=True, nogil=True)
def _correct(sums, missing, rows, columns):
    """Add to the sums of each zone of places what is missing there."""
    for i in range(missing.shape[0]):
        for j in range(missing.shape[1]):
            if missing[i, j].any():
                for n in range(len(sums)):
                    for y in range(rows[i], rows[i + 1]):
                        for x in range(columns[j], columns[j + 1]):
                            sums[n, y, x] += missing[i, j]


@njit(cache=True, nogil=True)
def _pool(sums, pool, minima, out):
    """Take the largest sums of a pool, or the least."""
    height, width = pool
    for n in range(len(out)):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                best, first = out[n, y, x], sums[n, y * height, x * width]
                for unit in range(len(best)):
                    best[unit] = first[unit]
                for tap in range(1, height * width):
                    place = sums[n, y * height + tap // width, x * width + tap % width]
                    for unit in range(len(best)):
                        most, least = max(best[unit], place[unit]), min(best[unit], place[unit])
                        best[unit] = least if minima[unit] else most
