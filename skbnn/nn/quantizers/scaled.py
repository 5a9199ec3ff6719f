"""One-bit weights times a scale: XNOR-Net, Bi-Real Net, DoReFa-Net, ReSTE, BiT and IR-Net.

They differ in what the scale is, in whether weights are centred first, and in the gradient. Where
batch normalisation follows, a scale for each unit changes nothing but the gradient, and packed it
is folded away; where sums are added to a stream it stays, as an integer.
"""

import torch

from skbnn.nn.quantizers.codes import Planes
from skbnn.nn.quantizers.rounding import at_least, surrogate_sign
from skbnn.nn.quantizers.weights import PlaneWeights
from skbnn.nn.surrogates import EDE, Clipped, Power

__all__ = [
    "CenteredSignWeights",
    "LayerScaledWeights",
    "LibraWeights",
    "MagnitudeWeights",
    "PowerWeights",
    "XnorWeights",
]


def _signs(w, scales, limit=0.0):
    """Return the plane of the signs of ``w - limit``."""
    return Planes(at_least(w, limit)[None], scales[None])


def _mean_of_units(w):
    return w.abs().mean(1)


def _mean_of_layer(w):
    return w.abs().mean().expand(len(w))


class XnorWeights(PlaneWeights):
    """``w_q = a sign(w)``, a the unit's mean of ``abs(w)``, the least-squares optimum.

    Gradient ``dC/dw = dC/dw_q (1 / n + 1[abs(w) <= 1] a)``, n inputs of a unit, as the paper has
    it; the paper's scales of activations are left out, as in the authors' code.

    References
    ----------
    Rastegari et al., XNOR-Net, ECCV 2016, arXiv 1603.05279.
    """

    def planes(self, w):  # noqa: D102
        return _signs(w, _mean_of_units(w))

    def relaxed(self, w):  # noqa: D102
        with torch.no_grad():
            inside = at_least(-w.abs(), -1)
            slope = inside.mul_(_mean_of_units(w)[:, None]).add_(1 / max(1, w.shape[1]))
        return w * slope


class MagnitudeWeights(PlaneWeights):
    """``w_q = a sign(w)``, a the unit's mean of ``abs(w)``; gradient ``1[abs(w) <= 1]``.

    No gradient goes through the scale.

    References
    ----------
    Liu et al., Bi-Real Net, ECCV 2018, arXiv 1808.00278; the same in ReActNet, ECCV 2020,
    arXiv 2003.03488.
    """

    def planes(self, w):  # noqa: D102
        return _signs(w, _mean_of_units(w))

    def relaxed(self, w):  # noqa: D102
        return surrogate_sign(w, Clipped())


class LayerScaledWeights(PlaneWeights):
    """``w_q = a sign(w)``, a the layer's mean of ``abs(w)``; the gradient is the identity.

    References
    ----------
    Zhou et al., DoReFa-Net, 2016, arXiv 1606.06160.
    """

    def planes(self, w):  # noqa: D102
        return _signs(w, _mean_of_layer(w))


class CenteredSignWeights(PlaneWeights):
    """``w_q = a sign(w - mean(w))``, a the layer's mean of ``abs(w)``, not centred.

    The gradient is the identity.

    References
    ----------
    Liu et al., BiT, NeurIPS 2022, arXiv 2205.13016.
    """

    def planes(self, w):  # noqa: D102
        return _signs(w, _mean_of_layer(w), w.mean())


class PowerWeights(PlaneWeights):
    """``w_q = a sign(w)``, a the layer's mean of ``abs(w)``.

    The gradient goes through the scale, and through the sign as that of
    :class:`~skbnn.nn.surrogates.Power`.

    References
    ----------
    Wu et al., Estimator Meets Equilibrium Perspective (ReSTE), ICCV 2023, arXiv 2308.06689.
    """

    def planes(self, w):  # noqa: D102
        return _signs(w, _mean_of_layer(w))

    def relaxed(self, w):  # noqa: D102
        return w.abs().mean() * surrogate_sign(w, Power(), self.progress)


class LibraWeights(PlaneWeights):
    """Balanced signs times a power of two: ``w_q = 2^s sign(u)``, ``u = (w - mean) / std``.

    Mean and standard deviation are those of a unit, and ``s = round(log2(mean(abs(u))))``. The
    gradient goes through mean and deviation, and through the sign as that of
    :class:`~skbnn.nn.surrogates.EDE`; none through s.

    References
    ----------
    Qin et al., IR-Net, CVPR 2020, arXiv 1909.10788.
    """

    def planes(self, w):  # noqa: D102
        u, _, _ = standardized(w)
        return _signs(u, self._power(u))

    def relaxed(self, w):  # noqa: D102
        u, _, _ = standardized(w)
        return surrogate_sign(u, EDE(), self.progress) * self._power(u.detach())[:, None]

    def learn(self, w):  # noqa: D102
        if not self._is(LibraWeights):
            return super().learn(w)
        u, _, _ = standardized(w)
        with torch.no_grad():
            planes = _signs(u, self._power(u))
            parts = self.parts(planes, w.dtype)
        return parts, surrogate_sign(u, EDE(), self.progress) * planes.scales.T

    @staticmethod
    def _power(u):
        mean = _mean_of_units(u)
        return torch.where(mean > 0, torch.exp2(torch.round(torch.log2(mean))), 0.0)


class _Standardized(torch.autograd.Function):
    """Closed forms in place of a dozen operations and their gradients."""

    @staticmethod
    def forward(ctx, w):
        mean = w.mean(1, keepdim=True)
        u = w - mean
        variance = torch.linalg.vecdot(u, u)[:, None] / max(1, w.shape[1])
        # Units of equal weights, or of one, have none; any other number keeps 0 at 0.
        spread = torch.where(variance > 0, variance, 1.0).sqrt()
        u.div_(spread)
        ctx.save_for_backward(u, spread)
        return u, spread, mean

    @staticmethod
    def backward(ctx, grad_u, grad_spread, grad_mean):
        u, spread = ctx.saved_tensors
        n_in = max(1, u.shape[1])
        along = (grad_spread - torch.linalg.vecdot(grad_u, u)[:, None] / spread) / n_in
        apart = grad_mean / n_in - grad_u.mean(1, keepdim=True) / spread
        return torch.addcmul(apart, u, along).addcdiv_(grad_u, spread)


def standardized(w):
    """Return ``u = (w - mean) / spread`` of each unit's weights, with the gradients of all three.

    Parameters
    ----------
    w : Tensor of shape (n_units, n_in)
        Latent weights.

    Returns
    -------
    u : Tensor of shape (n_units, n_in)
    spread, mean : Tensor of shape (n_units, 1)
        Standard deviation, 1 where it would be 0, and mean.
    """
    return _Standardized.apply(w)
