"""Windows that pass over images, and how kernels read them.

Kernels read windows in one of two layouts, derived when a program is prepared. Usually a window
is read where it lies in the padded image, line by line, each pixel in whole words. Where pixels
have so few bits that this at least doubles the words, windows are gathered without gaps first
(measured at 14 x 14 pixels of 12 bits, 64 units: 5.0 instead of 8.3 microseconds an image).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skbnn.bits import pack_bits, unpack_bits
from skbnn.packed.checks import require

__all__ = ["CHUNK_WORDS", "Layout", "Window", "layout_of", "pool"]

CHUNK_WORDS = 1 << 14
"""Elements of the images that are worked on at once, so that they stay in cache."""


@dataclass(frozen=True)
class Window:
    """How a convolution passes over images: *same* padding, then pooling.

    Parameters
    ----------
    shape : tuple of three ints
        Height, width and channels of the images.
    kernel : tuple of two ints
        Height and width of the window, odd.
    stride : int
        Step of the window.
    pool : tuple of two ints
        Height and width over which results are pooled, which is also the step. Lines and columns
        that fill no window of the pool are left out.
    """

    shape: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: int
    pool: tuple[int, ...]

    def __post_init__(self):
        require(len(self.shape) == 3 and min(self.shape) >= 1, f"{self.shape} is no image shape.")
        odd = len(self.kernel) == 2 and all(k >= 1 and k % 2 == 1 for k in self.kernel)
        require(odd, f"A kernel has two odd sizes, not {self.kernel}.")
        fits = all(k < 2 * size for k, size in zip(self.kernel, self.shape[:2], strict=True))
        require(fits, f"A kernel of {self.kernel} has taps that no pixel of {self.shape} meets.")
        require(1 <= self.stride < 2**31, f"A stride of {self.stride} is not possible.")
        pools = len(self.pool) == 2 and all(
            1 <= p <= size for p, size in zip(self.pool, self.places, strict=True)
        )
        require(pools, f"Results of {self.places} places cannot be pooled by {self.pool}.")

    @property
    def n_taps(self):
        """Elements of a window: height, width and channels."""
        return self.kernel[0] * self.kernel[1] * self.shape[2]

    @property
    def places(self):
        """Lines and columns of places of the window."""
        return tuple((size - 1) // self.stride + 1 for size in self.shape[:2])

    @property
    def pooled(self):
        """Lines and columns of the pooled results."""
        return tuple(n // p for n, p in zip(self.places, self.pool, strict=True))

    @property
    def margins(self):
        """Pixels that pad each side: above and below, left and right."""
        return tuple(k // 2 for k in self.kernel)

    def pad(self, images, out):
        """Copy images (..., height, width, x) into the middle of padded ones."""
        (top, left), (height, width) = self.margins, self.shape[:2]
        out[..., top : top + height, left : left + width, :] = images

    def zones(self, axis):
        """Return the zones of lines (0) or columns (1) of places whose windows are cut alike.

        Returns
        -------
        ends : int64 ndarray of shape (n_zones + 1,)
            Where zones begin and, at last, end.
        taps : list of slice
            The taps that meet pixels, in each zone.
        """
        size, kernel, margin = self.shape[axis], self.kernel[axis], self.margins[axis]
        start = self.stride * np.arange(self.places[axis]) - margin
        first, last = np.maximum(-start, 0), np.minimum(size - start, kernel)
        starts = np.flatnonzero(np.diff(first, prepend=-1) | np.diff(last, prepend=-1))
        taps = [slice(int(first[i]), int(last[i])) for i in starts]
        return np.array([*starts, len(start)], np.int64), taps


def pool(images, sizes):
    """Return images pooled.

    Parameters
    ----------
    images : ndarray of shape (n, lines, columns, n_channels)
        Images.
    sizes : tuple of two ints
        Height and width of the pool, which is also the step. Lines and columns that fill no pool
        are left out.

    Returns
    -------
    pooled : ndarray of shape (n, lines // height, columns // width, n_channels)
    """
    if sizes == (1, 1):
        return images
    height, width = sizes
    lines, columns = images.shape[1] // height, images.shape[2] // width
    cut = images[:, : lines * height, : columns * width]
    pooled = cut[:, ::height, ::width].copy()
    for i in range(height):
        for j in range(width):
            np.maximum(pooled, cut[:, i::height, j::width], out=pooled)
    return pooled


class Layout(NamedTuple):
    """How kernels read images and weights.

    Attributes
    ----------
    words : uint64 ndarray of shape (n_planes, n_units, n_window_words)
        The units' words in the order in which the words of a window come.
    pixel : uint64 ndarray of shape (n_words(channels),)
        What pads images.
    gathered_bits : int
        Bits of a pixel where windows are gathered without gaps; 0 where they are read as they lie.
    """

    words: np.ndarray
    pixel: np.ndarray
    gathered_bits: int


def layout_of(window, words, padding_bit):
    """Return the layout in which kernels read images and weights.

    Parameters
    ----------
    window : Window
        The window.
    words : uint64 ndarray of shape (n_planes, n_units, n_words(window.n_taps))
        Canonical weights.
    padding_bit : bool
        What pads the images.

    Returns
    -------
    layout : Layout
    """
    channels = window.shape[2]
    pixel = pack_bits(np.full(channels, padding_bit))
    aligned = pack_bits(unpack_bits(words, window.n_taps).reshape(*words.shape[:2], -1, channels))
    aligned = aligned.reshape(*words.shape[:2], -1)
    if 2 * words.shape[2] <= aligned.shape[2]:
        return Layout(words, pixel, channels)
    return Layout(aligned, pixel, 0)
