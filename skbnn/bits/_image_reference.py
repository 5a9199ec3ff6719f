"""The definitions of the kernels of images; see :mod:`skbnn.bits.reference`."""

import math

import numpy as np

from skbnn.bits._blocks import mismatches, plain_units, row_blocks
from skbnn.bits._sums_reference import sum_products
from skbnn.bits.packing import WORD_BITS, n_words, pack_bits, unpack_bits

__all__ = [
    "compare_windows",
    "convolve_signs",
    "convolve_sums",
    "count_windows",
    "encode_images",
    "gather_windows",
    "pool_channels",
    "pool_images",
    "run_convolutions",
]


def _windows(images, height, width, stride):
    """Return the windows of images as rows: shape (..., n_rows, n_columns, height * width * w)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (height, width), (-3, -2))
    windows = windows[..., ::stride, ::stride, :, :, :]
    # The words of a pixel come first among the three last axes; they belong last.
    windows = np.moveaxis(windows, -3, -1)
    return windows.reshape(*windows.shape[:-3], -1)


def gather_windows(images, n_bits, height, width, stride, out):
    """Collect the bits under each place of a window, without gaps.

    Parameters
    ----------
    images : uint64 ndarray of shape (n_images, image height, image width, n_words(n_bits))
        Images of packed pixels.
    n_bits : int
        Bits of a pixel.
    height, width, stride : int
        Size and step of the window.
    out : uint64 ndarray of shape (n_images, n_rows, n_columns, n_words(height * width * n_bits))
        Bit ``(i * width + j) * n_bits + c`` of a place is bit c of pixel (i, j) of its window.
    """
    for block in row_blocks(len(images), out[0].size * WORD_BITS if len(out) else 1):
        bits = unpack_bits(images[block], n_bits)
        out[block] = pack_bits(_windows(bits, height, width, stride))


def count_windows(images, height, width, stride, units, out):
    """Count the bits in which windows of images and units differ.

    Parameters
    ----------
    images : uint64 ndarray of shape (n_images, n_planes, image height, image width, n_words)
        Images of packed pixels, padding included.
    height, width, stride : int
        Size and step of the window.
    units : uint64 ndarray of shape (n_blocks, height * width * n_words, lanes)
        Interleaved units, lanes 16 or 32; a unit's words are those of its pixels, row by row.
    out : int32 ndarray of shape (n_images, n_rows, n_columns, n_planes, n_units)
        Mismatches of each place of the window, for the first units only where ``n_units`` is
        less than ``n_blocks * lanes``.
    """
    for image, result in zip(images, out, strict=True):
        windows = _windows(image, height, width, stride)
        counts = mismatches(windows.reshape(-1, units.shape[1]), units, out.shape[4])
        counts = counts.reshape(*windows.shape[:3], -1)
        result[:] = np.moveaxis(counts, 0, 2)


def compare_windows(images, height, width, stride, units, limits, rows, columns, out):
    """Compare the mismatches of windows and units with limits: a whole convolution.

    Limits depend on the place only in zones, since zeros around an image, which have no bit,
    change the sums near its borders.

    Parameters
    ----------
    images : uint64 ndarray of shape (n_images, image height, image width, n_words)
        Images of packed pixels, padding included.
    height, width, stride : int
        Size and step of the window.
    units : uint64 ndarray of shape (n_blocks, height * width * n_words, lanes)
        Units as :func:`~skbnn.bits.comparison_layout` lays them out: with 32 lanes, a unit's words
        are those of its pixels, row by row; with 16, their running parities column by column.
    limits : int64 ndarray of shape (n_row_zones, n_column_zones, n_blocks * lanes)
        Limit of each unit in each zone; -1 for units that are padding, so that their bit is 0.
    rows, columns : int64 ndarray of shape (n_row_zones + 1,), (n_column_zones + 1,)
        Where zones begin and, at last, end.
    out : uint64 ndarray of shape (n_images, n_rows, n_columns, n_words(n_blocks * lanes))
        Packed pixels of the bits ``mismatches <= limit``.
    """
    units = plain_units(units, (height, width))
    zones = np.repeat(np.repeat(limits, np.diff(rows), 0), np.diff(columns), 1)
    for image, result in zip(images, out, strict=True):
        windows = _windows(image, height, width, stride)
        counts = mismatches(windows.reshape(-1, units.shape[1]), units, limits.shape[2])
        result[:] = pack_bits(counts.reshape(zones.shape) <= zones)


def pool_channels(images, height, width, out):
    """Take the largest number of each channel in every window of a pool.

    Parameters
    ----------
    images : int32 or float ndarray of shape (n_images, image height, image width, n_channels)
        Images.
    height, width : int
        Size and step of the window. Lines and columns that fill no window are left out.
    out : ndarray of the same dtype, of shape (n_images, pooled height, pooled width, n_out)
        Pooled images: their first channels, or all of them and zeros behind.
    """
    n_lines, n_columns = out.shape[1:3]
    kept = min(images.shape[3], out.shape[3])
    cut = images[:, : n_lines * height, : n_columns * width, :kept]
    split = cut.reshape(len(images), n_lines, height, n_columns, width, kept)
    out[...] = 0
    out[..., :kept] = split.max((2, 4))


def convolve_signs(images, pixel, n_bits, taps, units, limits, rows, columns, pool, minima, out):
    """Pad images, compare the sums of their windows with limits, and pool the bits.

    Parameters
    ----------
    images : uint64 ndarray of shape (n_images, image height, image width, n_words)
        Images of packed pixels.
    pixel : uint64 ndarray of shape (n_words,)
        What pads them, half a window's height and width on each side.
    n_bits : int
        Bits of a pixel, where windows are gathered without gaps before they are compared; 0 where
        they are read as they lie.
    taps : tuple of three ints
        Height, width and step of the window, odd the first two.
    units, limits, rows, columns
        See :func:`compare_windows`; with gathered windows, a unit's words are theirs.
    pool : tuple of two ints
        Height and width over which bits are pooled, see :func:`pool_images`.
    minima : uint64 ndarray of shape (n_words(n_units),)
        Bits of which all have to be 1 in a pool.
    out : uint64 ndarray of shape (n_images, pooled rows, pooled columns, n_words(n_blocks * lanes))
        Packed pixels.
    """
    places = (rows[-1], columns[-1])
    read = (1, 1, 1) if n_bits else taps
    for image, result in zip(images, out, strict=True):
        laid = _laid_out(image[None], pixel, n_bits, taps, (*places, units.shape[1]))
        bits = np.empty((1, *places, out.shape[3]), np.uint64)
        compare_windows(laid, *read, units, limits, rows, columns, bits)
        pool_images(bits, *pool, minima, result[None])


def convolve_sums(
    images, pixel, n_bits, taps, units, factors, base, corrections, rows, columns, pool, minima, out
):
    """Pad images, sum the products of their windows with units of all planes, and pool the sums.

    Parameters
    ----------
    images : uint64 ndarray of shape (n_images, n_planes, image height, image width, n_words)
        Images of packed pixels.
    pixel, n_bits, taps
        See :func:`convolve_signs`.
    units, factors, base
        See :func:`skbnn.bits.reference.sum_products`; a row is the window of a place.
    corrections : int64 ndarray of shape (n_row_zones, n_column_zones, n_units)
        Added to the sums of each zone.
    rows, columns : int64 ndarray of shape (n_row_zones + 1,), (n_column_zones + 1,)
        Where zones begin and, at last, end.
    pool : tuple of two ints
        Height and width over which sums are pooled.
    minima : bool ndarray of shape (n_units,)
        Units of whose sums the least is taken instead of the largest.
    out : int16, int32 or int64 ndarray of shape (n_images, pooled rows, pooled columns, n_units)
        Sums.
    """
    places, n_units = (rows[-1], columns[-1]), out.shape[3]
    read = (1, 1, 1) if n_bits else taps
    added = np.repeat(np.repeat(corrections, np.diff(rows), 0), np.diff(columns), 1)
    for image, result in zip(images, out, strict=True):
        laid = _laid_out(image, pixel, n_bits, taps, (*places, units.shape[1]))
        windows = np.moveaxis(_windows(laid, *read), 0, 2)
        windows = windows.reshape(math.prod(places), len(laid), units.shape[1])
        sums = np.empty((len(windows), n_units), np.int64)
        sum_products(windows, units, factors, base, sums)
        sums = sums.reshape(*places, n_units) + added
        height, width = result.shape[:2]
        cut = sums[: height * pool[0], : width * pool[1]]
        split = cut.reshape(height, pool[0], width, pool[1], n_units)
        result[:] = np.where(minima, split.min((1, 3)), split.max((1, 3)))


def _laid_out(planes, pixel, n_bits, taps, shape):
    """Return planes of an image padded, or the windows of their places gathered."""
    height, width, stride = taps
    n, n_lines, n_columns, n_words = planes.shape
    padded = np.empty(
        (n, n_lines + height // 2 * 2, n_columns + width // 2 * 2, n_words), np.uint64
    )
    padded[:] = pixel
    padded[:, height // 2 :, width // 2 :][:, :n_lines, :n_columns] = planes
    if not n_bits:
        return padded
    windows = np.empty((n, *shape), np.uint64)
    gather_windows(padded, n_bits, height, width, stride, windows)
    return windows


def pool_images(images, height, width, minima, out):
    """Pool the bits of neighbouring pixels: whether any is 1, or whether all are.

    Parameters
    ----------
    images : uint64 ndarray of shape (n_images, image height, image width, n_words)
        Images of packed pixels.
    height, width : int
        Size and step of the window. Rows and columns that fill no window are left out.
    minima : uint64 ndarray of shape (n_words,)
        Bits of which all have to be 1.
    out : uint64 ndarray of shape (n_images, image height // height, image width // width, n_words)
        Pooled images.
    """
    n_rows, n_columns = out.shape[1:3]
    cut = images[:, : n_rows * height, : n_columns * width]
    windows = cut.reshape(len(images), n_rows, height, n_columns, width, len(minima))
    any_bits = np.bitwise_or.reduce(windows, (2, 4))
    all_bits = np.bitwise_and.reduce(windows, (2, 4))
    out[:] = (any_bits & ~minima) | (all_bits & minima)


def encode_images(X, thresholds, features, steps, out):
    """Encode the pixels of images as thermometer bits, ``float32(x) >= threshold``.

    Parameters
    ----------
    X : float64, float32, uint8 or bool ndarray of shape (n_rows, n_features)
        Raw rows.
    thresholds : float32 ndarray of shape (n_bits,)
        Threshold of each bit of a pixel.
    features : int64 ndarray of shape (n_bits,)
        Feature of each bit of the first pixel.
    steps : tuple of two ints
        Features from one line of pixels to the next, and from one pixel to the next.
    out : uint64 ndarray of shape (n_rows, height, width, n_words(n_bits))
        Packed pixels; of no use where the status is not 0.

    Returns
    -------
    status : int
        0; or 1 if any feature, encoded or not, is NaN; else 2 if any is infinite as float32.
    """
    height, width = out.shape[1:3]
    pixels = np.add.outer(steps[0] * np.arange(height), steps[1] * np.arange(width))
    status = 0
    for block in row_blocks(len(X), X.shape[1] + pixels.size * len(features)):
        with np.errstate(over="ignore", invalid="ignore"):
            values = X[block].astype(np.float32)
        if np.isnan(values).any():
            return 1
        if np.isinf(values).any():
            status = 2
        out[block] = pack_bits(values[:, pixels[:, :, None] + features] >= thresholds)
    return status


def run_convolutions(X, thresholds, features, steps, sizes, table, words, limits, ends, masks, out):
    """Encode rows as images, and pass them through plain convolutions.

    Parameters
    ----------
    X, thresholds, features, steps
        See :func:`encode_images`.
    sizes : tuple of three ints
        Height, width and words of a pixel of the encoded images.
    table : int64 ndarray of shape (n_layers, 13)
        Of each layer, as :func:`convolve_signs` takes it: bits of a pixel or 0; height, width and
        step of the window; blocks, words and lanes of its units; zones of lines and of columns;
        height and width of the pool; lines and columns of the pooled images.
    words : uint64 ndarray
        The units of all layers, one after the other.
    limits : int64 ndarray
        Their limits.
    ends : int64 ndarray
        Where their zones begin and end: lines, then columns.
    masks : uint64 ndarray
        Of each layer, what pads its images, then its minima.
    out : uint64 ndarray of shape (n_rows, pooled lines, pooled columns, n_words(n_units))
        Packed pixels of the last layer; of no use where the status is not 0.

    Returns
    -------
    status : int
        That of :func:`encode_images`.
    """
    images = np.empty((len(X), *sizes), np.uint64)
    status = encode_images(X, thresholds, features, steps, images)
    if status:
        return status
    words, limits, ends, masks = map(_Taker, (words, limits, ends, masks))
    for layer in table:
        (n_bits, *taps, n_blocks, width, lanes), zones, (*pool, n_lines, n_columns) = np.split(
            layer, (7, 9)
        )
        made = np.empty((len(X), n_lines, n_columns, n_words(n_blocks * lanes)), np.uint64)
        pixel, minima = masks.take(images.shape[3]), masks.take(made.shape[3])
        units, bounds = words.take(n_blocks, width, lanes), limits.take(*zones, n_blocks * lanes)
        rows, columns = map(ends.take, zones + 1)
        convolve_signs(
            images, pixel, n_bits, taps, units, bounds, rows, columns, pool, minima, made
        )
        images = made
    out[:] = images
    return 0


class _Taker:
    """Takes arrays from the front of a flat one, one after the other."""

    def __init__(self, flat):
        self.flat = flat

    def take(self, *shape):
        """Return the next elements as an array of a shape."""
        taken, self.flat = np.split(self.flat, [math.prod(shape)])
        return taken.reshape(shape)
