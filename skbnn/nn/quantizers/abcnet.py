"""ABC-Net: weights as a sum of shifted signs, activations as another."""

import torch
from torch import nn

from skbnn.nn.quantizers.activations import LevelActivations
from skbnn.nn.quantizers.codes import Planes, Staircase
from skbnn.nn.quantizers.rounding import at_least, at_levels, total_product
from skbnn.nn.quantizers.weights import PlaneWeights
from skbnn.nn.surrogates import within

__all__ = ["BasesActivations", "BasesWeights"]

_RIDGE = 1e-6
_HALF = 0.5
_SHIFTS = {1: (0.0,), 2: (-1.0, 1.0), 3: (-1.5, 0.0, 1.5), 5: (-3.5, -2.5, -1.5, 0.0, 2.5)}


class BasesWeights(PlaneWeights):
    """``w_q = sum_m a_m B_m`` with ``B_m = sign(w - mean + u_m std)``, u from -1 to 1.

    Mean and deviation are those of the layer, scales those of a unit: ``a = argmin ||w - sum_m a_m
    B_m||^2``, solved anew for every batch. What is approximated is w itself, so that a unit may
    have weights whose sum is not near 0. Gradient ``dC/dw = (sum_m a_m) dC/dw_q``: each sign's is
    the identity, and scales count as constants.

    Parameters
    ----------
    n_bases : int, default=2
        Signs, M in the paper.
    **settings
        See :class:`~skbnn.nn.quantizers.Quantizer`.

    References
    ----------
    Lin, Zhao, Pan, Towards Accurate Binary Convolutional Neural Network, NIPS 2017,
    arXiv 1711.11294.
    """

    def __init__(self, n_bases=2, **settings):
        super().__init__(**settings)
        self.n_bases = n_bases

    def planes(self, w):  # noqa: D102
        rest, n_in = w - w.mean(), max(1, w.shape[1])
        shifts = torch.linspace(-1, 1, self.n_bases) if self.n_bases > 1 else torch.zeros(1)
        limits = -shifts.to(w)[:, None, None] * rest.square().mean().sqrt()
        bits = at_least(rest.expand(self.n_bases, *rest.shape), limits)
        # What is above a limit is above all lower ones: two bases differ by a share of the weights.
        shares = bits.mean(2).T
        gram = 1 - 2 * (shares[:, :, None] - shares[:, None]).abs()
        # Equal bases have no unique scales; a ridge shares the worth out between them.
        gram += _RIDGE * torch.eye(self.n_bases, dtype=w.dtype, device=w.device)
        target = 2 * torch.linalg.vecdot(bits, w).T / n_in - w.mean(1, keepdim=True)
        return Planes(bits, torch.linalg.solve(gram, target).T)

    def relaxed(self, w):  # noqa: D102
        with torch.no_grad():
            scales = self.planes(w).scales
        return w * scales.sum(0)[:, None]

    def learn(self, w):  # noqa: D102
        if not self._is(BasesWeights):
            return super().learn(w)
        with torch.no_grad():
            planes = self.planes(w)
            parts = self.parts(planes, w.dtype)
        return parts, w * planes.scales.sum(0)[:, None]


class BasesActivations(LevelActivations):
    """``x_q = sum_n b_n A_n`` with ``A_n = sign(x + v_n - 1/2)``, b and v learned for the layer.

    A sign's derivative is ``1[0 <= x + v_n <= 1]``, for x and for v alike; ``dx_q/db_n = A_n``.
    Shifts start apart from each other: equal ones would stay equal.

    Parameters
    ----------
    n_bases : {1, 2, 3, 5}, default=3
        Signs, N in the paper.
    **settings
        See :class:`~skbnn.nn.quantizers.Quantizer`.

    References
    ----------
    Lin, Zhao, Pan, Towards Accurate Binary Convolutional Neural Network, NIPS 2017,
    arXiv 1711.11294.
    """

    def __init__(self, n_bases=3, **settings):
        super().__init__(**settings)
        self.shifts = nn.Parameter(torch.tensor(_SHIFTS[n_bases]))
        self.scales = nn.Parameter(torch.ones(n_bases))

    def staircase(self):  # noqa: D102
        thresholds, order = torch.sort(0.5 - self.shifts.detach())
        # The sign with the lowest threshold turns first, and so on.
        codes = torch.argsort(order) < torch.arange(len(order) + 1)[:, None].to(order.device)
        grid = self.grid(self.scales.detach(), torch.zeros_like(thresholds[0]))
        return Staircase(thresholds[:, None], codes, *grid)

    def learn(self, x):  # noqa: D102
        scales = self.snapped(*self.scales, counted=True)
        return _Bases.apply(x, self.shifts, torch.stack(scales))


class _Bases(torch.autograd.Function):
    """All signs in one pass, and their gradients in closed form."""

    @staticmethod
    def forward(ctx, x, shifts, scales):
        ctx.save_for_backward(x, shifts, scales)
        limits, order = torch.sort(0.5 - shifts)
        values = torch.cat([-scales.sum()[None], 2 * scales[order]]).cumsum(0)
        return at_levels(x, limits[:, None], values)

    @staticmethod
    def backward(ctx, grad):
        x, shifts, scales = ctx.saved_tensors
        grad = grad.contiguous()
        whole, grad_x, grad_shifts, grad_scales = grad.sum(), None, [], []
        for limit, scale in zip((0.5 - shifts).tolist(), scales.tolist(), strict=True):
            passed = within(grad, x, limit - _HALF, limit + _HALF).mul_(scale)
            grad_shifts.append(passed.sum())
            grad_x = passed if grad_x is None else grad_x.add_(passed)
            grad_scales.append(2 * total_product(grad, at_least(x, limit)) - whole)
        return grad_x, torch.stack(grad_shifts), torch.stack(grad_scales)
