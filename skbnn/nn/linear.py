"""Dense blocks of coded rows, which become integer operations, and chains of dense blocks."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from torch import nn

from skbnn.nn.block import Signal
from skbnn.nn.bridges import CodeReals, RealLevels
from skbnn.nn.dense import Dense, first_gain, step_of
from skbnn.nn.levels import LevelBlock
from skbnn.nn.named import named
from skbnn.nn.nonlinearities import make_nonlinearity
from skbnn.nn.normalizers import BatchNorm, make_normalizer
from skbnn.nn.quantizers import make_quantizer
from skbnn.nn.reals import RealHidden, RealOutput, RealProjection
from skbnn.packed.checks import narrowest
from skbnn.packed.folding import fold
from skbnn.packed.linear import BinaryLinear, negate, times
from skbnn.packed.outputs import ClassScores, ShiftedScores, SignThreshold, Sums
from skbnn.packed.values import INT32_MAX, IntStream

__all__ = ["CodedHidden", "CodedOutput", "CodedSums", "linear_blocks", "real_twin"]

_HAS_REAL_ENDS = {"coded": False, "real": True}
_LEAST_MULTIPLIER = 1 << 16
_LARGEST_MULTIPLIER = 1 << 20


class _Coded(Dense):
    """A dense block from coded rows and coded weights to integer sums."""

    def __init__(self, n_in, n_units, technique, **settings):
        super().__init__(n_in, n_units, technique, **settings)
        if technique.packs and not self.weight_quantizer.coded:
            raise ValueError(
                f"Technique {technique.name!r} has one-bit activations but real weights, which no "
                "packed operation computes; quantize the weights or make the activations real."
            )
        # In a tuple it does not become a part of this block.
        self.source = (make_quantizer("activations", technique.activations),)
        self.reads_codes = self.source[0].coded

    def read(self, source):  # noqa: D102
        self.source = (source,)

    def sums(self, x):
        """Return the sums of the units, exact integers times the codes' units."""
        rows = self.dropout(x.flatten(1))
        z = self.weight_quantizer.product(rows, self.weight, grain=self.source[0].grain)
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
        z, quantizer = self.sums(x), self.activation_quantizer
        if isinstance(self.nonlinearity, nn.Identity):
            return quantizer.normalized(z, self.normalizer, sample_weight)
        return quantizer(self.nonlinearity(self.normalizer(z, sample_weight)))

    def frozen_signal(self):
        """Return what the frozen block gives: the code of its units."""
        return self.code_signal()

    @property
    def largest(self):
        """The largest absolute sum of each unit."""
        return self.matrix.n_bits * self.takes.value.largest * self.matrix.largest

    def activation_of(self, sums):
        """Return what is quantized for some integer sums, one for each unit."""
        return self.nonlinearity(self.normalizer(sums * self.unit))

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
        self.normalizer = make_normalizer(technique.output_normalizer, n_units, first_gain(self))
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


def linear_blocks(
    widths,
    technique,
    *,
    init,
    input_dropout,
    hidden_dropout,
    generator,
    reads_inputs=True,
):
    """Return the dense blocks of a network.

    Parameters
    ----------
    widths : sequence of int
        Inputs, hidden layers and classes.
    technique : Technique
        Choices on every axis; real or coded blocks follow from its activation quantizer, and
        which ends are real from ``first_last``.
    init : float or None
        Range of the initial latent weights.
    input_dropout, hidden_dropout : float
        Fraction of the inputs, and of the units of each hidden layer, dropped in training.
    generator : torch.Generator
        Source of randomness.
    reads_inputs : bool, default=True
        Whether the first of them is the first layer of the network.

    Returns
    -------
    blocks : list of Block
    """
    probe = make_quantizer("activations", technique.activations, generator=generator)
    hidden, output = (CodedHidden, CodedOutput) if probe.coded else (RealHidden, RealOutput)
    layers = [(hidden, technique)] * (len(widths) - 2) + [(output, technique)]
    has_real_ends = probe.coded and named("first_last", _HAS_REAL_ENDS, technique.first_last)
    if has_real_ends:
        real = real_twin(technique)
        layers[-1] = (RealOutput, real)
        if reads_inputs and len(layers) > 1:
            layers[0] = (RealProjection, real)
    drops = [input_dropout] + [hidden_dropout] * (len(widths) - 2)
    blocks = [
        kind(n_in, n_units, choice, init=init, dropout=drop, generator=generator)
        for (kind, choice), n_in, n_units, drop in zip(
            layers, widths[:-1], widths[1:], drops, strict=True
        )
    ]
    if has_real_ends and (len(blocks) > 1 or not reads_inputs):
        if reads_inputs:
            blocks.insert(1, RealLevels((widths[1],), technique, generator))
        blocks.insert(-1, CodeReals())
    return blocks


def real_twin(technique):
    """Return a technique for layers that stay real beside the technique's own."""
    return replace(technique, weights="real", activations="real", nonlinearity="none")
