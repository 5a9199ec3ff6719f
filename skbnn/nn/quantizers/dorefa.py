"""DoReFa-Net: weights and activations of a few bits on fixed, equal steps."""

import torch

from skbnn.nn.quantizers.activations import LevelActivations, clipped_through
from skbnn.nn.quantizers.codes import Planes, Staircase
from skbnn.nn.quantizers.rounding import at_least
from skbnn.nn.quantizers.weights import PlaneWeights

__all__ = ["UniformActivations", "UniformWeights"]


class UniformWeights(PlaneWeights):
    """``w_q = 2 q(t / (2 max abs(t)) + 1 / 2) - 1`` with ``t = tanh(w)``, of k bits.

    ``q(x) = floor((2^k - 1) x + 1 / 2) / (2^k - 1)``; its gradient is the identity, and none goes
    through the layer's maximum. Of one bit: :class:`~skbnn.nn.quantizers.LayerScaledWeights`.

    Parameters
    ----------
    n_bits : int, default=2
        Bits of a weight.
    **settings
        See :class:`~skbnn.nn.quantizers.Quantizer`.

    References
    ----------
    Zhou et al., DoReFa-Net, 2016, arXiv 1606.06160.
    """

    def __init__(self, n_bits=2, **settings):
        super().__init__(**settings)
        self.n_bits = n_bits

    def planes(self, w):  # noqa: D102
        return self._planes(UniformWeights.relaxed(self, w))

    def learn(self, w):  # noqa: D102
        if not self._is(UniformWeights):
            return super().learn(w)
        t = self.relaxed(w)
        with torch.no_grad():
            parts = self.parts(self._planes(t), w.dtype)
        return parts, t

    def _planes(self, t):
        most = 2**self.n_bits - 1
        rest = torch.floor(most * (t + 1) / 2 + 0.5)
        bits = torch.empty(self.n_bits, *t.shape, dtype=t.dtype, device=t.device)
        for k in reversed(range(self.n_bits)):
            bits[k] = at_least(rest, 1 << k)
            rest.sub_(bits[k], alpha=1 << k)
        scales = 2.0 ** torch.arange(self.n_bits, device=t.device) / most
        return Planes(bits, scales[:, None].expand(-1, len(t)))

    def relaxed(self, w):  # noqa: D102
        t = torch.tanh(w)
        if not t.numel():
            return t
        return t / t.detach().abs().max().clamp(min=torch.finfo(w.dtype).tiny)


class UniformActivations(LevelActivations):
    """``x_q = floor((2^k - 1) clip(x, 0, 1) + 1 / 2) / (2^k - 1)``, of k bits.

    Gradient ``1[0 <= x <= 1]``. Where frameworks round a half to even, it is rounded up here.

    Parameters
    ----------
    n_bits : int, default=2
        Bits of an activation.
    **settings
        See :class:`~skbnn.nn.quantizers.Quantizer`.

    References
    ----------
    Zhou et al., DoReFa-Net, 2016, arXiv 1606.06160.
    """

    def __init__(self, n_bits=2, **settings):
        super().__init__(**settings)
        most = 2**n_bits - 1
        levels = torch.arange(most + 1)
        powers = 2 ** torch.arange(n_bits)
        codes = (levels[:, None] & powers) > 0
        _, _, unit = self.grid(torch.tensor([0.5 / most]), torch.zeros(()))
        limits = (levels[1:, None] - 0.5) / most
        self.levels = Staircase(limits, codes, powers, powers.sum(), unit)

    def staircase(self):  # noqa: D102
        return self.levels

    def learn(self, x):  # noqa: D102
        return clipped_through(x, self.valued(x), 0.0, 1.0)
