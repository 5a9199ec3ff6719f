"""The definitions of the kernels of activations in training; see :mod:`skbnn.bits.reference`."""

import numpy as np

__all__ = ["bend", "bend_moments", "level_moments", "quantize_levels"]


def bend(x, centers, rises, falls, shifts, out):
    """Take the function of two slopes of each column.

    ``slope * (x - center) + shift`` in float32; the slope is ``rise`` where ``x - center``
    is positive, else ``fall``.

    Parameters
    ----------
    x : float32 ndarray of shape (n_rows, n_columns)
        Numbers.
    centers, rises, falls, shifts : float32 ndarray of shape (n_columns,)
        The function.
    out : float32 ndarray of shape (n_rows, n_columns)
        Its results.
    """
    moved = x - centers
    out[...] = np.where(moved > 0, rises, falls) * moved + shifts


def bend_moments(x, grad, centers, rises, falls, out, sums):
    """Compute the gradient of a function of two slopes, and its sums on either side.

    Parameters
    ----------
    x : float32 ndarray of shape (n_rows, n_columns)
        Numbers.
    grad : float32 ndarray of the same shape
        Gradient with respect to the results.
    centers, rises, falls : float32 ndarray of shape (n_columns,)
        The function; see :func:`bend`.
    out : float32 ndarray of shape (n_rows, n_columns)
        Gradient with respect to x.
    sums : float64 ndarray of shape (4, n_columns)
        Sum of grad where ``x - center`` is positive and where it is not, then both of
        ``grad * (x - center)``.
    """
    moved = x - centers
    is_above = moved > 0
    out[...] = np.where(is_above, rises, falls) * grad
    upper, lower = np.where(is_above, grad, 0), np.where(is_above, 0, grad)
    for k, part in enumerate((upper, lower, upper * moved, lower * moved)):
        sums[k] = part.sum(0, dtype=np.float64)


def quantize_levels(x, thresholds, values, out):
    """Give each number the value of its level.

    Parameters
    ----------
    x : float32 ndarray of shape (n_rows, n_columns)
        Numbers.
    thresholds : float32 ndarray of shape (n_steps, n_columns)
        Rising from step to step: a number is on the level of as many of them as it reaches.
    values : float32 ndarray of shape (n_steps + 1,)
        What each level is worth.
    out : float32 ndarray of shape (n_rows, n_columns)
        Values.
    """
    levels = np.zeros(x.shape, np.intp)
    for limits in thresholds:
        levels += x >= limits
    out[...] = values[levels]


def level_moments(x, thresholds, counts, sums):
    """Count the numbers of each level, and sum them up.

    Parameters
    ----------
    x : float32 ndarray of shape (n_rows, n_columns)
        Finite numbers.
    thresholds : float32 ndarray of shape (n_steps,)
        Rising from step to step.
    counts, sums : float64 ndarray of shape (n_steps + 1,)
        How many numbers there are on each level, and their sum.
    """
    levels = np.searchsorted(thresholds, x.ravel(), side="right")
    counts[...] = np.bincount(levels, minlength=len(counts))
    sums[...] = np.bincount(levels, x.ravel(), len(counts))
