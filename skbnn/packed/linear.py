"""Products: coded rows times coded weights, and their real-valued relatives.

Coded rows ``x = c + sum_p s_p a_p`` times coded weights ``w = d + sum_k t_k b_k`` (all a, b in
{-1, +1}) is a sum of products of two bit planes, each ``n - 2 popcount(a ^ b)``, plus one popcount
for each plane of the row, shared by all units, plus constants. So one kernel that counts
mismatches hosts every technique: planes of the rows are extra rows, planes of the weights extra
units, and an integer epilogue adds them up. One plane each without offsets, followed by a
threshold, is the fast path: a single fused kernel from bits to bits.
"""

from dataclasses import dataclass

import numpy as np

from skbnn.bits import (
    comparison_layout,
    complement,
    interleave,
    interleave_planes,
    lanes_for,
    n_words,
    unit_masks,
    unpack_bits,
)
from skbnn.packed.checks import require, require_array
from skbnn.packed.operation import Operation, register
from skbnn.packed.outputs import ClassScores, LevelCodes, ShiftedScores, SignThreshold, Sums
from skbnn.packed.values import INT32_MAX, BitCode, BitImage, BitMatrix, Reals, Scores

__all__ = ["BinaryLinear", "BinaryProduct", "MixedLinear", "RealLinear", "negate", "times"]

_LARGEST_SUM = 2**53


class BinaryProduct(Operation):
    """What coded products share: coded rows times coded weights, then an output transform.

    No sum can leave the range of whole numbers that float64 holds, so the frozen network computes
    the same ones. A subclass is a dataclass with the fields ``weights``, ``takes`` and ``output``.
    """

    def __post_init__(self):
        require(self.output.n_units == self.weights.n_units, "Weights and output differ in units.")
        reach = self.weights.n_bits * self.takes.largest * int(self.weights.largest.max())
        require(reach <= _LARGEST_SUM, "A sum can leave the whole numbers that float64 holds.")
        self.output.check(self.largest)

    @property
    def largest(self):
        """The largest absolute sum of each unit, int64 of shape (n_units,)."""
        return self.weights.n_bits * self.takes.largest * self.weights.largest

    @property
    def is_plain(self):
        """Whether rows and weights are plain +-1."""
        return self.takes.is_sign and self.weights.is_sign

    @property
    def sum_dtype(self):
        """Integer type in which sums are added up and compared."""
        # A threshold may lie one beyond the largest sum.
        return np.int32 if self.largest.max() < INT32_MAX else np.int64

    @property
    def stored_dtype(self):
        """Integer type in which sums are handed on: for a stream, its own."""
        return self.output.gives.dtype if isinstance(self.output, Sums) else self.sum_dtype

    def terms(self):
        """Return what a mismatch and a one of each unit are worth, and the constant part.

        ``sum_i x_i w_i`` with ``x = c + sum_p s_p a_p`` and ``w = d + sum_k t_k b_k``, in counts.

        Returns
        -------
        coefficients : int64 ndarray of shape (n_row_planes * n_weight_planes, n_units)
            ``-2 s_p t_k``: worth of a mismatch, planes of the weights fastest.
        ones_coefficients : int64 ndarray of shape (n_row_planes or 0, n_units)
            ``2 s_p d``: worth of a bit 1 of the row; empty where no weight has an offset.
        base : int64 ndarray of shape (n_units,)
            The rest.
        """
        weights, code, n_bits = self.weights, self.takes, self.weights.n_bits
        row_scales = np.array(code.scales, np.int64)
        scales, offsets = weights.plane_scales, weights.unit_offsets
        plane_sums = 2 * np.bitwise_count(weights.words).sum(-1, dtype=np.int64) - n_bits
        coefficients = -2 * (row_scales[:, None, None] * scales).reshape(-1, weights.n_units)
        ones_coefficients = 2 * row_scales[:, None] * offsets
        base = n_bits * (
            row_scales.sum() * scales.sum(0) - row_scales.sum() * offsets + code.offset * offsets
        ) + code.offset * (scales * plane_sums).sum(0)
        return coefficients, ones_coefficients if offsets.any() else ones_coefficients[:0], base

    def planes_layout(self, words, lanes):
        """Return units, factors and bases of all planes, as ``sum_products`` takes them.

        Parameters
        ----------
        words : uint64 ndarray of shape (n_planes, n_units, n_words)
            The weights as the kernel reads them.
        lanes : {16, 32}
            Units in a block.
        """
        *worths, base = self.terms()
        # Cut to the type of the sums: these fit, and what is on the way to them may wrap.
        dtype = self.sum_dtype
        factors = interleave(np.concatenate(worths).T.astype(dtype), lanes)
        base = np.pad(base.astype(dtype), (0, len(factors) * lanes - len(base)))
        return interleave_planes(words, lanes), factors, base


@register("binary-linear")
@dataclass(frozen=True, eq=False)
class BinaryLinear(BinaryProduct):
    """Coded rows times coded weights, then an output transform; integers throughout.

    Parameters
    ----------
    weights : BitMatrix
        One row of bits for each unit and plane.
    takes : BitCode or BitImage
        Meaning of the rows it reads.
    output : SignThreshold, LevelCodes, ClassScores, ShiftedScores or Sums
        What becomes of the sums.
    """

    weights: BitMatrix
    takes: BitCode | BitImage
    output: SignThreshold | LevelCodes | ClassScores | ShiftedScores | Sums

    def __post_init__(self):
        require(self.takes.n_bits == self.weights.n_bits, "Weights and rows differ in width.")
        super().__post_init__()

    @property
    def gives(self):
        """What the output transform makes."""
        return self.output.gives

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        if isinstance(self.output, SignThreshold | LevelCodes):
            is_fused = self.is_one_comparison
            return (self._prepare_fused if is_fused else self._prepare_codes)(kernels)
        sums, finish = self._prepare_sums(kernels), self.output.prepare(kernels, self.sum_dtype)
        return lambda rows: finish(sums(rows))

    @property
    def is_one_comparison(self):
        """Whether a unit's bit says if mismatches are few: one plane on each side, one step."""
        weights, code = self.weights, self.takes
        if weights.n_planes > 1 or weights.unit_offsets.any() or len(code.scales) > 1:
            return False
        _, starts, changes = self.output.steps()
        rises = code.scales[0] > 0 and (weights.plane_scales > 0).all()
        return bool(rises) and len(starts) == 1 and changes.tolist() == [[True]]

    def comparison(self):
        """Return units and limits of one comparison each, as rows of words and most mismatches.

        A sum of ``b - c m`` with m mismatches reaches t where ``m <= (b - t) // c``, inside the
        product's own registers. So 0 and 1 cost what signs cost: they move b and t. Where the bit
        is the contrary, the weights are, which have ``n - m`` mismatches.
        """
        n_units, n_bits, words = self.weights.n_units, self.weights.n_bits, self.weights.words[0]
        (worths,), _, bases = self.terms()
        (thresholds,), starts, _ = self.output.steps()
        limits = np.clip((bases - thresholds) // -worths, -1, n_bits)
        contrary = unpack_bits(starts, n_units)[0]
        if contrary.any():
            words = np.where(contrary[:, None], complement(words, n_bits), words)
        return self.takes.lay_out(words), np.where(contrary, n_bits - 1 - limits, limits)

    def plain_scores(self):
        """Return units of a plain output layer, and the factors and bases of its scores.

        The score ``a (n - 2 m) + b`` is ``b + a n - 2 a m``; it fits int32, and so its parts may
        wrap.
        """
        multipliers = self.output.multipliers.astype(np.int64)
        bases = self.output.offsets + multipliers * self.weights.n_bits
        terms = (-2 * multipliers).astype(np.int32), bases.astype(np.int32)
        return self.takes.lay_out(self.weights.words[0]), terms

    def _prepare_fused(self, kernels):
        units, limits = comparison_layout(*self.comparison())
        code, width = self.takes, n_words(self.weights.n_units)

        def run(rows):
            out = np.empty((len(rows), width), np.uint64)
            kernels.compare_mismatches(code.flat(rows)[:, 0], units, limits, out)
            return out[:, None]

        return run

    def _prepare_codes(self, kernels):
        """Return the function from planes to planes, coded inside the product's registers."""
        code = self.takes
        layout = self.planes_layout(code.lay_out(self.weights.words), 32)
        thresholds, starts, changes = self.output.steps()
        dtype = self.sum_dtype
        limits = np.full((len(thresholds), len(layout[2])), np.iinfo(dtype).max, dtype)
        limits[:, : thresholds.shape[1]] = thresholds

        def run(rows):
            out = np.empty((len(rows), *starts.shape), np.uint64)
            kernels.code_products(code.flat(rows), *layout, limits, starts, changes, out)
            return out

        return run

    def _prepare_sums(self, kernels):
        """Return the function from rows to integer sums of every unit."""
        code, n_units, dtype = self.takes, self.weights.n_units, self.stored_dtype
        layout = self.planes_layout(code.lay_out(self.weights.words), lanes_for(n_units))

        def sums(rows):
            out = np.empty((len(rows), n_units), dtype)
            kernels.sum_products(code.flat(rows), *layout, out)
            return out

        return sums


def negate(weights, where):
    """Return a bit matrix with the weights of some units negated.

    Parameters
    ----------
    weights : BitMatrix
        Any matrix.
    where : bool ndarray of shape (n_units,)
        Units to negate: their bits are complemented and their offsets change sign.

    Returns
    -------
    negated : BitMatrix
    """
    flipped = complement(weights.words, weights.n_bits)
    words = np.where(where[:, None], flipped, weights.words)
    offsets = weights.offsets
    if offsets is not None:
        offsets = np.where(where, -offsets, offsets).astype(np.int32)
    return BitMatrix(words, weights.n_bits, weights.scales, offsets)


def times(weights, factor):
    """Return a bit matrix with all weights multiplied by a positive whole number.

    Parameters
    ----------
    weights : BitMatrix
        Any matrix.
    factor : int
        The number.

    Returns
    -------
    product : BitMatrix
    """
    scales = (weights.plane_scales * factor).astype(np.int32)
    offsets = weights.offsets
    if offsets is not None:
        offsets = (weights.unit_offsets * factor).astype(np.int32)
    return BitMatrix(weights.words, weights.n_bits, scales, offsets)


class _Real(Operation):
    """What both products of real rows share: an affine map, perhaps rectified."""

    @property
    def takes(self):
        """Real rows."""
        return Reals(self.n_inputs)

    @property
    def gives(self):
        """Real rows, or class scores."""
        return Scores(self.n_units, integer=False) if self.is_last else Reals(self.n_units)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        product, shift = self.prepare_product(kernels, real), self.biases.astype(real)

        def run(rows):
            out = product(rows)
            out += shift
            return np.maximum(out, 0, out=out) if self.rectify else out

        return run


@register("real-linear")
@dataclass(frozen=True, eq=False)
class RealLinear(_Real):
    """Real rows times real weights: ``max(0, x W' + b)``, the maximum where ``rectify``.

    Parameters
    ----------
    weights : float32 ndarray of shape (n_units, n_inputs)
        Weights, normalisation folded in.
    biases : float32 ndarray of shape (n_units,)
        Biases.
    rectify : bool
        Whether the ReLU follows.
    is_last : bool
        Whether results are class scores.
    """

    weights: np.ndarray
    biases: np.ndarray
    rectify: bool
    is_last: bool

    def __post_init__(self):
        require_array("weights", self.weights, [np.float32], (None, None))
        require(len(self.weights) >= 1, "There must be at least one unit.")
        require_array("biases", self.biases, [np.float32], (len(self.weights),))
        self.freeze_arrays()

    @property
    def n_units(self):
        """Number of units."""
        return self.weights.shape[0]

    @property
    def n_inputs(self):
        """Width of the rows read."""
        return self.weights.shape[1]

    def prepare_product(self, kernels, real):
        """Return the function from real rows to products with the weights."""
        matrix = self.weights.T.astype(real)
        return lambda rows: rows @ matrix


@register("mixed-linear")
@dataclass(frozen=True, eq=False)
class MixedLinear(_Real):
    """Real rows times one-bit weights: ``max(0, (x W_b') * scale + b)``.

    Parameters
    ----------
    weights : BitMatrix
        Weights of one plane, each +-1.
    scales, biases : float32 ndarray of shape (n_units,)
        Folded normalisation.
    rectify : bool
        Whether the ReLU follows.
    is_last : bool
        Whether results are class scores.
    """

    weights: BitMatrix
    scales: np.ndarray
    biases: np.ndarray
    rectify: bool
    is_last: bool

    def __post_init__(self):
        require(self.weights.is_sign, "Real rows need weights that are plain +-1.")
        for name in ("scales", "biases"):
            require_array(name, getattr(self, name), [np.float32], (self.weights.n_units,))
        self.freeze_arrays()

    @property
    def n_units(self):
        """Number of units."""
        return self.weights.n_units

    @property
    def n_inputs(self):
        """Width of the rows read."""
        return self.weights.n_bits

    def prepare_product(self, kernels, real):
        """Return the function from real rows to scaled products with the signs."""
        masks = unit_masks(self.weights.words[0], self.weights.n_bits)
        scales = self.scales.astype(real)

        def product(rows):
            out = np.empty((len(rows), self.n_units), real)
            kernels.signed_sums(np.ascontiguousarray(rows, real), masks, out)
            out *= scales
            return out

        return product
