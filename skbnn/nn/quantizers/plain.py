"""The plainest quantizers: signs, drawn signs, and numbers as they are."""

import torch

from skbnn.nn.normalized_signs import are_fast, normalized_signs
from skbnn.nn.products import DENSE, int8_signs
from skbnn.nn.quantizers.activations import LevelActivations
from skbnn.nn.quantizers.base import Quantizer
from skbnn.nn.quantizers.codes import Code, Parts, Staircase
from skbnn.nn.quantizers.rounding import sign, straight_through, surrogate_sign
from skbnn.nn.randomness import uniform

__all__ = [
    "RealActivations",
    "RealWeights",
    "SignActivations",
    "SignWeights",
    "StochasticWeights",
    "TanhWeights",
]


class SignActivations(LevelActivations):
    """One-bit activations: ``a = sign(x)``.

    Forward ``+1 if x >= 0 else -1``; backward the gradient times the surrogate derivative at x.

    References
    ----------
    Courbariaux et al., Binarized Neural Networks, NIPS 2016, arXiv 1602.02830.
    """

    grain = 1.0

    def staircase(self):  # noqa: D102
        one = torch.ones(1, dtype=torch.int64)
        return Staircase(torch.zeros(1, 1), torch.tensor([[False], [True]]), one, one[0] * 0, 1.0)

    def forward(self, x):  # noqa: D102
        return surrogate_sign(x, self.surrogate, self.progress)

    def normalized(self, z, normalizer, sample_weight=None):  # noqa: D102
        is_plain = type(self).forward is SignActivations.forward
        if is_plain and are_fast(z, normalizer):
            return normalized_signs(z, normalizer, self.surrogate, self.progress, sample_weight)
        return super().normalized(z, normalizer, sample_weight)


class SignWeights(Quantizer):
    """One-bit weights: ``w_b = sign(w)`` of the latent weight ``w``.

    Backward the gradient with respect to ``w_b`` is applied to ``w`` unchanged: latent weights
    are clipped after every update, so that a clipped surrogate would be 1 all over.

    References
    ----------
    Courbariaux, Bengio, David, BinaryConnect, NIPS 2015, arXiv 1511.00363.
    """

    coded = True

    def forward(self, x):  # noqa: D102
        return straight_through(x, sign(x.detach()))

    def product(self, x, weight, *, grain=1.0, kind=DENSE):  # noqa: D102
        is_plain = type(self).forward is SignWeights.forward
        if not (is_plain and grain and kind.is_fast(x, weight)):
            return super().product(x, weight, grain=grain, kind=kind)
        return kind.planes(x, weight, Parts(int8_signs(weight)[None]), grain)

    def encode(self, x):  # noqa: D102
        scales = x.new_ones((1, len(x)), dtype=torch.int64)
        return Code((x >= 0)[None], scales, torch.zeros_like(scales[0]), 1.0)


class StochasticWeights(SignWeights):
    """One-bit weights drawn anew for every batch: +1 with probability ``clip((w + 1) / 2, 0, 1)``.

    Outside training, and when packed, the weight is ``sign(w)``. Gradient as
    :class:`SignWeights`; none goes through the draw.

    References
    ----------
    Courbariaux, Bengio, David, BinaryConnect, NIPS 2015, arXiv 1511.00363, section 2.3.
    """

    def forward(self, x):  # noqa: D102
        if not self.training:
            return super().forward(x)
        latent = x.detach()
        # P(sign(w + 1 - 2 u) = +1) = P(u <= (w + 1) / 2) for u uniform in [0, 1).
        draw = sign(latent + 1 - 2 * uniform(latent.shape, self.generator, latent.device))
        return straight_through(x, draw)


class RealActivations(Quantizer):
    """Activations as they are."""

    def forward(self, x):  # noqa: D102
        return x

    def worth(self, bit):
        """Return what stands for an activation whose bits are all 0, or all 1."""
        return 1.0 if bit else -1.0


class RealWeights(RealActivations):
    """Weights as they are."""


class TanhWeights(RealWeights):
    """Real weights between -1 and +1: ``tanh(w)``; the gradient is that of tanh.

    References
    ----------
    Kim and Smaragdis, Bitwise Neural Networks, 2016, arXiv 1601.06071.
    """

    def forward(self, x):  # noqa: D102
        return torch.tanh(x)
