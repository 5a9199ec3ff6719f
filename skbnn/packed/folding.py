"""Folding: normalisation, monotone functions and a quantizer become integer comparisons.

A hidden unit computes an integer sum z, then a chain of monotone real functions, then one of a few
levels, two for a bit. The level is therefore a step function of z, and all that must survive is
where it steps and in which direction. :func:`fold_levels` finds both by bisection with the chain
itself as the oracle, so that the packed unit equals the trained one for every reachable sum by
construction, including negative and zero slopes and the last bit of floating-point rounding; no
formula of any particular chain is involved.
"""

from typing import NamedTuple

import numpy as np

__all__ = ["Fold", "fold", "fold_levels"]


class Fold(NamedTuple):
    """Where each unit steps.

    Attributes
    ----------
    thresholds : int64 ndarray of shape (n_units,), or (n_steps, n_units) for levels
        The unit's bit is ``z >= threshold``, for its complemented weights where ``negated``; its
        level is the number of thresholds met.
    negated : bool ndarray of shape (n_units,)
        Units whose bit or level falls as z rises: the weights (and so z) change sign.
    """

    thresholds: np.ndarray
    negated: np.ndarray


def fold(decide, largest):
    """Fold a monotone decision on integer sums to one threshold per unit.

    Parameters
    ----------
    decide : callable
        Maps float64 sums of shape (n_units,) to the units' bits, a bool array of the same shape.
        Each unit's bit must be monotone in its sum, rising or falling.
    largest : int64 ndarray of shape (n_units,)
        Sums lie in ``[-largest, largest]``.

    Returns
    -------
    fold : Fold
        For units that never change, ``-largest`` (always 1) or ``largest + 1`` (always 0).
    """
    thresholds, negated = fold_levels(decide, largest, 2)
    return Fold(thresholds[0], negated)


def fold_levels(decide, largest, n_levels):
    """Fold a monotone choice of a level to thresholds: one for each step, for each unit.

    Parameters
    ----------
    decide : callable
        Maps float64 sums of shape (n_units,) to the units' levels, whole numbers from 0 to
        ``n_levels - 1``. Each unit's level must be monotone in its sum, rising or falling.
    largest : int64 ndarray of shape (n_units,)
        Sums lie in ``[-largest, largest]``.
    n_levels : int
        Number of levels.

    Returns
    -------
    fold : Fold
        Thresholds that rise from step to step; ``-largest`` for a step that is always met,
        ``largest + 1`` for one that never is.
    """
    largest = np.asarray(largest, np.int64)
    at_lowest, at_highest = (decide(ends.astype(np.float64)) for ends in (-largest, largest))
    negated = at_lowest > at_highest
    direction = np.where(negated, -1, 1)

    thresholds = np.empty((n_levels - 1, len(largest)), np.int64)
    for step in range(n_levels - 1):
        # Invariant: the step is not met below `low` and met from `high` on, in the direction in
        # which the level rises.
        low, high = -largest, largest + 1
        while (low < high).any():
            middle = (low + high) >> 1
            # Settled units look at a sum in range too; their answer changes nothing.
            asked = np.clip(middle, -largest, largest)
            on = (decide((direction * asked).astype(np.float64)) > step) & (low < high)
            off = ~on & (low < high)
            high = np.where(on, middle, high)
            low = np.where(off, middle + 1, low)
        thresholds[step] = high
    return Fold(thresholds, negated)
