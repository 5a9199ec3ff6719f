"""The definition of every kernel, in plain NumPy.

Each function says what the kernel of the same name in :mod:`skbnn.bits.kernels` computes, and is
what runs where Numba is missing. Arrays are C-contiguous and may be read-only, results go to the
``out`` that the caller gives, and nothing is validated: callers do. Rows are taken in blocks, so
that memory stays bounded.
"""

import numpy as np

from skbnn.bits.packing import WORD_BITS, pack_bits, unpack_bits

__all__ = [
    "combine_counts",
    "compare_mismatches",
    "compare_windows",
    "count_columns",
    "count_mismatches",
    "count_ones",
    "count_windows",
    "encode_images",
    "encode_planes",
    "encode_thresholds",
    "gather_windows",
    "nearest_units",
    "pool_images",
    "threshold_sums",
]

_BLOCK_ELEMENTS = 1 << 18


def _row_blocks(n_rows, row_elements):
    """Yield slices of rows that hold a bounded number of elements."""
    size = max(1, _BLOCK_ELEMENTS // max(1, row_elements))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def _mismatches(rows, units, n_units):
    """Return the mismatches of every row and unit, int32 of shape (n_rows, n_units)."""
    counts = np.zeros((len(rows), n_units), np.int32)
    for word in range(units.shape[1]):
        lane = units[:, word].reshape(-1)[:n_units]
        counts += np.bitwise_count(rows[:, word, None] ^ lane)
    return counts


def count_mismatches(rows, units, out):
    """Count the bits in which rows and units differ.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n_rows, n_words)
        Packed rows.
    units : uint64 ndarray of shape (n_blocks, n_words, lanes)
        Interleaved units, lanes 16 or 32.
    out : int32 ndarray of shape (n_rows, n_units)
        ``out[n, m] = popcount(rows[n] ^ unit[m])``, for the first units only where ``n_units``
        is less than ``n_blocks * lanes``.
    """
    for block in _row_blocks(len(rows), out.shape[1]):
        out[block] = _mismatches(rows[block], units, out.shape[1])


def compare_mismatches(rows, units, limits, out):
    """Compare the mismatches of rows and units with a limit: a whole layer, from bits to bits.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n_rows, n_words)
        Packed rows.
    units : uint64 ndarray of shape (n_blocks, n_words, 32)
        Interleaved units.
    limits : int64 ndarray of shape (n_blocks * 32,)
        Limit of each unit; -1 for units that are padding, so that their bit is 0.
    out : uint64 ndarray of shape (n_rows, n_words(n_blocks * 32))
        Packed rows of the bits ``popcount(rows[n] ^ unit[m]) <= limits[m]``.
    """
    for block in _row_blocks(len(rows), len(limits)):
        out[block] = pack_bits(_mismatches(rows[block], units, len(limits)) <= limits)


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
    for block in _row_blocks(len(images), out[0].size * WORD_BITS if len(out) else 1):
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
        counts = _mismatches(windows.reshape(-1, units.shape[1]), units, out.shape[4])
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
    units : uint64 ndarray of shape (n_blocks, height * width * n_words, 32)
        Interleaved units; a unit's words are those of its pixels, row by row.
    limits : int64 ndarray of shape (n_row_zones, n_column_zones, n_blocks * 32)
        Limit of each unit in each zone; -1 for units that are padding, so that their bit is 0.
    rows, columns : int64 ndarray of shape (n_row_zones + 1,), (n_column_zones + 1,)
        Where zones begin and, at last, end.
    out : uint64 ndarray of shape (n_images, n_rows, n_columns, n_words(n_blocks * 32))
        Packed pixels of the bits ``mismatches <= limit``.
    """
    zones = np.repeat(np.repeat(limits, np.diff(rows), 0), np.diff(columns), 1)
    for image, result in zip(images, out, strict=True):
        windows = _windows(image, height, width, stride)
        counts = _mismatches(windows.reshape(-1, units.shape[1]), units, limits.shape[2])
        result[:] = pack_bits(counts.reshape(zones.shape) <= zones)


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


def count_ones(rows, out):
    """Count the ones of each row.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n_rows, n_words)
        Packed rows.
    out : int32 ndarray of shape (n_rows,)
        Number of ones.
    """
    for block in _row_blocks(*rows.shape):
        out[block] = np.bitwise_count(rows[block]).sum(1, dtype=np.int32)


def nearest_units(rows, units, n_units, index, distance):
    """Find the unit nearest to each row; the lowest of those equally near.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n_rows, n_words)
        Packed rows.
    units : uint64 ndarray of shape (n_blocks, n_words, lanes)
        Interleaved units, lanes 16 or 32.
    n_units : int
        Number of units, at least 1; those behind them in the last block are padding.
    index, distance : int32 ndarray of shape (n_rows,)
        The nearest unit and the number of mismatches with it.
    """
    for block in _row_blocks(len(rows), n_units):
        counts = _mismatches(rows[block], units, n_units)
        index[block] = counts.argmin(1)
        distance[block] = counts.min(1)


def combine_counts(counts, coefficients, ones, ones_coefficients, base, out):
    """Turn the counts of bit planes into the sums of coded products.

    Parameters
    ----------
    counts : int32 ndarray of shape (n_rows, n_pairs, n_units)
        Mismatches of each pair of a row's plane and a unit's plane.
    coefficients : int64 ndarray of shape (n_pairs, n_units)
        Worth of a mismatch.
    ones : int32 ndarray of shape (n_rows, n_planes)
        Ones in each plane of a row; there may be no planes.
    ones_coefficients : int64 ndarray of shape (n_planes, n_units)
        Worth of a one.
    base : int64 ndarray of shape (n_units,)
        Constant part.
    out : int32 or int64 ndarray of shape (n_rows, n_units)
        ``base[m] + sum_q coefficients[q, m] * counts[n, q, m]
        + sum_p ones_coefficients[p, m] * ones[n, p]``. The sums fit the dtype.
    """
    for block in _row_blocks(len(counts), coefficients.size):
        products = (counts[block] * coefficients).sum(1)
        out[block] = base + products + ones[block] @ ones_coefficients


def threshold_sums(sums, thresholds, out):
    """Compare sums with thresholds.

    Parameters
    ----------
    sums : int32 or int64 ndarray of shape (n_rows, n_units)
        Integer sums.
    thresholds : ndarray of shape (n_units,)
        Threshold of each unit, of the same dtype.
    out : uint64 ndarray of shape (n_rows, n_words(n_units))
        Packed rows of the bits ``sums[n, m] >= thresholds[m]``.
    """
    for block in _row_blocks(*sums.shape):
        out[block] = pack_bits(sums[block] >= thresholds)


def encode_thresholds(X, table, groups, starts, masks, out):
    """Encode features as thermometer bits, ``float32(x) >= threshold``.

    Parameters
    ----------
    X : float64, float32, uint8 or bool ndarray of shape (n_rows, n_features)
        Raw rows.
    table, groups, starts, masks : ndarray
        A :class:`~skbnn.bits.packing.ThresholdLayout`.
    out : uint64 ndarray of shape (n_rows, n_words(n_bits))
        Packed rows; of no use where the status is not 0.

    Returns
    -------
    status : int
        0; or 1 if any feature, encoded or not, is NaN; else 2 if any is infinite as float32.
    """
    used = unpack_bits(masks[:, :1], WORD_BITS)
    features = np.concatenate([np.arange(WORD_BITS) + WORD_BITS * g for g in groups] or [[]])
    features = features.astype(np.intp)[used.ravel()]
    n_bits = len(features)
    places = np.concatenate(
        [start + np.arange(size) for start, size in zip(starts, used.sum(1), strict=True)] or [[]]
    ).astype(np.intp)
    limits = table[used].astype(np.float32)

    status = 0
    for block in _row_blocks(len(X), X.shape[1] + n_bits):
        with np.errstate(over="ignore", invalid="ignore"):
            values = X[block].astype(np.float32)
        if np.isnan(values).any():
            return 1
        if np.isinf(values).any():
            status = 2
        bits = np.empty((len(values), n_bits), np.bool_)
        bits[:, places] = values[:, features] >= limits
        out[block] = pack_bits(bits)
    return status


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
    for block in _row_blocks(len(X), X.shape[1] + pixels.size * len(features)):
        with np.errstate(over="ignore", invalid="ignore"):
            values = X[block].astype(np.float32)
        if np.isnan(values).any():
            return 1
        if np.isinf(values).any():
            status = 2
        out[block] = pack_bits(values[:, pixels[:, :, None] + features] >= thresholds)
    return status


def encode_planes(X, columns, out):
    """Take the binary digits of 8-bit features, each digit a plane.

    Parameters
    ----------
    X : uint8 ndarray of shape (n_rows, n_features)
        Raw rows.
    columns : int32 ndarray of shape (n_used,)
        Features in use, in rising order.
    out : uint64 ndarray of shape (n_rows, 8, n_words(n_used))
        Packed rows: plane ``k`` holds bit ``k`` of each value.
    """
    digits = np.arange(8, dtype=np.uint8)[:, None]
    for block in _row_blocks(len(X), 8 * len(columns)):
        values = X[block][:, None, columns]
        out[block] = pack_bits((values >> digits) & 1)


def count_columns(rows, order, starts, out):
    """Count the ones of each bit position in clusters of rows.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n_rows, n_words)
        Packed rows.
    order : int64 ndarray of shape (n_members,)
        Row numbers, grouped by cluster.
    starts : int64 ndarray of shape (n_clusters + 1,)
        The members of cluster k are ``order[starts[k] : starts[k + 1]]``.
    out : int32 ndarray of shape (n_clusters, n_words * 64)
        Number of ones of each bit position among the members.
    """
    n_bits = out.shape[1]
    for k, (start, stop) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
        members = order[start:stop]
        out[k] = 0
        for block in _row_blocks(len(members), n_bits):
            out[k] += unpack_bits(rows[members[block]], n_bits).sum(0, dtype=np.int32)
