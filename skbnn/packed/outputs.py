"""Output transforms: what a product does with the integer sums of its units.

Each has ``n_units``, says what it ``gives``, can ``check`` itself against the largest sums, and
prepares the function from sums to results.
"""

from dataclasses import dataclass

import numpy as np

from skbnn.bits import n_words, pack_bits
from skbnn.packed.checks import Immutable, require, require_array, require_bits
from skbnn.packed.operation import register
from skbnn.packed.values import INT32_MAX, BitCode, IntStream, Scores

__all__ = ["ClassScores", "LevelCodes", "ShiftedScores", "SignThreshold", "Sums"]

_MOST_PLANES = 8


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

    def steps(self):
        """Return the threshold as the one step of a code, see :meth:`LevelCodes.steps`."""
        starts = np.zeros((1, n_words(self.n_units)), np.uint64)
        return self.thresholds[None].astype(np.int64), starts, np.ones((1, 1), np.bool_)

    def prepare(self, kernels, dtype):
        """Return the function from sums of an integer dtype to packed bits."""
        thresholds, width = self.thresholds.astype(dtype), n_words(self.n_units)

        def run(sums):
            out = np.empty((len(sums), width), np.uint64)
            kernels.threshold_sums(sums, thresholds, out)
            return out[:, None]

        return run


@register("level-codes")
@dataclass(frozen=True, eq=False)
class LevelCodes(Immutable):
    """One of a few levels for each unit, as the bit planes of its code.

    A unit's level is the number of its thresholds that its sum meets; where flipped, the number
    that it does not. Whatever quantizer chose the levels, its thresholds are all that it needs, and
    a table of codes. Steps are met one after another, so plane k of a unit is the exclusive or of
    the steps at which bit k of the code changes.

    Parameters
    ----------
    thresholds : int16, int32 or int64 ndarray of shape (n_steps, n_units)
        Integer thresholds, rising from step to step, falling where flipped.
    flips : uint64 ndarray of shape (n_words(n_units),)
        Bit 1 for units whose level falls as the sum rises: a step is met below its threshold.
    codes : tuple of int
        Code of each level from the lowest: bit k is the bit of plane k.
    scales : tuple of int
        Worth of each plane, as in :class:`~skbnn.packed.values.BitCode`.
    offset : int
        Worth of an element apart from its bits.
    """

    thresholds: np.ndarray
    flips: np.ndarray
    codes: tuple[int, ...]
    scales: tuple[int, ...]
    offset: int

    def __post_init__(self):
        require_array("thresholds", self.thresholds, [np.int16, np.int32, np.int64], (None, None))
        require(len(self.codes) == len(self.thresholds) + 1, "Each level needs its code.")
        require(1 <= len(self.scales) <= _MOST_PLANES, "A code has one to eight planes.")
        known = all(0 <= code < 1 << len(self.scales) for code in self.codes)
        require(known, "A code has a bit that belongs to no plane.")
        require_bits("flips", self.flips, self.n_units)
        _ = self.gives
        self.freeze_arrays()

    @property
    def n_units(self):
        """Number of units."""
        return self.thresholds.shape[1]

    @property
    def gives(self):
        """The code."""
        return BitCode(self.n_units, self.scales, self.offset)

    def check(self, largest):
        """Check the thresholds against the largest absolute sum of each unit.

        Raises
        ------
        ValueError
            If a threshold lies beyond every reachable sum by more than one.
        """
        inside = np.abs(self.thresholds.astype(np.int64)) <= np.asarray(largest) + 1
        require(bool(inside.all()), "A threshold lies outside the sums that its unit can reach.")

    def steps(self):
        """Return what makes codes of sums, as ``code_products`` takes it.

        Returns
        -------
        thresholds : int64 ndarray of shape (n_steps, n_units)
            A step is met where the sum reaches its threshold.
        starts : uint64 ndarray of shape (n_planes, n_words(n_units))
            Planes where no sum reaches a threshold.
        changes : bool ndarray of shape (n_steps, n_planes)
            Planes that each step changes where it is met.
        """
        planes = np.arange(len(self.scales))
        codes = np.array(self.codes)[:, None] >> planes & 1
        changes = codes[1:] != codes[:-1]
        # Where flipped, all steps are met below all thresholds.
        ones, flipped = pack_bits(np.ones(self.n_units, np.bool_)), changes.sum(0) % 2
        starts = codes[:1].T.astype(np.uint64) * ones
        starts ^= flipped[:, None].astype(np.uint64) * self.flips
        return self.thresholds.astype(np.int64), starts, changes

    def prepare(self, kernels, dtype):
        """Return the function from sums of an integer dtype to packed planes."""
        thresholds, starts, changes = self.steps()
        thresholds = thresholds.astype(dtype)

        def run(sums):
            rows = np.empty((len(sums), *starts.shape), np.uint64)
            rows[:] = starts
            met = np.empty((len(sums), starts.shape[1]), np.uint64)
            for limits, changed in zip(thresholds, changes, strict=True):
                kernels.threshold_sums(sums, limits, met)
                rows[:, changed] ^= met[:, None]
            return rows

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


@register("shifted-scores")
@dataclass(frozen=True, eq=False)
class ShiftedScores(Immutable):
    """Integer class scores of large sums: ``(multiplier * sum + offset) >> shift``.

    Sums of codes of several planes take most of int32, and would leave a multiplier of
    :class:`ClassScores` too few bits; here the product is an int64, and its lowest
    bits are cut off.

    Parameters
    ----------
    multipliers : int32 ndarray of shape (n_classes,)
        The last normalisation, snapped to integers.
    offsets : int64 ndarray of shape (n_classes,)
        The same.
    shift : int
        Bits that are cut off.
    """

    multipliers: np.ndarray
    offsets: np.ndarray
    shift: int

    def __post_init__(self):
        require_array("multipliers", self.multipliers, [np.int32], (None,))
        require_array("offsets", self.offsets, [np.int64], (len(self.multipliers),))
        require(0 <= self.shift <= 52, f"Scores cannot be shifted right by {self.shift} bits.")
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
        """Prove that no product leaves what float64 holds exactly, and no score int32.

        Raises
        ------
        ValueError
            If a reachable sum gives a larger one.
        """
        # Python's integers: none of these can leave their type.
        parts = zip(self.multipliers.tolist(), np.asarray(largest).tolist(), strict=True)
        products = [abs(factor) * most for factor, most in parts]
        reach = [p + abs(o) for p, o in zip(products, self.offsets.tolist(), strict=True)]
        fits = max(reach) <= min(INT32_MAX << self.shift, 2**53)
        require(fits, "A class score can leave the range of int32.")

    def prepare(self, kernels, dtype):
        """Return the function from sums to int32 scores."""
        multipliers, offsets, shift = self.multipliers.astype(np.int64), self.offsets, self.shift

        def run(sums):
            return ((sums * multipliers + offsets) >> shift).astype(np.int32)

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
        return lambda sums: sums
