"""A whole plain convolution in one compiled call: from packed images to packed images.

Each step is a kernel that also runs alone; what this saves is the way through Python between them,
which for a single image takes as long as the steps do.

A cached kernel is renewed only when its own file changes: after an edit of one that it calls, touch
this file too.
"""

import numpy as np
from numba import njit

from skbnn.bits._images import gather_windows, pool_images
from skbnn.bits._products import compare_windows

__all__ = ["convolve_signs"]

_CHUNK_WORDS = 1 << 14


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
