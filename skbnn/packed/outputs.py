"""Output transforms: what a product does with the integer sums of its units."""

from dataclasses import dataclass

import numpy as np

from skbnn.packed.operation import register
from skbnn.packed.values import INT32_MAX, BitCode, Immutable, Scores, require, require_array

__all__ = ["ClassScores", "SignThreshold"]


@register("sign-threshold")
@dataclass(frozen=True, eq=False)
class SignThreshold(Immutable):
    """One bit for each unit: ``sum >= threshold``.

    Batch normalisation, any monotone function and sign fold to this; see
    :mod:`skbnn.packed.folding`.

    Parameters
    ----------
    thresholds : int16, int32 or int64 ndarray of shape (n_units,)
        Integer thresholds.
    """

    thresholds: np.ndarray

    def __post_init__(self):
        require_array("thresholds", self.thresholds, [np.int16, np.int32, np.int64], (None,))
        self.freeze_arrays()

    @property
    def n_units(self):
        """Number of units."""
        return len(self.thresholds)

    @property
    def gives(self):
        """A plain sign code."""
        return BitCode(self.n_units)

    def check(self, largest):
        """Check the thresholds against the largest absolute sum of each unit.

        Raises
        ------
        ValueError
            If a threshold lies beyond every reachable sum by more than one.
        """
        thresholds = self.thresholds.astype(np.int64)
        require(
            bool(((thresholds >= -largest) & (thresholds <= largest + 1)).all()),
            "A threshold lies outside the sums that its unit can reach.",
        )


@register("class-scores")
@dataclass(frozen=True, eq=False)
class ClassScores(Immutable):
    """Integer class scores: ``multiplier * sum + offset`` for each class.

    Parameters
    ----------
    multipliers, offsets : int32 ndarray of shape (n_classes,)
        The last normalisation, snapped to integers.
    """

    multipliers: np.ndarray
    offsets: np.ndarray

    def __post_init__(self):
        require_array("multipliers", self.multipliers, [np.int32], (None,))
        require_array("offsets", self.offsets, [np.int32], (len(self.multipliers),))
        self.freeze_arrays()

    @property
    def n_units(self):
        """Number of classes."""
        return len(self.multipliers)

    @property
    def gives(self):
        """Integer scores."""
        return Scores(self.n_units)

    def check(self, largest):
        """Prove that no score leaves int32.

        Raises
        ------
        ValueError
            If a reachable sum gives a score beyond int32.
        """
        room = INT32_MAX - np.abs(self.offsets.astype(np.int64))
        factors = np.abs(self.multipliers.astype(np.int64))
        # Divided, not multiplied: the product might leave int64.
        fits = (room >= 0) & ((factors == 0) | (largest <= room // np.maximum(factors, 1)))
        require(bool(fits.all()), "A class score can leave the range of int32.")
