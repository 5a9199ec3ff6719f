"""LQ-Nets: codes of a few bits whose basis is learned by minimising the quantization error.

With codes B of the numbers x, the basis that minimises ``||x - B v||^2`` is the least-squares
solution ``v* = (B'B + d I)^-1 (B'x + d v)``, a small ridge d towards the basis v as it is. In
training every batch is quantized with v, and then v moves a tenth of the way to v*. Bases are
buffers: no gradient trains them, and outside training they stay.
"""

from itertools import pairwise

import torch

from skbnn.nn.quantizers.activations import LevelActivations, clipped_through
from skbnn.nn.quantizers.codes import Parts, Planes, Staircase
from skbnn.nn.quantizers.rounding import at_least, level_sums, snap
from skbnn.nn.quantizers.weights import PlaneWeights

__all__ = ["BasisActivations", "BasisWeights"]

_RIDGE = 1e-4
_RATE = 0.1
# The upper quartile of the normal distribution.
_QUARTILE = 0.6745


def _all_codes(n_bits, device=None):
    """Return all codes of some bits as numbers 0 and 1, of shape (2^n_bits, n_bits)."""
    codes = torch.arange(1 << n_bits, device=device)
    return codes[:, None] >> torch.arange(n_bits, device=device) & 1


def _improved(basis, worth, counts, sums):
    """Return bases moved towards those of the least squared error.

    Parameters
    ----------
    basis : Tensor of shape (..., n_bits)
        Bases.
    worth : Tensor of shape (..., n_levels, n_bits)
        What each bit of each level's code counts.
    counts, sums : Tensor of shape (..., n_levels)
        Share of the numbers that are nearest to the level, and their sum over that of all.
    """
    basis = basis[..., None]
    gram = worth.mT @ (counts[..., None] * worth)
    target = worth.mT @ sums[..., None]
    ridge = _RIDGE * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    best = torch.linalg.solve(gram + ridge, target + _RIDGE * basis)
    return torch.lerp(basis, best, _RATE)[..., 0]


class BasisWeights(PlaneWeights):
    """The nearest of the levels ``sum_k v_k b_k``, all b in {-1, +1}, v learned for each unit.

    The gradient is the identity, without a clip. A weight half-way between two levels gets the
    upper one, so that one of 0 counts as positive.

    Parameters
    ----------
    n_bits : int, default=2
        Bits of a weight.
    **settings
        See :class:`~skbnn.nn.quantizers.Quantizer`.

    References
    ----------
    Zhang et al., LQ-Nets, ECCV 2018, arXiv 1807.10029.
    """

    def __init__(self, n_bits=2, **settings):
        super().__init__(**settings)
        self.n_bits = n_bits
        self.register_buffer("basis", torch.zeros(self.n_units, n_bits))

    def learn(self, w):  # noqa: D102
        # Without inputs there is nothing to learn from.
        if not self.training or not w.numel():
            return super().learn(w)
        latent = w.detach()
        self._begin(latent)
        signs, above = self._levels(latent)
        scales, unit = snap(self.basis.T, self.steps, shared=self.shared_grid)
        worth = ((signs.double() @ scales.T.double()[..., None])[..., 0] * unit[:, None]).to(w)
        self._improve(latent, signs, above)
        # A weight is worth the lowest level, and a step more for each limit that it is above.
        planes = torch.stack([met.to(torch.int8) for met in above])
        return Parts(planes, worth.diff(dim=1).T, worth[:, 0]), w

    def planes(self, w):  # noqa: D102
        signs, above = self._levels(w)
        level = sum(above, torch.zeros_like(w)).long()
        bits = torch.stack([torch.gather(sign, 1, level) for sign in signs.unbind(2)])
        return Planes(bits > 0, self.basis.T)

    def _levels(self, w):
        """Return the signs of each unit's levels, rising, and where w is above the first ones."""
        signs = (_all_codes(self.n_bits, w.device) * 2 - 1).to(w.dtype)
        levels, order = torch.sort(self.basis.to(w.dtype) @ signs.T, 1)
        limits = (levels[:, 1:] + levels[:, :-1]) / 2
        return signs[order], [at_least(w, limit[:, None]) for limit in limits.T]

    def _begin(self, w):
        """Start as a uniform quantizer of normally distributed weights."""
        if not bool(self.basis.any()):
            step = _QUARTILE * w.square().mean(1, keepdim=True).sqrt() / 2 ** (self.n_bits - 1)
            self.basis.copy_(step * 2 ** torch.arange(self.n_bits, device=w.device))

    def _improve(self, w, signs, above):
        shares = [torch.ones_like(w[:, 0]), *(met.mean(1) for met in above)]
        sums = [w.mean(1), *(torch.linalg.vecdot(met, w) / w.shape[1] for met in above)]
        # Of each level alone: what is above it and not above the next.
        nothing = torch.zeros_like(w[:, 0])
        shares, sums = (
            torch.stack([here - there for here, there in pairwise([*numbers, nothing])], 1)
            for numbers in (shares, sums)
        )
        self.basis.copy_(_improved(self.basis, signs, shares, sums))


class BasisActivations(LevelActivations):
    """The nearest of the levels ``sum_k v_k e_k``, all e in {0, 1}, v learned for the layer.

    Gradient ``1[l_0 <= x <= l_max]`` between the lowest and the highest level, 0 among them, which
    is that of the ReLU before the quantizer, and of a clip.

    Parameters
    ----------
    n_bits : int, default=2
        Bits of an activation.
    **settings
        See :class:`~skbnn.nn.quantizers.Quantizer`.

    References
    ----------
    Zhang et al., LQ-Nets, ECCV 2018, arXiv 1807.10029.
    """

    def __init__(self, n_bits=2, **settings):
        super().__init__(**settings)
        step = _QUARTILE * 2 / (2**n_bits - 1)
        self.register_buffer("basis", step * 2.0 ** torch.arange(n_bits))

    def staircase(self):  # noqa: D102
        codes = _all_codes(len(self.basis), self.basis.device)
        levels, order = torch.sort(codes.to(self.basis.dtype) @ self.basis)
        limits = (levels[1:] + levels[:-1]) / 2
        scales, _, unit = self.grid(self.basis / 2, torch.zeros_like(self.basis[0]))
        # Bits of 0 are worth nothing.
        return Staircase(limits[:, None], codes[order].bool(), scales, scales.sum(), unit)

    def learn(self, x):  # noqa: D102
        # Before the basis moves: what is learned here is for the next batch.
        stairs, quantized = self.staircase(), self.valued(x)
        values = stairs.values()
        self._improve(x.detach(), stairs)
        return clipped_through(x, quantized, float(values.min()), float(values.max()))

    def _improve(self, x, stairs):
        whole = self.processes.sum(torch.stack(level_sums(x, stairs.thresholds[:, 0])))
        counts, sums = whole / self.processes.total(x.numel())
        self.basis.copy_(_improved(self.basis, stairs.codes.to(x.dtype), counts, sums))
