"""AdaBin: a set of two values for each unit's weights, and for each layer's activations."""

import torch
from torch import nn

from skbnn.nn.quantizers.activations import LevelActivations
from skbnn.nn.quantizers.codes import Planes, Staircase
from skbnn.nn.quantizers.rounding import (
    at_least,
    at_levels,
    straight_through,
    surrogate_sign,
    total_product,
)
from skbnn.nn.quantizers.scaled import standardized
from skbnn.nn.quantizers.weights import PlaneWeights
from skbnn.nn.surrogates import EDE

__all__ = ["AdaptiveActivations", "AdaptiveWeights"]

_LEAST_SCALE = 0.05


class AdaptiveWeights(PlaneWeights):
    """``w_q = a sign((w - b) / a) + b``, b and a mean and standard deviation of a unit's weights.

    The gradient goes through mean and deviation, and through the sign as that of
    :class:`~skbnn.nn.surrogates.EDE`.

    References
    ----------
    Tu et al., AdaBin, ECCV 2022, arXiv 2208.08084.
    """

    def planes(self, w):  # noqa: D102
        return self._planes(*standardized(w))

    def relaxed(self, w):  # noqa: D102
        return self._relaxed(*standardized(w))

    def learn(self, w):  # noqa: D102
        if not self._is(AdaptiveWeights):
            return super().learn(w)
        shared = standardized(w)
        with torch.no_grad():
            parts = self.parts(self._planes(*shared), w.dtype)
        return parts, self._relaxed(*shared)

    @staticmethod
    def _planes(u, spread, mean):
        return Planes(at_least(u, 0)[None], spread.T, mean[:, 0])

    def _relaxed(self, u, spread, mean):
        return spread * surrogate_sign(u, EDE(), self.progress) + mean


class AdaptiveActivations(LevelActivations):
    """``x_q = a sign((x - b) / a) + b``, a and b learned for the layer.

    With ``u = (x - b) / a`` and the surrogate derivative q' at u: ``dx_q/dx = q'``,
    ``dx_q/da = sign(u) - u q'``, ``dx_q/db = 1 - q'``.

    References
    ----------
    Tu et al., AdaBin, ECCV 2022, arXiv 2208.08084: the set of the paper, {b - a, b + a}; that of
    the authors' code is {a (b - 1), a (b + 1)}.
    """

    def __init__(self, **settings):
        super().__init__(**settings)
        self.scale = nn.Parameter(torch.ones(()))
        self.center = nn.Parameter(torch.zeros(()))

    def staircase(self):  # noqa: D102
        scale = self.scale.detach().clamp(min=_LEAST_SCALE)
        grid = self.grid(scale.reshape(1), self.center.detach())
        codes = torch.tensor([[False], [True]])
        return Staircase(self.center.detach().reshape(1, 1), codes, *grid)

    def learn(self, x):  # noqa: D102
        # A scale that is too small keeps its gradient, and so can grow again.
        scale = straight_through(self.scale, self.scale.detach().clamp(min=_LEAST_SCALE))
        a, b = self.snapped(scale, self.center, counted=True)
        return _Adaptive.apply(x, scale, self.center, a, b, self.surrogate, self.progress)


class _Adaptive(torch.autograd.Function):
    """``a sign(u) + b`` with ``u = (x - center) / scale``, and a surrogate's gradient at u.

    a and b are scale and center on their grid.
    """

    @staticmethod
    def forward(ctx, x, scale, center, a, b, surrogate, progress):
        ctx.save_for_backward(x, scale, center, a)
        ctx.surrogate, ctx.progress = surrogate, progress
        return at_levels(x, center.reshape(1, 1), torch.stack([b - a, b + a]))

    @staticmethod
    def backward(ctx, grad):
        x, scale, center, a = ctx.saved_tensors
        grad = grad.contiguous()
        whole = grad.sum()
        grad_a = 2 * total_product(grad, at_least(x, center)) - whole
        u = (x - center).div_(scale)
        grad_x = ctx.surrogate.backward(grad, u, ctx.progress).to(x.dtype) * (a / scale)
        return grad_x, -total_product(grad_x, u), -grad_x.sum(), grad_a, whole, None, None
