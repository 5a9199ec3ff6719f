"""Output transforms: what a product does with the integer sums of its units.

Each has ``n_units``, says what it ``gives``, can ``check`` itself against the largest sums, and
prepares the function from sums to results.
"""

from dataclasses import dataclass

import numpy as np

from skbnn.bits import n_words
from skbnn.packed.checks import Immutable, require, require_array
from skbnn.packed.operation import register
from skbnn.packed.values import INT32_MAX, BitCode, IntStream, Scores

__all__ = ["ClassScores", "SignThreshold", "Sums"]


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

    def prepare(self, kernels, dtype):
        """Return the function from sums of an integer dtype to packed bits."""
        thresholds, width = self.thresholds.astype(dtype), n_words(self.n_units)

        def run(sums):
            out = np.empty((len(sums), width), np.uint64)
            kernels.threshold_sums(sums, thresholds, out)
            return out[:, None]

        return run


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

    def prepare(self, kernels, dtype):
        """Return the function from sums to int32 scores."""

        def run(sums):
            return (sums * self.multipliers + self.offsets).astype(np.int32, copy=False)

        return run


@register("sums")
@dataclass(frozen=True, eq=False)
class Sums(Immutable):
    """The sums themselves, for a stream.

    Parameters
    ----------
    n_units : int
        Number of units.
    largest : int
        No absolute sum is larger.
    """

    n_units: int
    largest: int

    @property
    def gives(self):
        """A stream of one place."""
        return IntStream((self.n_units,), self.largest)

    def check(self, largest):
        """Check the bound against the largest absolute sum of each unit.

        Raises
        ------
        ValueError
            If a unit can reach a sum beyond it, or int32.
        """
        require(bool((largest <= self.largest).all()), "A sum can be larger than said.")
        require(self.gives.largest < INT32_MAX, "A sum can leave the range of int32.")

    def prepare(self, kernels, dtype):
        """Return the function from sums to sums."""
        return lambda sums: sums.astype(np.int32, copy=False)
