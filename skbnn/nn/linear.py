"""Dense blocks: coded ones, which become integer operations, and real ones for the controls."""

import math
from fractions import Fraction

import numpy as np
import torch
from torch import nn

from skbnn.bits import pack_bits
from skbnn.nn.block import Block, Signal
from skbnn.nn.levels import LevelBlock
from skbnn.nn.nonlinearities import make_nonlinearity
from skbnn.nn.normalizers import BatchNorm, make_normalizer
from skbnn.nn.quantizers import make_quantizer
from skbnn.nn.randomness import Dropout
from skbnn.packed.checks import narrowest
from skbnn.packed.folding import fold
from skbnn.packed.linear import BinaryLinear, MixedLinear, RealLinear, negate, times
from skbnn.packed.outputs import ClassScores, ShiftedScores, SignThreshold, Sums
from skbnn.packed.values import INT32_MAX, BitMatrix, IntStream, Reals

__all__ = [
    "CodedHidden",
    "CodedOutput",
    "CodedSums",
    "RealHidden",
    "RealOutput",
    "RealProjection",
    "RealSums",
    "linear_blocks",
]

_LEAST_MULTIPLIER = 1 << 12
_LARGEST_MULTIPLIER = 1 << 20


class _Linear(Block):
    """What all dense blocks share: latent weights, their quantizer, dropout of the inputs.

    Parameters
    ----------
    n_in, n_units : int
        Inputs and units.
    technique : Technique
        Choices on every axis.
    init : float or None
        Range of the initial latent weights; None for Glorot's.
    dropout : float
        Fraction of the inputs dropped in training.
    generator : torch.Generator
        Source of randomness.
    """

    reads_signs = False

    def __init__(self, n_in, n_units, technique, *, init, dropout, generator):
        super().__init__()
        bound = math.sqrt(6 / (n_in + n_units)) if init is None else init
        latent = torch.empty(n_units, n_in).uniform_(-bound, bound, generator=generator)
        self.weight = nn.Parameter(latent)
        self.weight_quantizer = make_quantizer(
            "weights", technique.weights, generator=generator, n_units=n_units
        )
        self.dropout = Dropout(dropout, generator)

    @property
    def n_units(self):
        """Number of units."""
        return self.weight.shape[0]

    def weight_matrix(self):
        """Return the coded weights as the packed program stores them, and the unit of each unit.

        Returns
        -------
        matrix : BitMatrix
        unit : float, or float64 Tensor of shape (n_units,)
        """
        code = self.weight_quantizer.encode(self.weight.detach())
        scales, offsets = code.scales.numpy(), code.offset.numpy()
        # What all numbers of a unit share belongs to its unit; a single scale becomes 1.
        common = np.gcd.reduce(np.vstack([scales, offsets]))
        if self.weight_quantizer.shared_grid:
            common[:] = np.gcd.reduce(common) & -np.gcd.reduce(common)
        common = np.maximum(common, 1)
        scales, offsets = scales // common, offsets // common
        plain = len(scales) == 1 and bool((scales == 1).all() and (offsets == 0).all())
        matrix = BitMatrix(
            pack_bits(code.bits.numpy()),
            self.weight.shape[1],
            None if plain else scales.astype(np.int32),
            offsets.astype(np.int32) if offsets.any() else None,
        )
        unit = code.unit * torch.from_numpy(common).double()
        return matrix, unit if len(unit.unique()) > 1 else float(unit[0])


class _Coded(_Linear):
    """A dense block from coded rows and coded weights to integer sums."""

    def __init__(self, n_in, n_units, technique, **settings):
        super().__init__(n_in, n_units, technique, **settings)
        if technique.packs and not self.weight_quantizer.coded:
            raise ValueError(
                f"Technique {technique.name!r} has one-bit activations but real weights, which no "
                "packed operation computes; quantize the weights or make the activations real."
            )
        rows = make_quantizer("activations", technique.activations)
        self.reads_signs = rows.coded and rows.is_sign

    def sums(self, x):
        """Return the sums of the units, exact integers times the codes' units."""
        rows = self.dropout(x.flatten(1))
        z = self.weight_quantizer.product(rows, self.weight, signs=self.reads_signs)
        return self.dropout.restore(z)

    def freeze(self, signal):  # noqa: D102
        self.takes = signal
        self.matrix, unit = self.weight_matrix()
        self.unit = signal.unit * unit
        return self.frozen_signal()


class CodedHidden(LevelBlock, _Coded):
    """Coded rows to a code for each unit: product, batch norm, monotone function, quantizer.

    Frozen, it folds to integer thresholds: one for each unit where the code is a sign, which then
    belong to the complemented weights where the unit falls; else one for each step of the levels.
    """

    def __init__(self, n_in, n_units, technique, **settings):
        super().__init__(n_in, n_units, technique, **settings)
        self.normalizer = BatchNorm(n_units)
        self.nonlinearity = make_nonlinearity(technique.nonlinearity, n_units)
        self.make_levels(technique, settings["generator"])

    def forward(self, x, sample_weight=None):  # noqa: D102
        return self.activation_quantizer(self._activation(self.sums(x), sample_weight))

    def _activation(self, z, sample_weight=None):
        return self.nonlinearity(self.normalizer(z, sample_weight))

    def frozen_signal(self):
        """Return what the frozen block gives: the code of its units."""
        return self.code_signal()

    @property
    def largest(self):
        """The largest absolute sum of each unit."""
        return self.matrix.n_bits * self.takes.value.largest * self.matrix.largest

    def activation_of(self, sums):
        """Return what is quantized for some integer sums, one for each unit."""
        return self._activation(sums * self.unit)

    def folded(self):
        """Return weights, output and which units were negated, once all the rest is folded."""
        if not self.gives_signs:
            return self.matrix, self.level_codes(), np.zeros(self.n_units, np.bool_)
        with torch.no_grad():
            folded = fold(self.level_of, self.largest)
        output = SignThreshold(narrowest(folded.thresholds))
        return negate(self.matrix, folded.negated), output, folded.negated

    def pack(self):  # noqa: D102
        weights, output, _ = self.folded()
        return BinaryLinear(weights, self.takes.value, output)


class CodedOutput(_Coded):
    """Coded rows to class scores: product and a normaliser.

    Frozen, the normaliser is ``multiplier * sum + offset`` in integers, in units of the largest
    power of two that keeps every reachable score in int32; outputs are then integer scores.
    """

    def __init__(self, n_in, n_units, technique, **settings):
        super().__init__(n_in, n_units, technique, **settings)
        self.normalizer = make_normalizer(technique.output_normalizer, n_units, _gain(self))
        self.score_unit = None

    def forward(self, x, sample_weight=None):  # noqa: D102
        z = self.sums(x)
        if self.score_unit is None:
            return self.normalizer(z, sample_weight)
        scores = z / self.unit * self.multipliers + self.offsets
        return torch.floor(scores * 2.0**-self.shift)

    def frozen_signal(self):
        """Snap the normaliser to integers."""
        slope, shift = (t.detach() for t in self.normalizer.affine())
        slope = slope * self.unit
        code = self.takes.value
        # At least 1: without inputs the multipliers still have to fit.
        largest = torch.from_numpy(code.n_bits * code.largest * self.matrix.largest).clamp(min=1)
        most = int(largest.max())
        reach = float((slope.abs() * largest + shift.abs()).max())
        # Sums so large that they leave the multipliers few bits have theirs cut off afterwards.
        self.shift = 0
        if most * _LEAST_MULTIPLIER > INT32_MAX:
            self.shift = math.ceil(math.log2(most * _LARGEST_MULTIPLIER / INT32_MAX))
        # Rounding moves a multiplier by half a step, so a score by half the largest sum.
        room = (INT32_MAX << self.shift) - most - 1
        unit = 2.0 ** math.ceil(math.log2(reach / room)) if reach > 0 else 1.0
        self.multipliers = torch.round(slope / unit)
        self.offsets = torch.round(shift / unit)
        self.score_unit = unit * 2.0**self.shift
        return None

    def pack(self):  # noqa: D102
        multipliers = self.multipliers.numpy().astype(np.int32)
        offsets = self.offsets.numpy().astype(np.int64)
        scores = (
            ShiftedScores(multipliers, offsets, self.shift)
            if self.shift
            else ClassScores(multipliers, offsets.astype(np.int32))
        )
        return BinaryLinear(self.matrix, self.takes.value, scores)


class CodedSums(_Coded):
    """Coded rows to sums for a stream: product, times the power of two of :func:`step_of`."""

    def __init__(self, n_in, n_units, technique, **settings):
        super().__init__(n_in, n_units, technique, **settings)
        self.step = step_of(n_in)
        self.weight_quantizer.shared_grid = True

    def forward(self, x, sample_weight=None):  # noqa: D102
        return self.sums(x) * self.step

    def frozen_signal(self):
        """Return what the frozen block gives: integers of a known size, in a power of two."""
        odd = _odd_part(self.unit)
        if odd > 1:
            self.matrix, self.unit = times(self.matrix, odd), self.unit / odd
        code, matrix = self.takes.value, self.matrix
        self.largest = matrix.n_bits * code.largest * int(matrix.largest.max())
        return Signal(IntStream((self.n_units,), self.largest), self.unit * self.step)

    def pack(self):  # noqa: D102
        return BinaryLinear(self.matrix, self.takes.value, Sums(self.n_units, self.largest))


def _odd_part(unit):
    """Return the odd factor of a dyadic number."""
    numerator = Fraction(unit).numerator
    return numerator // (numerator & -numerator)


def step_of(n_in):
    """Return the power of two next to ``1 / sqrt(n_in)``: what one of n_in inputs is worth.

    Sums of n_in signs then have a size of about 1, whatever n_in, and remain multiples of a
    power of two, as a stream of integers needs.

    Parameters
    ----------
    n_in : int
        Inputs of a unit.

    Returns
    -------
    step : float
    """
    return 2.0 ** -round(math.log2(max(1, n_in)) / 2)


class _Real(_Linear):
    """A dense block on real rows; packed, normalisation is folded into weights or scales."""

    is_last = False

    def forward(self, x, sample_weight=None):  # noqa: D102
        return self.nonlinearity(self.normalizer(self.sums(x), sample_weight))

    def sums(self, x):
        """Return the sums of the units."""
        w = self.weight_quantizer(self.weight)
        return nn.functional.linear(self.dropout.restore(self.dropout(x.flatten(1))), w)

    def freeze(self, signal):  # noqa: D102
        return Signal(Reals(self.n_units))

    def pack(self):  # noqa: D102
        slope, shift = (t.detach() for t in self.normalizer.affine())
        kept = {
            "biases": shift.numpy().astype(np.float32),
            "rectify": isinstance(self.nonlinearity, nn.ReLU),
            "is_last": self.is_last,
        }
        matrix, unit = self.weight_matrix() if self.weight_quantizer.coded else (None, 1.0)
        if matrix is not None and matrix.is_sign:
            return MixedLinear(matrix, scales=(slope * unit).numpy().astype(np.float32), **kept)
        weights = self.weight_quantizer(self.weight.detach()) * slope[:, None]
        return RealLinear(weights.numpy().astype(np.float32), **kept)


class RealHidden(_Real):
    """Real rows to real activations: product, batch norm, ReLU."""

    def __init__(self, n_in, n_units, technique, **settings):
        super().__init__(n_in, n_units, technique, **settings)
        self.normalizer = BatchNorm(n_units)
        self.nonlinearity = make_nonlinearity(technique.nonlinearity, n_units)
        if technique.packs and not isinstance(self.nonlinearity, nn.ReLU | nn.Identity):
            raise ValueError(
                f"Technique {technique.name!r} has real activations and the non-linearity "
                f"{technique.nonlinearity!r}; only 'relu' and 'none' can be packed there."
            )


class RealOutput(_Real):
    """Real rows to class scores: product and a normaliser."""

    is_last = True
    score_unit = 1.0

    def __init__(self, n_in, n_units, technique, **settings):
        super().__init__(n_in, n_units, technique, **settings)
        self.normalizer = make_normalizer(technique.output_normalizer, n_units, _gain(self))
        self.nonlinearity = nn.Identity()


class RealProjection(_Real):
    """Real rows to real activations without a non-linearity: product, batch norm."""

    def __init__(self, n_in, n_units, technique, **settings):
        super().__init__(n_in, n_units, technique, **settings)
        self.normalizer = BatchNorm(n_units)
        self.nonlinearity = nn.Identity()


class RealSums(_Real):
    """Real rows to sums for a stream: product, scale and shift."""

    def __init__(self, n_in, n_units, technique, **settings):
        super().__init__(n_in, n_units, technique, **settings)
        gain = step_of(n_in) if self.weight_quantizer.coded else 1.0
        self.normalizer = make_normalizer("scale", n_units, gain)
        self.nonlinearity = nn.Identity()


def _gain(block):
    """Return the scale of class sums that starts training with logits of about +-3."""
    if block.weight.numel() == 0:
        return 1.0
    with torch.no_grad():
        weights = block.weight_quantizer(block.weight.detach())
    return 3.0 / math.sqrt(weights.shape[1] * float(weights.square().mean()))


def linear_blocks(widths, technique, *, init, input_dropout, hidden_dropout, generator):
    """Return the dense blocks of a network.

    Parameters
    ----------
    widths : sequence of int
        Inputs, hidden layers and classes.
    technique : Technique
        Choices on every axis; real or coded blocks follow from its activation quantizer.
    init : float or None
        Range of the initial latent weights.
    input_dropout, hidden_dropout : float
        Fraction of the inputs, and of the units of each hidden layer, dropped in training.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    blocks : list of Block
    """
    probe = make_quantizer("activations", technique.activations, generator=generator)
    hidden, output = (CodedHidden, CodedOutput) if probe.coded else (RealHidden, RealOutput)
    kinds = [hidden] * (len(widths) - 2) + [output]
    drops = [input_dropout] + [hidden_dropout] * (len(widths) - 2)
    return [
        kind(n_in, n_units, technique, init=init, dropout=drop, generator=generator)
        for kind, n_in, n_units, drop in zip(kinds, widths[:-1], widths[1:], drops, strict=True)
    ]
