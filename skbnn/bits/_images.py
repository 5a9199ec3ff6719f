"""Kernels that lay images out: borders around them, windows without gaps, pooled pixels.

A pixel is a few words, and an image is lines of pixels. What counts bits in windows of images
stands in :mod:`skbnn.bits._products`.
"""

import numpy as np
from numba import njit

from skbnn.bits.packing import WORD_BITS

__all__ = ["gather_windows", "pad_images", "pool_images"]


@njit(cache=True, nogil=True)
def pad_images(images, border, top, left, out):
    """Copy images into larger ones."""
    n_images, height, width, n_words = images.shape
    bottom, right = top + height, left + width
    for n in range(n_images):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                if y < top or y >= bottom or x < left or x >= right:
                    for word in range(n_words):
                        out[n, y, x, word] = border[word]
        for y in range(height):
            out[n, top + y, left:right] = images[n, y]


@njit(cache=True, nogil=True)
def _append(words, start, bits):
    """Write bits, 0 beyond their number, into words that are 0 from bit `start` on."""
    word, shift = start // WORD_BITS, np.uint64(start % WORD_BITS)
    words[word] |= bits << shift
    if shift:
        rest = bits >> (np.uint64(WORD_BITS) - shift)
        if rest:
            words[word + 1] |= rest


@njit(cache=True, nogil=True)
def gather_windows(images, n_bits, height, width, stride, out):
    """Collect the bits under each place of a window, without gaps."""
    n_images, n_lines, n_pixels, n_words = images.shape
    # One word more than the bits need, so that two neighbours can always be read.
    lines = np.empty((n_lines, (n_pixels * n_bits) // WORD_BITS + 2), np.uint64)
    span = width * n_bits
    n_pieces = (span + WORD_BITS - 1) // WORD_BITS
    last = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(n_pieces * WORD_BITS - span)
    for n in range(n_images):
        lines[:] = 0
        for y in range(n_lines):
            for x in range(n_pixels):
                for word in range(n_words):
                    _append(lines[y], x * n_bits + word * WORD_BITS, images[n, y, x, word])
        out[n] = 0
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                start = x * stride * n_bits
                shift = np.uint64(start % WORD_BITS)
                for i in range(height):
                    word = start // WORD_BITS
                    for piece in range(n_pieces):
                        low, high = lines[y * stride + i, word], lines[y * stride + i, word + 1]
                        # Two shifts, for a shift by 64 is not defined.
                        bits = (low >> shift) | ((high << np.uint64(1)) << (np.uint64(63) - shift))
                        if piece == n_pieces - 1:
                            bits &= last
                        _append(out[n, y, x], i * span + piece * WORD_BITS, bits)
                        word += 1


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
