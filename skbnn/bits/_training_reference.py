"""The definitions of the kernels of training; see :mod:`skbnn.bits.reference`."""

import numpy as np

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
    "unfold_images",
]


def round_rows(x, levels, scales):
    """Round each row to 8 bits of its own largest magnitude.

    ``levels * scales`` is ``x`` within half a scale.

    Parameters
    ----------
    x : float32 ndarray of shape (n_rows, n_columns)
        Finite numbers.
    levels : int8 ndarray of shape (n_rows, n_columns)
        Whole numbers from -127 to 127; ties were rounded to even.
    scales : float32 ndarray of shape (n_rows,)
        A 127th of the largest magnitude, at least the smallest normal number.
    """
    largest = np.abs(x).max(1, initial=0) / np.float32(127)
    np.maximum(largest, np.finfo(np.float32).tiny, out=scales)
    levels[...] = np.rint(x / scales[:, None])


def round_columns(x, levels, scales):
    """Round each column to 8 bits of its own largest magnitude.

    Parameters
    ----------
    x : float32 ndarray of shape (n_rows, n_columns)
        Finite numbers.
    levels : int8 ndarray of shape (n_rows, n_columns)
        As of :func:`round_rows`.
    scales : float32 ndarray of shape (n_columns,)
        As of :func:`round_rows`.
    """
    round_rows(x.T, levels.T, scales)


def scale_sums(sums, scales):
    """Turn sums into real numbers, each row times its scale, in the same memory.

    Parameters
    ----------
    sums : int32 ndarray of shape (n_rows, n_columns)
        Sums; afterwards it holds the bits of float32 numbers.
    scales : float32 ndarray of shape (n_rows,)
        Scales.
    """
    sums.view(np.float32)[...] = sums.astype(np.float32) * scales[:, None]


def pool_sums(sums, pool_height, pool_width, out, winners):
    """Take the largest sum of each unit in every window of a pool, and say which it was.

    Parameters
    ----------
    sums : float32 ndarray of shape (n, n_lines, n_columns, n_units)
        Sums of every place. Lines and columns that fill no window of the pool are left out.
    pool_height, pool_width : int
        Size of the window and its step.
    out : float32 ndarray of shape (n, n_lines // pool_height, n_columns // pool_width, n_units)
        The largest sums.
    winners : uint16 ndarray of the same shape
        Where they were in the window, counted line by line; the first of equal ones.
    """
    taps = _windows(sums, pool_height, pool_width, out.shape)
    winners[...] = taps.argmax(-1)
    out[...] = taps.max(-1)


def spread_levels(levels, winners, pool_height, pool_width, out):
    """Give each pooled level to the place that had won its pool, and 0 to all others.

    Parameters
    ----------
    levels : int8 ndarray of shape (n, height, width, n_units)
        Levels of pooled results.
    winners : uint16 ndarray of the same shape
        As of :func:`pool_sums`.
    pool_height, pool_width : int
        Size of the window and its step.
    out : int8 ndarray of shape (n, n_lines, n_columns, n_units)
        Levels of every place.
    """
    out[...] = 0
    height, width = levels.shape[1:3]
    for tap in range(pool_height * pool_width):
        dy, dx = divmod(tap, pool_width)
        places = out[:, dy::pool_height, dx::pool_width][:, :height, :width]
        places[...] = np.where(winners == tap, levels, 0)


def column_moments(x, weights, means, variances):
    """Compute the weighted mean and variance of each column.

    Parameters
    ----------
    x : float32 ndarray of shape (n_rows, n_columns)
        Finite numbers, at least one row.
    weights : float32 ndarray of shape (n_rows,)
        Positive weights.
    means, variances : float64 ndarray of shape (n_columns,)
        Moments; the variance is that of the rows themselves, divided by the sum of weights.
    """
    shares = weights / weights.sum(dtype=np.float64)
    # Equal numbers then have no variance at all.
    centred = x - x[0].astype(np.float64)
    moved = shares @ centred
    means[...] = x[0] + moved
    variances[...] = shares @ np.square(centred - moved)


def normalize_signs(x, means, slopes, shifts, out):
    """Take the signs of each column's affine map.

    Parameters
    ----------
    x : float32 ndarray of shape (n_rows, n_columns)
        Finite numbers.
    means, slopes, shifts : float32 ndarray of shape (n_columns,)
        The map, ``(x - mean) * slope + shift``, computed in float32.
    out : float32 ndarray of shape (n_rows, n_columns)
        -1 and +1.
    """
    out[...] = np.where((x - means) * slopes + shifts >= 0, np.float32(1), np.float32(-1))


def clipped_moments(x, grad, means, slopes, shifts, bound, sums, products):
    """Sum up the gradient of each column where its affine map is small.

    Parameters
    ----------
    x : float32 ndarray of shape (n_rows, n_columns)
        Finite numbers.
    grad : float32 ndarray of the same shape
        Gradient with respect to signs; it passes where ``abs((x - mean) * slope + shift)`` is at
        most ``bound``.
    means, slopes, shifts : float32 ndarray of shape (n_columns,)
        The map.
    bound : float32
        Half width of the zone.
    sums : float64 ndarray of shape (n_columns,)
        Sum of what passes.
    products : float64 ndarray of shape (n_columns,)
        Sum of what passes times ``x - mean``.
    """
    passed = _passed(x, grad, means, slopes, shifts, bound)
    sums[...] = passed.sum(0, dtype=np.float64)
    products[...] = (passed * (x - means)).sum(0, dtype=np.float64)


def clipped_gradient(x, grad, weights, means, slopes, shifts, bound, constants, parts, out):
    """Compute the gradient of a batch norm with a clipped sign behind it.

    ``slope * passed - weight * (constant + part * (x - mean))``

    Parameters
    ----------
    x, grad, means, slopes, shifts, bound
        As of :func:`clipped_moments`.
    weights : float32 ndarray of shape (n_rows,)
        Weight of each row in the moments.
    constants, parts : float32 ndarray of shape (n_columns,)
        What mean and variance of the batch add.
    out : float32 ndarray of shape (n_rows, n_columns)
        Gradient with respect to x.
    """
    passed = _passed(x, grad, means, slopes, shifts, bound)
    out[...] = slopes * passed - weights[:, None] * (constants + parts * (x - means))


def _passed(x, grad, means, slopes, shifts, bound):
    """Return the gradient where the affine map is small, 0 elsewhere."""
    return np.where(np.abs((x - means) * slopes + shifts) <= bound, grad, np.float32(0))


def tabulated_gradient(x, grad, means, slopes, shifts, table, out):
    """Multiply a gradient by a function of the size of each column's affine map.

    Parameters
    ----------
    x : float32 ndarray of shape (n_rows, n_columns)
        Numbers.
    grad : float32 ndarray of the same shape
        Gradient.
    means, slopes, shifts : float32 ndarray of shape (n_columns,)
        The map, ``(x - mean) * slope + shift``, computed in float32.
    table : float32 ndarray of shape (n_steps,)
        The function at each of :func:`skbnn.bits.magnitude_steps`.
    out : float32 ndarray of shape (n_rows, n_columns)
        Their product.
    """
    sizes = np.abs((x - means) * slopes + shifts)
    steps = (sizes.view(np.int32) >> DIGITS) - FIRST_STEP
    out[...] = grad * table[steps.clip(0, LAST_STEP)]


def unfold_images(images, height, width, padding, out):
    """Copy the window around each pixel.

    Parameters
    ----------
    images : int8 ndarray of shape (n, n_lines, n_columns, n_channels)
        Images.
    height, width : int
        Size of the window, odd.
    padding : int
        What is around an image.
    out : int8 ndarray of shape (n, n_lines, n_columns, height, width * n_channels)
        Windows, line by line.
    """
    top, left = height // 2, width // 2
    around = ((0, 0), (top, top), (left, left), (0, 0))
    padded = np.pad(images, around, constant_values=padding)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), (1, 2))
    out[...] = windows.transpose(0, 1, 2, 4, 5, 3).reshape(out.shape)


def _windows(sums, pool_height, pool_width, shape):
    """Return the windows of a pool, their places last."""
    n, height, width, n_units = shape
    inside = sums[:, : height * pool_height, : width * pool_width]
    split = inside.reshape(n, height, pool_height, width, pool_width, n_units)
    taps = split.transpose(0, 1, 3, 5, 2, 4)
    return taps.reshape(n, height, width, n_units, pool_height * pool_width)
