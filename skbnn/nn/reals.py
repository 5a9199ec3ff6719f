"""Dense blocks of real rows, for the controls, and for the ends that some papers keep real."""

import numpy as np
from torch import nn

from skbnn.nn.block import Signal
from skbnn.nn.dense import Dense, first_gain, step_of
from skbnn.nn.nonlinearities import make_nonlinearity
from skbnn.nn.normalizers import BatchNorm, make_normalizer
from skbnn.packed.linear import MixedLinear, RealLinear
from skbnn.packed.values import Reals

__all__ = ["RealHidden", "RealOutput", "RealProjection", "RealSums"]


class _Real(Dense):
    """A dense block on real rows; packed, normalisation is folded into weights or scales."""

    is_last = False

    def forward(self, x, sample_weight=None):  # noqa: D102
        return self.nonlinearity(self.normalizer(self.sums(x), sample_weight))

    def sums(self, x):
        """Return the sums of the units."""
        w = self.weight_quantizer(self.weight)
        rows = self.dropout(x.flatten(1)).to(w.dtype)
        return nn.functional.linear(self.dropout.restore(rows), w)

    def freeze(self, signal):  # noqa: D102
        self.takes_unit = signal.unit
        return Signal(Reals(self.n_units))

    def pack(self):  # noqa: D102
        slope, shift = (t.detach() for t in self.normalizer.affine())
        slope = slope * self.takes_unit
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
        self.normalizer = make_normalizer(technique.output_normalizer, n_units, first_gain(self))
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
