"""Folding: normalisation, monotone functions and sign become one integer comparison per unit.

A hidden unit computes an integer sum z, then a chain of monotone real functions, then a bit. The
bit is therefore a step function of z, and all that must survive is where it steps and in which
direction. :func:`fold` finds both by bisection with the chain itself as the oracle, so that the
packed unit equals the trained one for every reachable sum by construction, including negative and
zero slopes and the last bit of floating-point rounding; no formula of any particular chain is
involved.
"""

from typing import NamedTuple

import numpy as np

__all__ = ["Fold", "fold"]


class Fold(NamedTuple):
    """Where each unit steps.

    Attributes
    ----------
    thresholds : int64 ndarray of shape (n_units,)
        The unit's bit is ``z >= threshold``, for its complemented weights where ``negated``.
    negated : bool ndarray of shape (n_units,)
        Units whose bit falls as z rises: the weights (and so z) change sign.
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
    largest = np.asarray(largest, np.int64)
    at_lowest, at_highest = (decide(ends.astype(np.float64)) for ends in (-largest, largest))
    negated = at_lowest & ~at_highest
    direction = np.where(negated, -1, 1)

    # Invariant: the bit is 0 below `low` and 1 from `high` on, in the rising direction.
    low = -largest
    high = largest + 1
    constant = at_lowest == at_highest
    low = np.where(constant & ~at_highest, high, low)
    high = np.where(constant & at_highest, low, high)
    while (low < high).any():
        middle = (low + high) >> 1
        # Settled units look at a sum in range too; their answer changes nothing.
        asked = np.clip(middle, -largest, largest)
        on = decide((direction * asked).astype(np.float64)) & (low < high)
        off = ~on & (low < high)
        high = np.where(on, middle, high)
        low = np.where(off, middle + 1, low)
    return Fold(high, negated)
