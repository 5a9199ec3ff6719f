"""The definitions of the kernels of training; see :mod:`skbnn.bits.reference`."""

import numpy as np

__all__ = ["pool_sums", "round_columns", "round_rows", "spread_levels"]


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


def _windows(sums, pool_height, pool_width, shape):
    """Return the windows of a pool, their places last."""
    n, height, width, n_units = shape
    inside = sums[:, : height * pool_height, : width * pool_width]
    split = inside.reshape(n, height, pool_height, width, pool_width, n_units)
    taps = split.transpose(0, 1, 3, 5, 2, 4)
    return taps.reshape(n, height, width, n_units, pool_height * pool_width)
