"""Attention of one-bit queries, keys and values; and tokens, which it attends to.

A score is a number of mismatches of two packed heads, and attention is in {0, 1}: each query
chooses keys by an integer rule, and each unit sums the values, -1 or +1, of the chosen tokens. So
both products of attention are XOR or AND and popcount, with integer results, and the batch norm
and sign behind them fold to one comparison for each unit. All rules ask for few mismatches, and
all can be read as a limit that may depend on the query:

* a fixed number for each head, which is a threshold on the score (Bool attention, with a learned
  threshold);
* a fixed distance from the query's best score;
* a least share of the softmax over the query's scores, by a table of exponentials.
"""

import math
from dataclasses import dataclass

import numpy as np

from skbnn.bits import n_words
from skbnn.packed.checks import Immutable, require, require_array, require_bits
from skbnn.packed.encode import PIXEL_OFFSET, PIXEL_SCALES
from skbnn.packed.operation import Operation, register
from skbnn.packed.values import BitCode, BitImage, IntStream, Reals

__all__ = [
    "Attention",
    "RealAttention",
    "RowMaximum",
    "ScoreThreshold",
    "SoftmaxShare",
    "TokenBits",
    "TokenPlanes",
    "TokenReals",
    "check_attention",
]

TABLE_ONE = 1 << 20
"""Weight of no mismatch in a table of exponentials."""

SHARE_ONE = 1 << 16
"""A share of 1."""

_MOST_TOKENS = 1 << 16
_MOST_ELEMENTS = 1 << 24


class _Limits(Immutable):
    """What rules with a limit for each head share."""

    def __post_init__(self):
        require_array("limits", self.limits, [np.int16, np.int32], (None,))
        self.freeze_arrays()

    @property
    def n_heads(self):
        """Number of heads."""
        return len(self.limits)

    def check(self, size):
        """Check that the rule fits heads of that many bits."""

    def arguments(self):
        """Return the rule as the kernel takes it: from_least, limits, table, shares."""
        nothing = np.zeros(self.n_heads, np.int64)
        return self.from_least, self.limits.astype(np.int64), nothing[:0], nothing


@register("score-threshold")
@dataclass(frozen=True, eq=False)
class ScoreThreshold(_Limits):
    """Attend where query and key differ in few bits: where their score is high.

    Parameters
    ----------
    limits : int16 or int32 ndarray of shape (n_heads,)
        Most mismatches; below 0 a head attends to nothing.
    """

    limits: np.ndarray

    from_least = False


@register("row-maximum")
@dataclass(frozen=True, eq=False)
class RowMaximum(_Limits):
    """Attend where the score is near the query's best.

    Parameters
    ----------
    limits : int16 or int32 ndarray of shape (n_heads,)
        Most mismatches beyond those of the best key.
    """

    limits: np.ndarray

    from_least = True


@register("softmax-share")
@dataclass(frozen=True, eq=False)
class SoftmaxShare(Immutable):
    """Attend where a key's share of the softmax is large: ``2^16 e_j >= share * sum_j e_j``.

    Parameters
    ----------
    table : int32 ndarray of shape (head_size + 1,)
        Exponential of each number of mismatches beyond those of the best key, falling from at
        most ``2^20``.
    shares : int32 ndarray of shape (n_heads,)
        Least share of each head, in units of ``2^-16``.
    """

    table: np.ndarray
    shares: np.ndarray

    def __post_init__(self):
        require_array("table", self.table, [np.int32], (None,))
        falls = len(self.table) and bool((np.diff(self.table) <= 0).all())
        inside = falls and 0 <= self.table[-1] and 0 < self.table[0] <= TABLE_ONE
        require(bool(inside), "A table of exponentials must fall from at most 2**20 to 0 or more.")
        require_array("shares", self.shares, [np.int32], (None,))
        inside = (self.shares >= 0) & (self.shares <= SHARE_ONE)
        require(bool(inside.all()), "A share must lie between 0 and 2**16.")
        self.freeze_arrays()

    @property
    def n_heads(self):
        """Number of heads."""
        return len(self.shares)

    def check(self, size):
        """Check that the rule fits heads of that many bits."""
        require(len(self.table) == size + 1, f"A table for heads of {size} bits has another size.")

    def arguments(self):
        """Return the rule as the kernel takes it: from_least, limits, table, shares."""
        nothing = np.zeros(self.n_heads, np.int64)
        return True, nothing, self.table.astype(np.int64), self.shares.astype(np.int64)


@register("attention")
@dataclass(frozen=True, eq=False)
class Attention(Operation):
    """Every head of an attention: scores, rule, sums of values, one bit for each unit.

    Parameters
    ----------
    places : tuple of two ints
        Lines and columns of tokens; attention does not look at their order.
    rule : ScoreThreshold, RowMaximum or SoftmaxShare
        Which tokens a token attends to. The number of heads is the rule's.
    thresholds : int16 or int32 ndarray of shape (n_units,)
        Threshold of each unit's sum of values; one beyond the number of tokens is never met.
    flips : uint64 ndarray of shape (n_words(n_units),)
        Bit 1 for units whose bit is 1 below the threshold.
    """

    places: tuple[int, ...]
    rule: ScoreThreshold | RowMaximum | SoftmaxShare
    thresholds: np.ndarray
    flips: np.ndarray

    def __post_init__(self):
        require_array("thresholds", self.thresholds, [np.int16, np.int32], (None,))
        n_units = len(self.thresholds)
        check_attention(self.places, n_units, self.rule)
        inside = np.abs(self.thresholds.astype(np.int64)) <= self.sums.largest + 1
        require(bool(inside.all()), "A threshold lies outside of what sums of values can reach.")
        require_bits("flips", self.flips, n_units)
        self.freeze_arrays()

    @property
    def sums(self):
        """The sums of values: each lies within the number of tokens."""
        return IntStream((*self.places, len(self.thresholds)), math.prod(self.places))

    @property
    def takes(self):
        """Queries, keys and values of every token: three times as many bits as units."""
        return BitImage((*self.places, 3 * len(self.thresholds)))

    @property
    def gives(self):
        """A sign code."""
        return BitImage((*self.places, len(self.thresholds)))

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        n_tokens, arguments = math.prod(self.places), self.rule.arguments()
        # A code of one plane, which its one step changes.
        steps = self.thresholds.astype(np.int32)[None], self.flips[None], np.ones((1, 1), np.bool_)

        def run(rows):
            tokens = rows.reshape(len(rows), n_tokens, rows.shape[-1])
            out = np.empty((len(rows), n_tokens, 1, len(self.flips)), np.uint64)
            kernels.attend(tokens, self.rule.n_heads, *arguments, *steps, out)
            return out.reshape(len(rows), 1, *self.places, len(self.flips))

        return run


def check_attention(places, n_units, rule):
    """Check that units can be shared by a rule's heads, and that there are tokens to attend to."""
    _require_places(places)
    divides = 1 <= rule.n_heads <= n_units and n_units % rule.n_heads == 0
    require(divides, f"{n_units} units cannot be shared by {rule.n_heads} heads.")
    rule.check(n_units // rule.n_heads)


def _require_places(places):
    fits = len(places) == 2 and min(places) >= 1 and math.prod(places) <= _MOST_TOKENS
    require(fits, f"There cannot be {places} tokens.")


@register("real-attention")
@dataclass(frozen=True, eq=False)
class RealAttention(Operation):
    """Attention of real queries, keys and values: ``softmax(Q K' / sqrt(size)) V`` in each head.

    Parameters
    ----------
    n_tokens : int
        Number of tokens.
    n_units : int
        Units of all heads together.
    n_heads : int
        Number of heads.
    """

    n_tokens: int
    n_units: int
    n_heads: int

    def __post_init__(self):
        require(1 <= self.n_tokens <= _MOST_TOKENS, f"There cannot be {self.n_tokens} tokens.")
        divides = 1 <= self.n_heads <= self.n_units and self.n_units % self.n_heads == 0
        require(divides, f"{self.n_units} units cannot be shared by {self.n_heads} heads.")

    @property
    def takes(self):
        """Queries, keys and values of every token."""
        return Reals(self.n_tokens * 3 * self.n_units)

    @property
    def gives(self):
        """Units of every token."""
        return Reals(self.n_tokens * self.n_units)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        size = self.n_units // self.n_heads

        def run(rows):
            parts = rows.reshape(len(rows), self.n_tokens, 3, self.n_heads, size)
            queries, keys, values = parts.transpose(2, 0, 3, 1, 4)
            # One product for each head of each row, so that none depends on the others.
            scores = queries @ keys.swapaxes(2, 3)
            scores *= real(1 / math.sqrt(size))
            scores -= scores.max(3, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(3, keepdims=True)
            return (scores @ values).transpose(0, 2, 1, 3).reshape(len(rows), self.gives.width)

        return run


class _Tokens(Operation):
    """What both operations that make tokens share: who owns the elements of a row."""

    def __post_init__(self):
        _require_places(self.places)
        require_array("owners", self.owners, [np.uint8, np.int16, np.int32], (None,))
        n_tokens = math.prod(self.places)
        inside = (self.owners >= 0) & (self.owners < n_tokens)
        require(bool(inside.all()), "An element belongs to a token that does not exist.")
        size = n_tokens * self.length
        require(size <= _MOST_ELEMENTS, f"Tokens of {size} elements together are too large.")
        self.freeze_arrays()

    @property
    def counts(self):
        """Elements of each token, int64 of shape (n_tokens,)."""
        return np.bincount(self.owners, minlength=math.prod(self.places))

    @property
    def length(self):
        """Elements of a token: as many as the largest has."""
        return int(self.counts.max())

    @property
    def order(self):
        """Element of the row at each place of each token, -1 for none, (n_tokens, length)."""
        order = np.full((math.prod(self.places), self.length), -1)
        order[np.arange(self.length) < self.counts[:, None]] = np.argsort(
            self.owners, kind="stable"
        )
        return order


@register("token-bits")
@dataclass(frozen=True, eq=False)
class TokenBits(_Tokens):
    """Bits of a row shared out to tokens; zeros make all tokens equally long.

    Parameters
    ----------
    owners : uint8, int16 or int32 ndarray of shape (n_bits,)
        Token of each bit; a token's bits keep their order.
    places : tuple of two ints
        Lines and columns of tokens.
    """

    owners: np.ndarray
    places: tuple[int, ...]

    _scales, _offset = (1,), 0

    @property
    def takes(self):
        """The code of the row."""
        return BitCode(len(self.owners), self._scales, self._offset)

    @property
    def gives(self):
        """The same code at each place."""
        return BitImage((*self.places, self.length), self._scales, self._offset)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        width = n_words(self.length)
        order = np.full((math.prod(self.places), 64 * width), -1)
        order[:, : self.length] = self.order
        order = order.ravel()

        def run(rows):
            n_planes, n_given = rows.shape[1:]
            out = np.empty((len(rows) * n_planes, len(order) // 64), np.uint64)
            kernels.gather_bits(rows.reshape(len(out), n_given), order, out)
            return out.reshape(len(rows), n_planes, *self.places, width)

        return run


@register("token-planes")
@dataclass(frozen=True, eq=False)
class TokenPlanes(TokenBits):
    """Pixels of 8 bits shared out to tokens, plane by plane; what a token lacks is 0.

    Parameters
    ----------
    owners : uint8, int16 or int32 ndarray of shape (n_pixels,)
        Token of each pixel; a token's pixels keep their order.
    places : tuple of two ints
        Lines and columns of tokens.
    """

    _scales, _offset = PIXEL_SCALES, PIXEL_OFFSET


@register("token-reals")
@dataclass(frozen=True, eq=False)
class TokenReals(_Tokens):
    """Numbers of a row shared out to tokens; zeros make all tokens equally long.

    Parameters
    ----------
    owners : uint8, int16 or int32 ndarray of shape (n_numbers,)
        Token of each number; a token's numbers keep their order.
    places : tuple of two ints
        Lines and columns of tokens.
    """

    owners: np.ndarray
    places: tuple[int, ...]

    @property
    def takes(self):
        """Real rows."""
        return Reals(len(self.owners))

    @property
    def gives(self):
        """Real rows, token after token."""
        return Reals(math.prod(self.places) * self.length)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        order = self.order.ravel()

        def run(rows):
            padded = np.concatenate([rows, np.zeros((len(rows), 1), rows.dtype)], 1)
            return padded[:, order]

        return run
