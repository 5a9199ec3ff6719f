"""Kernels that lay images out: windows without gaps, and pooled pixels.

A pixel is a few words, and an image is lines of pixels. What counts bits in windows of images
stands in :mod:`skbnn.bits._products`.
"""

import numpy as np
from numba import njit

from skbnn.bits.packing import WORD_BITS

__all__ = ["gather_windows", "pool_channels", "pool_images"]

_BITS = np.uint64(WORD_BITS)


@njit(cache=True, nogil=True)
def gather_windows(images, n_bits, height, width, stride, out):
    """Collect the bits under each place of a window, without gaps.

    Pixels are counted through, line after line: whatever is a number of pixels away is so for all
    of them, and every step is a shift of long vectors. What then wraps around the end of a line
    belongs to no place.
    """
    n_images, n_lines, n_columns, n_words = images.shape
    _, n_rows, n_places, n_out = out.shape
    n_pixels, span = n_lines * n_columns, width * n_bits
    n_pieces = (span + WORD_BITS - 1) // WORD_BITS
    pixels = np.empty(n_pixels, np.uint64)
    # A word more than the bits need: a shifted word may reach into the next with nothing but 0.
    spans = np.empty((n_pieces + 1, n_pixels), np.uint64)
    windows = np.empty((n_out + 1, n_pixels), np.uint64)
    for n in range(n_images):
        spans[:] = 0
        windows[:] = 0
        flat = images[n].reshape(n_pixels, n_words)
        for word in range(n_words):
            for k in range(n_pixels):
                pixels[k] = flat[k, word]
            for j in range(width):
                _shift_in(pixels[j:], j * n_bits + word * WORD_BITS, spans)
        for piece in range(n_pieces):
            for i in range(height):
                first = i * n_columns
                _shift_in(spans[piece, first:], i * span + piece * WORD_BITS, windows)
        for y in range(n_rows):
            for x in range(n_places):
                for word in range(n_out):
                    out[n, y, x, word] = windows[word, stride * (y * n_columns + x)]


@njit(cache=True, nogil=True)
def _shift_in(words, bit, out):
    """Add words to rows of words, each moved up by as many bits."""
    word, shift = bit // WORD_BITS, np.uint64(bit % WORD_BITS)
    low, high = out[word], out[word + 1]
    for k in range(len(words)):
        low[k] |= words[k] << shift
    if shift:
        for k in range(len(words)):
            high[k] |= words[k] >> (_BITS - shift)


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


@njit(cache=True, nogil=True)
def pool_channels(images, height, width, out):
    """Take the largest number of each channel in every window of a pool."""
    n_channels = min(images.shape[3], out.shape[3])
    out[:] = 0
    for n in range(len(out)):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                best, first = out[n, y, x], images[n, y * height, x * width]
                for channel in range(n_channels):
                    best[channel] = first[channel]
                for tap in range(1, height * width):
                    pixel = images[n, y * height + tap // width, x * width + tap % width]
                    for channel in range(n_channels):
                        best[channel] = max(best[channel], pixel[channel])
