"""One-bit weights times a scale: XNOR-Net, Bi-Real Net, DoReFa-Net, ReSTE, BiT and IR-Net.

They differ in what the scale is, in whether weights are centred first, and in the gradient. Where
batch normalisation follows, a scale for each unit changes nothing but the gradient, and packed it
is folded away; where sums are added to a stream it stays, as an integer.
"""

import torch

from skbnn.nn.quantizers.base import PlaneWeights
from skbnn.nn.quantizers.codes import Planes
from skbnn.nn.quantizers.rounding import surrogate_sign
from skbnn.nn.surrogates import EDE, Power

__all__ = [
    "CenteredSignWeights",
    "LayerScaledWeights",
    "LibraWeights",
    "MagnitudeWeights",
    "PowerWeights",
    "XnorWeights",
]


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
        return Planes((w >= 0)[None], _mean_of_units(w)[None])

    def relaxed(self, w):  # noqa: D102
        inside, share = w.detach().abs() <= 1, 1 / max(1, w.shape[1])
        return w * (inside * _mean_of_units(w.detach())[:, None] + share)


class MagnitudeWeights(PlaneWeights):
    """``w_q = a sign(w)``, a the unit's mean of ``abs(w)``; gradient ``1[abs(w) <= 1]``.

    No gradient goes through the scale.

    References
    ----------
    Liu et al., Bi-Real Net, ECCV 2018, arXiv 1808.00278; the same in ReActNet, ECCV 2020,
    arXiv 2003.03488.
    """

    def planes(self, w):  # noqa: D102
        return Planes((w >= 0)[None], _mean_of_units(w)[None])

    def relaxed(self, w):  # noqa: D102
        return w.clamp(-1, 1)


class LayerScaledWeights(PlaneWeights):
    """``w_q = a sign(w)``, a the layer's mean of ``abs(w)``; the gradient is the identity.

    References
    ----------
    Zhou et al., DoReFa-Net, 2016, arXiv 1606.06160.
    """

    def planes(self, w):  # noqa: D102
        return Planes((w >= 0)[None], _mean_of_layer(w)[None])


class CenteredSignWeights(PlaneWeights):
    """``w_q = a sign(w - mean(w))``, a the layer's mean of ``abs(w)``, not centred.

    The gradient is the identity.

    References
    ----------
    Liu et al., BiT, NeurIPS 2022, arXiv 2205.13016.
    """

    def planes(self, w):  # noqa: D102
        return Planes((w >= w.mean())[None], _mean_of_layer(w)[None])


class PowerWeights(PlaneWeights):
    """``w_q = a sign(w)``, a the layer's mean of ``abs(w)``.

    The gradient goes through the scale, and through the sign as that of
    :class:`~skbnn.nn.surrogates.Power`.

    References
    ----------
    Wu et al., Estimator Meets Equilibrium Perspective (ReSTE), ICCV 2023, arXiv 2308.06689.
    """

    def planes(self, w):  # noqa: D102
        return Planes((w >= 0)[None], _mean_of_layer(w)[None])

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
        u = self._balanced(w)
        return Planes((u >= 0)[None], self._power(u)[None])

    def relaxed(self, w):  # noqa: D102
        u = self._balanced(w)
        signs = surrogate_sign(u, EDE(), self.progress)
        return signs * self._power(u.detach())[:, None]

    @staticmethod
    def _balanced(w):
        return centred(w) / deviation(w)

    @staticmethod
    def _power(u):
        mean = _mean_of_units(u)
        return torch.where(mean > 0, torch.exp2(torch.round(torch.log2(mean))), 0.0)


def centred(w):
    """Return the weights of each unit less their mean."""
    return w - w.mean(1, keepdim=True)


def deviation(w):
    """Return the standard deviation of the weights of each unit, of shape (n_units, 1)."""
    variance = centred(w).square().mean(1, keepdim=True)
    # Units of equal weights, or of one, have none; any other number keeps 0 at 0.
    return torch.where(variance > 0, variance, 1.0).sqrt()
