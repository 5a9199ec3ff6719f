"""BiT: elastic binarization, whose scale and shifts are learned as step sizes are."""

import math
from types import MappingProxyType

import torch
from torch import nn

from skbnn.nn.quantizers.activations import LevelActivations
from skbnn.nn.quantizers.codes import Staircase
from skbnn.nn.quantizers.rounding import total_product
from skbnn.nn.surrogates import within

__all__ = ["ElasticActivations", "ElasticPositiveActivations"]

_LEAST_SCALE = 1e-5


class _Elastic(torch.autograd.Function):
    """Levels forward; the gradients of BiT backward."""

    @staticmethod
    def forward(ctx, x, scale, shift, quantized, lowest, is_sign, count):
        ctx.save_for_backward(x, scale, shift, quantized)
        ctx.lowest, ctx.is_sign, ctx.count = lowest, is_sign, count
        return quantized

    @staticmethod
    def backward(ctx, grad):
        x, scale, shift, quantized = ctx.saved_tensors
        grad, moved, size = grad.contiguous(), x - shift, float(scale)
        grad_x = within(grad, moved, ctx.lowest * size, size)
        # The scale of a sign has the sign for its gradient, that of more levels a rounding error.
        if ctx.is_sign:
            grad_scale = total_product(grad, quantized)
        else:
            # Differences before sums: errors of rounding are small beside what is rounded.
            grad_scale = (grad * quantized).addcmul_(grad_x, moved, value=-1).sum()
        grad_scale = grad_scale / (scale * math.sqrt(ctx.count))
        return grad_x, grad_scale.reshape(scale.shape), -grad_x.sum(0), None, None, None, None


class ElasticActivations(LevelActivations):
    """``x_q = a q((x - b) / a)``: q is sign for one bit, else the nearest of levels in [-1, 1].

    The scale a is learned for the layer, starts at ``2 mean(abs(x))`` of the first batch and is
    at least 1e-5; the shift b is learned for each unit and starts at 0. Where batch norm follows,
    as here, the scale changes nothing but the gradient's window, and an optimizer that divides by
    the size of gradients lets it wander; so it learns at a hundredth of the rate, as the paper's
    code has a small rate for it alone. With ``u = (x - b) / a``:
    ``dx_q/dx = 1[abs(u) <= 1]``, ``dx_q/db = -1[abs(u) <= 1]``, and ``dx_q/da`` is sign(u) for one
    bit, else ``q(u) - u`` inside and ``q(u)`` outside, divided by the root of the number of
    activations.

    Parameters
    ----------
    n_bits : int, default=1
        Bits of an activation.
    **settings
        See :class:`~skbnn.nn.quantizers.Quantizer`.

    References
    ----------
    Liu et al., BiT, NeurIPS 2022, arXiv 2205.13016.
    """

    lowest = -1.0
    first_scale = 2.0
    rates = MappingProxyType({"scale": 0.01})

    def __init__(self, n_bits=1, **settings):
        super().__init__(**settings)
        self.n_bits = n_bits
        self.scale = nn.Parameter(torch.ones(()))
        self.shift = nn.Parameter(torch.zeros(self.n_units))
        self.register_buffer("begun", torch.zeros(()))

    def _shape(self, device=None):
        """Return the levels between the lowest and 1, and their codes."""
        most = 2**self.n_bits - 1
        numbers = torch.arange(most + 1, device=device)
        codes = (numbers[:, None] & 2 ** torch.arange(self.n_bits, device=device)) > 0
        return self.lowest + (1 - self.lowest) * numbers / most, codes

    def staircase(self):  # noqa: D102
        scale, shift = self.scale.detach().clamp(min=_LEAST_SCALE), self.shift.detach()
        levels, codes = self._shape(scale.device)
        limits = (levels[1:] + levels[:-1]) / 2
        powers = 2 ** torch.arange(self.n_bits, device=scale.device)
        step = (1 - self.lowest) / (2 * (2**self.n_bits - 1))
        _, _, unit = self.grid(scale.reshape(1) * step, torch.zeros_like(scale))
        offset = powers.sum() if self.lowest == 0 else powers.sum() * 0
        return Staircase(limits[:, None] * scale + shift, codes, powers, offset, unit)

    def learn(self, x):  # noqa: D102
        count = self.processes.total(x.numel())
        if not bool(self.begun):
            with torch.no_grad():
                self.scale.copy_(self.first_scale * self.processes.sum(x.abs().sum()) / count)
                self.begun.fill_(1.0)
        if float(self.scale.detach()) < _LEAST_SCALE:
            # The parameter itself: below the least it would have no gradient and not come back.
            with torch.no_grad():
                self.scale.fill_(_LEAST_SCALE)
        quantized = self.valued(x)
        is_sign = self.n_bits == 1 and self.lowest < 0
        return _Elastic.apply(x, self.scale, self.shift, quantized, self.lowest, is_sign, count)


class ElasticPositiveActivations(ElasticActivations):
    """``x_q = a q((x - b) / a)``, q the nearest of the levels in [0, 1]: {0, 1} for one bit.

    The scale starts at ``4 mean(abs(x))``. With ``u = (x - b) / a``: ``dx_q/dx = 1[0 <= u <= 1]``
    and ``dx_q/da`` is 0 below, ``q(u) - u`` inside and 1 above. Where the paper rounds a half to
    even, it is rounded up here.

    References
    ----------
    Liu et al., BiT, NeurIPS 2022, arXiv 2205.13016.
    """

    lowest = 0.0
    first_scale = 4.0
