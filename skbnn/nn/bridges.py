"""Between reals and codes, in training: what becomes :mod:`skbnn.packed.bridges`."""

import numpy as np
import torch

from skbnn.nn.block import Block, Signal
from skbnn.nn.levels import LevelBlock
from skbnn.nn.nonlinearities import make_nonlinearity
from skbnn.packed import bridges as packed
from skbnn.packed.folding import fold_levels
from skbnn.packed.values import Reals

__all__ = ["CodeReals", "RealLevels"]

_LARGEST = int(np.finfo(np.float32).max.view(np.int32))


class RealLevels(LevelBlock):
    """Real activations to codes: a monotone function, then the quantizer.

    Frozen, both are one float32 threshold for each step and unit.

    Parameters
    ----------
    shape : tuple of int
        Lines, columns and channels, or channels alone.
    technique : Technique
        Activation quantizer, its surrogate and the non-linearity.
    generator : torch.Generator
        Source of randomness.
    """

    def __init__(self, shape, technique, generator):
        super().__init__()
        self.shape, self.n_units = tuple(shape), shape[-1]
        self.nonlinearity = make_nonlinearity(technique.nonlinearity, self.n_units)
        self.make_levels(technique, generator)
        self.thresholds = None

    def forward(self, x, sample_weight=None):  # noqa: D102
        rows = x.reshape(-1, self.n_units)
        if self.thresholds is None:
            codes = self.activation_quantizer(self.nonlinearity(rows))
        else:
            stairs = self.activation_quantizer.staircase()
            level = (rows >= torch.from_numpy(self.thresholds).double()[:, None]).sum(0)
            codes = stairs.values()[level]
        return codes.view(len(x), *self.shape)

    def activation_of(self, sums):
        """Return what is quantized for real numbers, given by their places among all float32."""
        places = sums.numpy().astype(np.int64)
        return self.nonlinearity(torch.from_numpy(_float_at(places).astype(np.float64)))

    def freeze(self, signal):  # noqa: D102
        n_levels = len(self.activation_quantizer.staircase().codes)
        with torch.no_grad():
            places, _ = fold_levels(self.level_of, np.full(self.n_units, _LARGEST), n_levels)
        # A threshold that is never met is the largest number.
        self.thresholds = _float_at(np.minimum(places, _LARGEST))
        return self.code_signal()._replace(value=self._gives)

    @property
    def _gives(self):
        *places, _ = self.shape
        return self.code.at_places(places) if places else self.code

    def pack(self):  # noqa: D102
        return packed.RealLevels(self.thresholds, self.codes, self._gives)


def _float_at(places):
    """Return the float32 numbers at places in their order, 0 at place 0."""
    sizes = np.abs(places).astype(np.int32).view(np.float32)
    return np.where(places < 0, -sizes, sizes)


class CodeReals(Block):
    """Codes as the reals that they stand for."""

    def forward(self, x, sample_weight=None):  # noqa: D102
        return x.flatten(1)

    def freeze(self, signal):  # noqa: D102
        self.takes = signal.value
        return Signal(Reals(signal.value.width), signal.unit)

    def pack(self):  # noqa: D102
        return packed.CodeReals(self.takes)
