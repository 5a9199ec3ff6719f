"""Residual streams in training: what becomes :mod:`skbnn.packed.stream`.

Tensors hold channels last: (n, lines, columns, channels), a sequence being an image of one line.
Coded branches add multiples of a power of two, which float32 adds exactly (below 2^24 of them), so
the stream of training, that of the frozen network and the integers of the packed program are the
same numbers.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from skbnn.bits import pack_bits
from skbnn.nn.block import Block, Signal, link
from skbnn.nn.levels import LevelBlock
from skbnn.nn.nonlinearities import make_nonlinearity
from skbnn.nn.normalizers import BatchNorm
from skbnn.nn.quantizers import straight_through
from skbnn.packed import stream as packed
from skbnn.packed.checks import narrowest
from skbnn.packed.levels import StreamLevels

__all__ = [
    "CodedPositions",
    "EachPlace",
    "RealPositions",
    "Residual",
    "Shortcut",
    "StreamNorm",
    "StreamSign",
]

_FIRST_POSITIONS = 0.25


class EachPlace(Block):
    """One block on rows, for every place of an image or every token of a sequence.

    Batch statistics run over rows and places alike; a row's weight counts at each of its places.

    Parameters
    ----------
    block : Block
        A dense block.
    places : tuple of two ints
        Lines and columns of places.
    """

    def __init__(self, block, places):
        super().__init__()
        self.block = block
        self.places = tuple(places)

    def read(self, source):  # noqa: D102
        self.block.read(source)

    @property
    def activation_quantizer(self):
        """What quantizes the results of the block, if anything does."""
        return self.block.activation_quantizer

    def forward(self, x, sample_weight=None):  # noqa: D102
        rows, weight = flatten_places(x, sample_weight)
        return self.block(rows, weight).view(len(x), *self.places, self.block.n_units)

    def freeze(self, signal):  # noqa: D102
        inner = self.block.freeze(signal._replace(value=signal.value.of_place(self.places)))
        return inner._replace(value=inner.value.at_places(self.places))

    def pack(self):  # noqa: D102
        return packed.EachPlace(self.block.pack(), self.places)


def flatten_places(x, sample_weight):
    """Return images as rows of places, and the weight of each of them.

    Parameters
    ----------
    x : Tensor of shape (n, ..., n_channels)
        Images.
    sample_weight : Tensor of shape (n,) or None
        Their weights.

    Returns
    -------
    rows : Tensor of shape (n * n_places, n_channels)
    sample_weight : Tensor of shape (n * n_places,) or None
    """
    rows = x.flatten(0, -2)
    if sample_weight is not None:
        sample_weight = sample_weight.repeat_interleave(math.prod(x.shape[1:-1]))
    return rows, sample_weight


class CodedPositions(Block):
    """The beginning of a stream of integers: sums plus a learned table on a grid.

    The table is rounded to multiples of ``step``; gradients pass through the rounding. Should the
    sums be multiples of something finer, so is the stream.

    Parameters
    ----------
    shape : tuple of three ints
        Lines, columns and channels.
    step : float
        A power of two.
    generator : torch.Generator
        Source of the first table.
    """

    def __init__(self, shape, step, generator):
        super().__init__()
        table = torch.empty(shape).normal_(0, _FIRST_POSITIONS, generator=generator)
        self.table = nn.Parameter(table)
        self.step = step

    def levels(self):
        """Return the table in steps, as whole numbers."""
        return torch.round(self.table.detach() / self.step)

    def forward(self, x, sample_weight=None):  # noqa: D102
        return x + straight_through(self.table, self.levels() * self.step)

    def freeze(self, signal):  # noqa: D102
        self.takes, self.unit = signal, min(signal.unit, self.step)
        return Signal(self.pack().gives, self.unit)

    def pack(self):  # noqa: D102
        levels = self.levels() * (self.step / self.unit)
        shift = _shift_between(self.takes.unit, self.unit)
        table = narrowest(levels.numpy().astype(np.int64))
        return packed.Positions(self.takes.value, shift, table)


def _shift_between(unit, other):
    """Return how often a power of two is doubled from another."""
    return round(math.log2(unit / other))


class RealPositions(Block):
    """The beginning of a stream of reals: sums plus a learned table.

    Parameters
    ----------
    shape, step, generator
        As :class:`CodedPositions` has them; there is no grid.
    """

    def __init__(self, shape, step, generator):
        super().__init__()
        table = torch.empty(shape).normal_(0, _FIRST_POSITIONS, generator=generator)
        self.table = nn.Parameter(table)

    def forward(self, x, sample_weight=None):  # noqa: D102
        return x + self.table

    def freeze(self, signal):  # noqa: D102
        return signal

    def pack(self):  # noqa: D102
        shifts = self.table.detach().numpy().ravel().astype(np.float32)
        return packed.Affine(np.ones_like(shifts), shifts)


class StreamSign(LevelBlock):
    """The stream as a code: batch norm over rows and places, then a quantizer, sign for instance.

    Packed, it is a comparison for each step of the levels and each channel, found by bisection of
    the trained chain.

    Parameters
    ----------
    places : tuple of two ints
        Lines and columns of places.
    channels : int
        Numbers at each place.
    technique : Technique
        Activation quantizer and its surrogate.
    generator : torch.Generator
        Source of randomness.
    """

    def __init__(self, places, channels, technique, generator):
        super().__init__()
        self.n_units = channels
        self.normalizer = BatchNorm(channels)
        self.make_levels(technique, generator)
        # A stage of real activations bends the stream where a later one quantizes it.
        bend = "none" if self.activation_quantizer.coded else technique.nonlinearity
        self.nonlinearity = make_nonlinearity(bend, channels)

    def forward(self, x, sample_weight=None):  # noqa: D102
        rows, weight = flatten_places(x, sample_weight)
        codes = self.activation_quantizer.normalized(rows, self.normalizer, weight)
        return self.nonlinearity(codes).view(x.shape)

    def freeze(self, signal):  # noqa: D102
        self.takes, self.largest = signal, signal.value.largest
        given = self.code_signal()
        return given._replace(value=given.value.at_places(signal.value.shape[:2]))

    def activation_of(self, sums):  # noqa: D102
        return self.normalizer(sums * self.takes.unit)

    def pack(self):  # noqa: D102
        if not self.gives_signs:
            return StreamLevels(self.takes.value, self.level_codes())
        (thresholds,), falls = self.fold_levels()
        return packed.StreamSign(self.takes.value, thresholds, pack_bits(falls))


class StreamNorm(Block):
    """The stream as a branch of reals reads it: batch norm over rows and places.

    Parameters
    ----------
    places, channels, technique, generator
        As :class:`StreamSign` has them.
    """

    def __init__(self, places, channels, technique, generator):
        super().__init__()
        self.places = tuple(places)
        self.normalizer = BatchNorm(channels)

    def forward(self, x, sample_weight=None):  # noqa: D102
        return self.normalizer(*flatten_places(x, sample_weight)).view(x.shape)

    def freeze(self, signal):  # noqa: D102
        return signal

    def pack(self):  # noqa: D102
        slope, shift = (t.detach().numpy().astype(np.float32) for t in self.normalizer.affine())
        return packed.EachPlace(packed.Affine(slope, shift), self.places)


class Shortcut(Block):
    """The stream on its way around a branch of another shape: max-pooled, channels added or cut.

    Parameters
    ----------
    shape : tuple of three ints
        Lines, columns and channels of the stream.
    pool : tuple of two ints
        Lines and columns of a pool, which is also the step; what fills none is left out.
    channels : int
        Channels of the result: zeros are added, or the last ones cut off.
    """

    def __init__(self, shape, pool, channels):
        super().__init__()
        self.shape, self.pool, self.channels = tuple(shape), tuple(pool), channels

    def forward(self, x, sample_weight=None):  # noqa: D102
        pooled = F.max_pool2d(x.permute(0, 3, 1, 2), self.pool).permute(0, 2, 3, 1)
        return F.pad(pooled, (0, self.channels - self.shape[2]))

    def freeze(self, signal):  # noqa: D102
        self.takes = signal
        return signal._replace(value=self.pack().gives)

    def pack(self):  # noqa: D102
        return packed.Shortcut(self.takes.value, self.shape, self.pool, self.channels)


class Residual(Block):
    """A branch of blocks around which the stream is led: ``skip(x) + branch(x)``.

    Parameters
    ----------
    branch : sequence of Block
        The first reads the stream, the last gives sums of the same shape.
    skip : sequence of Block
        What the stream goes through on its way around; nothing by default.
    """

    def __init__(self, branch, skip=()):
        super().__init__()
        self.branch = nn.ModuleList(branch)
        link(self.branch)
        self.skip = nn.ModuleList(skip)

    def forward(self, x, sample_weight=None):  # noqa: D102
        added = skipped = x
        for block in self.branch:
            added = block(added, sample_weight)
        for block in self.skip:
            skipped = block(skipped, sample_weight)
        return skipped + added

    def freeze(self, signal):  # noqa: D102
        self.takes, inner, skipped = signal, signal, signal
        for block in self.branch:
            inner = block.freeze(inner)
        for block in self.skip:
            skipped = block.freeze(skipped)
        self.shift = _shift_between(inner.unit, skipped.unit)
        stream = packed.add_branch(skipped.value, inner.value, self.shift)
        return Signal(stream, min(skipped.unit, inner.unit))

    def pack(self):  # noqa: D102
        branch, skip = (tuple(b.pack() for b in part) for part in (self.branch, self.skip))
        return packed.Residual(branch, self.takes.value, self.shift, skip)
