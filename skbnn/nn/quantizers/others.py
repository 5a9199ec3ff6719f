"""Further quantizers of one paper each: ternary weights, and signs with learned thresholds."""

import numpy as np
import torch
from torch import nn

from skbnn.nn.quantizers.activations import LevelActivations
from skbnn.nn.quantizers.codes import Planes, Staircase
from skbnn.nn.quantizers.rounding import surrogate_sign
from skbnn.nn.quantizers.weights import PlaneWeights

__all__ = ["ShiftedSignActivations", "TernaryWeights"]


class TernaryWeights(PlaneWeights):
    """``w_q = +1 if w > b, -1 if w < -b, else 0``; the gradient is the identity.

    b is the quantile of ``abs(w)`` below which a share ``zeros`` of the layer's weights lies. As
    two planes of signs, ``(sign(w - b) + sign(w + b)) / 2``.

    Parameters
    ----------
    zeros : float, default=0.5
        Share of the weights that become 0, lambda in the paper.
    **settings
        See :class:`~skbnn.nn.quantizers.Quantizer`.

    References
    ----------
    Kim and Smaragdis, Bitwise Neural Networks, 2016, arXiv 1601.06071.
    """

    def __init__(self, zeros=0.5, **settings):
        super().__init__(**settings)
        self.zeros = zeros

    def planes(self, w):  # noqa: D102
        count = int(self.zeros * w.numel())
        # NumPy finds a quantile in a sixth of the time of torch.
        sizes = w.abs().flatten().cpu().numpy()
        limit = float(np.partition(sizes, count - 1)[count - 1]) if count else 0.0
        bits = torch.empty(2, *w.shape, dtype=w.dtype, device=w.device)
        # Weights at the limit itself are among the zeros, unless there are to be none.
        (torch.gt if count else torch.ge)(w, limit, out=bits[0])
        torch.ge(w, -limit, out=bits[1])
        return Planes(bits, w.new_full((2, len(w)), 0.5))


class ShiftedSignActivations(LevelActivations):
    """``a = sign(x - t)``, a threshold t learned for each unit.

    With the surrogate derivative q' at ``x - t``: ``da/dx = q'`` and ``da/dt = -q'``.

    References
    ----------
    Liu et al., ReActNet, ECCV 2020, arXiv 2003.03488.
    """

    grain = 1.0

    def __init__(self, **settings):
        super().__init__(**settings)
        self.threshold = nn.Parameter(torch.zeros(self.n_units))

    def staircase(self):  # noqa: D102
        one = torch.ones(1, dtype=torch.int64)
        codes = torch.tensor([[False], [True]])
        return Staircase(self.threshold.detach()[None], codes, one, one[0] * 0, 1.0)

    def learn(self, x):  # noqa: D102
        return surrogate_sign(x - self.threshold, self.surrogate, self.progress)
