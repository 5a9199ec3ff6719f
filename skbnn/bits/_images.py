"""Kernels that lay images out: windows without gaps, and pooled pixels.

A pixel is a few words, and an image is lines of pixels. What counts bits in windows of images
stands in :mod:`skbnn.bits._products`.
"""

import numpy as np
from numba import njit

from skbnn.bits.packing import WORD_BITS

__all__ = ["gather_windows", "pool_images"]

_ONE, _LAST = np.uint64(1), np.uint64(WORD_BITS - 1)


@njit(cache=True, nogil=True)
def gather_windows(images, n_bits, height, width, stride, out):
    """Collect the bits under each place of a window, without gaps.

    Each line of pixels is gathered once, for all the windows that it is part of. Columns run
    fastest, so that every step is a shift of a whole vector.
    """
    n_images, n_lines, _, n_words = images.shape
    _, n_rows, n_columns, n_out = out.shape
    span = width * n_bits
    n_pieces = (span + WORD_BITS - 1) // WORD_BITS
    # A word more than the bits need: a shifted word may reach into the next with nothing but 0.
    spans = np.empty((n_lines, n_pieces + 1, n_columns), np.uint64)
    windows = np.empty((n_out + 1, n_columns), np.uint64)
    for n in range(n_images):
        spans[:] = 0
        for j in range(width):
            for word in range(n_words):
                piece, shift = _place(j * n_bits + word * WORD_BITS)
                for y in range(n_lines):
                    for x in range(n_columns):
                        bits = images[n, y, j + stride * x, word]
                        spans[y, piece, x] |= bits << shift
                        spans[y, piece + 1, x] |= (bits >> _ONE) >> (_LAST - shift)
        for y in range(n_rows):
            windows[:] = 0
            for i in range(height):
                for piece in range(n_pieces):
                    word, shift = _place(i * span + piece * WORD_BITS)
                    for x in range(n_columns):
                        bits = spans[y * stride + i, piece, x]
                        windows[word, x] |= bits << shift
                        windows[word + 1, x] |= (bits >> _ONE) >> (_LAST - shift)
            for word in range(n_out):
                for x in range(n_columns):
                    out[n, y, x, word] = windows[word, x]


@njit(cache=True, nogil=True)
def _place(bit):
    """Return the word of a bit, and its place there."""
    return bit // WORD_BITS, np.uint64(bit % WORD_BITS)


@njit(cache=True, nogil=True)
def pool_images(images, height, width, minima, out):
    """Pool the bits of neighbouring pixels: whether any is 1, or whether all are."""
    n_images, n_rows, n_columns, n_words = out.shape
    for n in range(n_images):
        for y in range(n_rows):
            for x in range(n_columns):
                for word in range(n_words):
                    first = images[n, y * height, x * width, word]
                    any_bits, all_bits = first, first
                    for i in range(height):
                        for j in range(width):
                            bits = images[n, y * height + i, x * width + j, word]
                            any_bits |= bits
                            all_bits &= bits
                    out[n, y, x, word] = any_bits ^ ((any_bits ^ all_bits) & minima[word])
