"""Dense blocks: coded ones, which become integer operations, and real ones for the controls."""

import math

import numpy as np
import torch
from torch import nn

from skbnn.bits import pack_bits
from skbnn.nn.block import Block, Signal
from skbnn.nn.named import named
from skbnn.nn.normalizers import BatchNorm, make_normalizer
from skbnn.nn.quantizers import make_quantizer
from skbnn.nn.randomness import Dropout
from skbnn.packed.checks import narrowest
from skbnn.packed.folding import fold
from skbnn.packed.linear import BinaryLinear, MixedLinear, RealLinear, negate
from skbnn.packed.outputs import ClassScores, SignThreshold, Sums
from skbnn.packed.values import INT32_MAX, BitCode, BitMatrix, IntStream, Reals

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

_NONLINEARITIES = {"none": nn.Identity, "relu": nn.ReLU}


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

    def __init__(self, n_in, n_units, technique, *, init, dropout, generator):
        super().__init__()
        bound = math.sqrt(6 / (n_in + n_units)) if init is None else init
        latent = torch.empty(n_units, n_in).uniform_(-bound, bound, generator=generator)
        self.weight = nn.Parameter(latent)
        self.weight_quantizer = make_quantizer("weights", technique.weights, generator=generator)
        self.dropout = Dropout(dropout, generator)

    @property
    def n_units(self):
        """Number of units."""
        return self.weight.shape[0]

    def weight_matrix(self):
        """Return the coded weights as the packed program stores them, and their unit."""
        code = self.weight_quantizer.encode(self.weight.detach())
        words = pack_bits(code.bits.numpy())
        plain = len(code.bits) == 1 and bool((code.scales == 1).all() and (code.offset == 0).all())
        scales, offsets = code.scales.numpy(), code.offset.numpy()
        matrix = BitMatrix(
            words,
            self.weight.shape[1],
            None if plain else scales.astype(np.int32),
            offsets.astype(np.int32) if offsets.any() else None,
        )
        return matrix, code.unit


class _Coded(_Linear):
    """A dense block from coded rows and coded weights to integer sums."""

    def __init__(self, n_in, n_units, technique, **settings):
        super().__init__(n_in, n_units, technique, **settings)
        if not self.weight_quantizer.coded:
            raise ValueError(
                f"Technique {technique.name!r} has one-bit activations but real weights, which no "
                "packed operation computes; quantize the weights or make the activations real."
            )

    def sums(self, x):
        """Return the sums of the units, exact integers times the codes' units."""
        z = self.weight_quantizer.product(self.dropout(x.flatten(1)), self.weight)
        return z * self.dropout.gain

    def freeze(self, signal):  # noqa: D102
        self.weight_quantizer.freeze(self.weight)
        self.takes = signal
        self.matrix, unit = self.weight_matrix()
        self.unit = signal.unit * unit
        return self.frozen_signal()


class CodedHidden(_Coded):
    """Coded rows to one bit per unit: product, batch norm, monotone function, sign.

    Frozen, it folds to one integer threshold per unit.
    """

    def __init__(self, n_in, n_units, technique, **settings):
        super().__init__(n_in, n_units, technique, **settings)
        self.normalizer = BatchNorm(n_units)
        self.nonlinearity = named("non-linearity", _NONLINEARITIES, technique.nonlinearity)()
        self.activation_quantizer = make_quantizer(
            "activations",
            technique.activations,
            surrogate=technique.surrogate,
            generator=settings["generator"],
        )

    def forward(self, x, sample_weight=None):  # noqa: D102
        return self.activation_quantizer(self._activation(self.sums(x), sample_weight))

    def _activation(self, z, sample_weight=None):
        return self.nonlinearity(self.normalizer(z, sample_weight))

    def frozen_signal(self):
        """Return what the frozen block gives: a plain sign code."""
        self.activation_quantizer.freeze()
        return Signal(BitCode(self.n_units))

    def folded(self):
        """Return weights, thresholds and which units were negated, once all the rest is folded."""

        def decide(sums):
            activation = self._activation(torch.from_numpy(sums) * self.unit)
            return self.activation_quantizer.encode(activation).bits[0].numpy()

        largest = self.matrix.n_bits * self.takes.value.largest * self.matrix.largest
        with torch.no_grad():
            folded = fold(decide, largest)
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
        return z / self.unit * self.multipliers + self.offsets

    def frozen_signal(self):
        """Snap the normaliser to integers."""
        slope, shift = (t.detach() for t in self.normalizer.affine())
        slope = slope * self.unit
        code = self.takes.value
        # At least 1: without inputs the multipliers still have to fit.
        largest = torch.from_numpy(code.n_bits * code.largest * self.matrix.largest).clamp(min=1)
        reach = float((slope.abs() * largest + shift.abs()).max())
        # Rounding moves a multiplier by half a step, so a score by half the largest sum.
        room = INT32_MAX - int(largest.max()) - 1
        self.score_unit = 2.0 ** math.ceil(math.log2(reach / room)) if reach > 0 else 1.0
        self.multipliers = torch.round(slope / self.score_unit)
        self.offsets = torch.round(shift / self.score_unit)
        return None

    def pack(self):  # noqa: D102
        scores = ClassScores(
            self.multipliers.numpy().astype(np.int32), self.offsets.numpy().astype(np.int32)
        )
        return BinaryLinear(self.matrix, self.takes.value, scores)


class CodedSums(_Coded):
    """Coded rows to sums for a stream: product, times the power of two of :func:`step_of`."""

    def __init__(self, n_in, n_units, technique, **settings):
        super().__init__(n_in, n_units, technique, **settings)
        self.step = step_of(n_in)

    def forward(self, x, sample_weight=None):  # noqa: D102
        return self.sums(x) * self.step

    def frozen_signal(self):
        """Return what the frozen block gives: integers of a known size."""
        code, matrix = self.takes.value, self.matrix
        self.largest = matrix.n_bits * code.largest * int(matrix.largest.max())
        return Signal(IntStream((self.n_units,), self.largest), self.unit * self.step)

    def pack(self):  # noqa: D102
        return BinaryLinear(self.matrix, self.takes.value, Sums(self.n_units, self.largest))


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
        return nn.functional.linear(self.dropout(x.flatten(1)) * self.dropout.gain, w)

    def freeze(self, signal):  # noqa: D102
        self.weight_quantizer.freeze(self.weight)
        return Signal(Reals(self.n_units))

    def pack(self):  # noqa: D102
        slope, shift = (t.detach() for t in self.normalizer.affine())
        kept = {
            "biases": shift.numpy().astype(np.float32),
            "rectify": isinstance(self.nonlinearity, nn.ReLU),
            "is_last": self.is_last,
        }
        if self.weight_quantizer.coded:
            matrix, unit = self.weight_matrix()
            return MixedLinear(matrix, scales=(slope * unit).numpy().astype(np.float32), **kept)
        weights = self.weight_quantizer(self.weight.detach()) * slope[:, None]
        return RealLinear(weights.numpy().astype(np.float32), **kept)


class RealHidden(_Real):
    """Real rows to real activations: product, batch norm, ReLU."""

    def __init__(self, n_in, n_units, technique, **settings):
        super().__init__(n_in, n_units, technique, **settings)
        self.normalizer = BatchNorm(n_units)
        self.nonlinearity = named("non-linearity", _NONLINEARITIES, technique.nonlinearity)()
        if not isinstance(self.nonlinearity, nn.ReLU | nn.Identity):
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
