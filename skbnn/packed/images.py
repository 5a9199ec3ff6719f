"""Input operations for images: every pixel coded alike, and small blocks of pixels made one.

A convolution treats all places of an image alike, so thresholds (or mean and variance) belong to
a channel and not to a pixel. With ``block = b``, each square of b x b pixels becomes one pixel of
b^2 times the channels (*space to depth*): fewer places, each with more bits, which suits words.
"""

import math
from dataclasses import dataclass

import numpy as np

from skbnn.bits import n_words
from skbnn.packed.checks import require, require_array
from skbnn.packed.encode import (
    PIXEL_OFFSET,
    PIXEL_SCALES,
    as_pixels,
    refuse,
    refuse_not_finite,
    require_columns,
)
from skbnn.packed.operation import Operation, register
from skbnn.packed.values import BitImage, Raw, Reals

__all__ = ["ImageLayout", "ImagePlanes", "ImageStandardize", "ImageThermometer"]

_MOST_FEATURES = 1 << 24


@dataclass(frozen=True)
class ImageLayout:
    """How raw rows are images.

    Parameters
    ----------
    shape : tuple of three ints
        Height, width and channels; a row is ordered line by line, pixel by pixel, channel by
        channel.
    block : int
        Side of the squares of pixels that become one; it divides height and width.
    """

    shape: tuple[int, ...]
    block: int = 1

    def __post_init__(self):
        fits = len(self.shape) == 3 and min(self.shape) >= 1
        require(fits, f"{self.shape} is no height, width and channels of an image.")
        require(self.n_features <= _MOST_FEATURES, f"Images of {self.shape} are too large.")
        divides = self.block >= 1 and not any(size % self.block for size in self.shape[:2])
        require(divides, f"Images of {self.shape} have no blocks of {self.block} x {self.block}.")

    @property
    def n_features(self):
        """Width of a row."""
        return math.prod(self.shape)

    @property
    def places(self):
        """Lines and columns of blocks."""
        return tuple(size // self.block for size in self.shape[:2])

    @property
    def n_pixels(self):
        """Pixels of an image."""
        return self.shape[0] * self.shape[1]

    @property
    def steps(self):
        """Features from one line of blocks to the next, and from one block to the next."""
        _, width, channels = self.shape
        return self.block * width * channels, self.block * channels

    def features(self, channels):
        """Return features of the first block: the given channels of each of its pixels."""
        line, column = np.mgrid[: self.block, : self.block].reshape(2, -1, 1)
        return ((line * self.shape[1] + column) * self.shape[2] + channels).ravel()

    def columns(self, channels):
        """Return the features of all blocks, one block after another."""
        (lines, columns), (line, column) = self.places, self.steps
        places = np.add.outer(line * np.arange(lines), column * np.arange(columns))
        return np.add.outer(places, self.features(channels)).ravel()


@register("image-thermometer")
@dataclass(frozen=True, eq=False)
class ImageThermometer(Operation):
    """Thermometer bits of pixels: one for each threshold of each channel, ``float32(x) >= t``.

    The bits of a block of pixels are ordered line by line, pixel by pixel, channel by channel,
    from the lowest threshold to the highest.

    Parameters
    ----------
    counts : uint8 ndarray of shape (n_channels,)
        Number of thresholds of each channel.
    thresholds : uint8 or float32 ndarray of shape (n_thresholds,)
        Thresholds, channel by channel, rising; uint8 where the training data was.
    layout : ImageLayout
        How rows are images.
    """

    counts: np.ndarray
    thresholds: np.ndarray
    layout: ImageLayout

    def __post_init__(self):
        require_array("counts", self.counts, [np.uint8], (self.layout.shape[2],))
        n_thresholds = int(self.counts.sum(dtype=np.int64))
        require_array("thresholds", self.thresholds, [np.uint8, np.float32], (n_thresholds,))
        self.freeze_arrays()
        rises = (self.thresholds[1:] > self.thresholds[:-1]) | (np.diff(self.channels) > 0)
        require(bool(rises.all()), "The thresholds of a channel must rise.")

    @property
    def channels(self):
        """Channel of each threshold, an int64 array of shape (n_thresholds,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def takes(self):
        """Raw rows."""
        return Raw(self.layout.n_features)

    @property
    def shape(self):
        """Height, width and channels of the result."""
        return (*self.layout.places, self.layout.block**2 * len(self.thresholds))

    @property
    def gives(self):
        """A sign code of the blocks of pixels."""
        return BitImage(self.shape)

    def encoding(self):
        """Return what ``encode_images`` takes beside rows: thresholds, features and steps."""
        thresholds = np.tile(self.thresholds, self.layout.block**2).astype(np.float32)
        return thresholds, self.layout.features(self.channels), self.layout.steps

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        encoding, sizes = self.encoding(), (*self.layout.places, n_words(self.shape[2]))

        def run(X):
            out = np.empty((len(X), *sizes), np.uint64)
            refuse(kernels.encode_images(X, *encoding, out))
            return out[:, None]

        return run


@register("image-planes")
@dataclass(frozen=True, eq=False)
class ImagePlanes(Operation):
    """The eight binary digits of 8-bit pixels, each digit a plane; see :class:`BitPlanes`.

    A convolution of them is one of pixels times one-bit weights, exactly, as the first layer of
    many binarized networks. The pixels of a block are ordered line by line, each channel by
    channel.

    Parameters
    ----------
    layout : ImageLayout
        How rows are images.
    """

    layout: ImageLayout

    @property
    def takes(self):
        """Raw rows."""
        return Raw(self.layout.n_features)

    @property
    def shape(self):
        """Height, width and channels of the result."""
        return (*self.layout.places, self.layout.block**2 * self.layout.shape[2])

    @property
    def gives(self):
        """Eight planes of images and an offset."""
        return BitImage(self.shape, PIXEL_SCALES, PIXEL_OFFSET)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        *places, n_bits = self.shape
        columns = self.layout.columns(np.arange(self.layout.shape[2]))
        order = np.arange(n_bits, dtype=np.int32)

        def run(X):
            pixels = as_pixels(X)[:, columns].reshape(-1, n_bits)
            out = np.empty((len(pixels), len(PIXEL_SCALES), n_words(n_bits)), np.uint64)
            kernels.encode_planes(pixels, order, out)
            out = out.reshape(len(X), *places, *out.shape[1:])
            return np.ascontiguousarray(out.transpose(0, 3, 1, 2, 4))

        return run


@register("image-standardize")
@dataclass(frozen=True, eq=False)
class ImageStandardize(Operation):
    """Standardised pixels: ``(x - mean) * scale``, constant channels left out.

    Parameters
    ----------
    channels : int32 ndarray of shape (n_used,)
        Channels in use, in rising order.
    means, scales : float32 ndarray of shape (n_used,)
        Mean and reciprocal standard deviation of each.
    layout : ImageLayout
        How rows are images.
    """

    channels: np.ndarray
    means: np.ndarray
    scales: np.ndarray
    layout: ImageLayout

    def __post_init__(self):
        require_columns(self.channels, self.layout.shape[2])
        for name in ("means", "scales"):
            require_array(name, getattr(self, name), [np.float32], (len(self.channels),))
        self.freeze_arrays()

    @property
    def takes(self):
        """Raw rows."""
        return Raw(self.layout.n_features)

    @property
    def shape(self):
        """Height, width and channels of the result."""
        return (*self.layout.places, self.layout.block**2 * len(self.channels))

    @property
    def gives(self):
        """Standardised rows, blocks of pixels line by line."""
        return Reals(math.prod(self.shape))

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        columns = self.layout.columns(self.channels.astype(np.int64))
        repeated = (np.tile(a, self.layout.n_pixels) for a in (self.means, self.scales))
        means, scales = (a.astype(real) for a in repeated)

        def run(X):
            refuse_not_finite(X)
            return (X[:, columns].astype(real, copy=False) - means) * scales

        return run
