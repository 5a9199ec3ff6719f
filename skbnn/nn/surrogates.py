"""Surrogate gradients: what the backward pass puts in place of the derivative of sign.

The derivative of sign is zero almost everywhere, so training replaces it. A surrogate is an
object with one method, ``backward(grad, x, progress)``, that returns ``grad`` times the surrogate
derivative at ``x``. ``progress`` runs from 0 to 1 over the fit, for surrogates with a schedule.
"""

import math

import numpy as np
import torch

from skbnn.bits import magnitude_steps
from skbnn.nn.arrays import kernels_take
from skbnn.nn.named import named

__all__ = [
    "EDE",
    "ApproxSign",
    "Clipped",
    "Identity",
    "Power",
    "SignSwish",
    "Surrogate",
    "Tanh",
    "make_surrogate",
    "slope_table",
    "within",
]

_SIZES = torch.from_numpy(magnitude_steps())
_MANY = 1 << 16


class Surrogate:
    """Base of all surrogates: ``d sign(x) / dx`` is replaced by a function of your choice.

    Attributes
    ----------
    tabulated : bool, default=False
        Whether large batches may take the derivative from a table, where it is a function of
        ``abs(x)`` and the progress alone, and slow. The table has 256 values for each doubling of
        ``abs(x)``: x is off by half a step, a 512th of it, at most.
    """

    tabulated = False

    def backward(self, grad, x, progress):
        """Return the gradient with respect to the input of sign.

        What is passed belongs to others, and must be left as it is.

        Parameters
        ----------
        grad : Tensor
            Gradient with respect to the output of sign.
        x : Tensor of the same shape
            Input of sign.
        progress : float
            Share of the fit that is done, in [0, 1].

        Returns
        -------
        grad_x : Tensor of the same shape
        """
        raise TypeError(f"{type(self).__name__} has no backward(grad, x, progress) method.")


class Identity(Surrogate):
    """Straight-through estimator: derivative 1 everywhere."""

    def backward(self, grad, x, progress):  # noqa: D102
        return grad


class Clipped(Surrogate):
    """Clipped straight-through estimator: derivative ``1[abs(x) <= bound]``.

    Parameters
    ----------
    bound : float, default=1.0
        Half width of the active zone.

    References
    ----------
    Courbariaux et al., Binarized Neural Networks, NIPS 2016, arXiv 1602.02830.
    """

    def __init__(self, bound=1.0):
        self.bound = bound

    def backward(self, grad, x, progress):  # noqa: D102
        return within(grad, x, -self.bound, self.bound)


class ApproxSign(Surrogate):
    """Triangle: derivative ``2 - 2 abs(x)`` for ``abs(x) < 1``, else 0.

    References
    ----------
    Liu et al., Bi-Real Net, ECCV 2018, arXiv 1808.00278.
    """

    def backward(self, grad, x, progress):  # noqa: D102
        return x.abs().mul_(-2).add_(2).clamp_(min=0).mul_(grad)


class Tanh(Surrogate):
    """Derivative of tanh: ``1 - tanh(x)^2``.

    References
    ----------
    Kim and Smaragdis, Bitwise Neural Networks, 2016, arXiv 1601.06071.
    """

    tabulated = True

    def backward(self, grad, x, progress):  # noqa: D102
        return torch.ops.aten.tanh_backward(grad, torch.tanh(x))


class EDE(Surrogate):
    """Error decay estimator: derivative ``k t (1 - tanh(t x)^2)``, steeper as the fit goes on.

    ``t = t_min (t_max / t_min)^progress`` and ``k = max(1 / t, 1)``.

    Parameters
    ----------
    t_min, t_max : float, default=1e-3 and 10.0
        Steepness at the start and at the end.

    References
    ----------
    Qin et al., IR-Net, CVPR 2020, arXiv 1909.10788. The paper's text has ``t_min = 0.1``, the
    published figures were made with 1e-3.
    """

    tabulated = True

    def __init__(self, t_min=1e-3, t_max=10.0):
        self.t_min = t_min
        self.t_max = t_max

    def backward(self, grad, x, progress):  # noqa: D102
        t = self.t_min * (self.t_max / self.t_min) ** progress
        return torch.ops.aten.tanh_backward(grad, torch.tanh(t * x)) * (max(1 / t, 1.0) * t)


class Power(Surrogate):
    """Derivative of ``sign(x) abs(x)^(1/o)``: ``abs(x)^((1-o)/o) / o`` for ``m < abs(x) <= t``.

    Nearer to 0 than m it is the slope of the chord, ``m^(1/o) / m``, which has no pole; beyond t it
    is 0. ``o = 1 + (1 - cos(pi progress / 2)) (o_max - 1)`` rises from 1, which is a clipped
    straight-through estimator, to ``o_max``.

    Parameters
    ----------
    o_max : float, default=3.0
        Power at the end.
    m, t : float, default=0.1 and 1.5
        Ends of the active zone.

    References
    ----------
    Wu et al., Estimator Meets Equilibrium Perspective (ReSTE), ICCV 2023, arXiv 2308.06689.
    """

    tabulated = True

    def __init__(self, o_max=3.0, m=0.1, t=1.5):
        self.o_max = o_max
        self.m = m
        self.t = t

    def backward(self, grad, x, progress):  # noqa: D102
        o = 1 + (1 - math.cos(math.pi * progress / 2)) * (self.o_max - 1)
        # A power by way of the logarithm takes a third of the time of one by pow.
        slope = x.abs().clamp_(min=self.m).log_().mul_((1 - o) / o).exp_()
        # The chord is o times as steep as the curve where they meet.
        slope.add_(within(slope, x, -self.m, self.m), alpha=o - 1)
        return within(grad, x, -self.t, self.t).mul_(slope.mul_(1 / o))


class SignSwish(Surrogate):
    """Derivative of the SignSwish: ``b (2 - b x tanh(b x / 2)) / (1 + cosh(b x))``.

    Parameters
    ----------
    b : float, default=5.0
        Steepness.

    References
    ----------
    Darabi et al., BNN+, 2018, arXiv 1812.11800.
    """

    tabulated = True

    def __init__(self, b=5.0):
        self.b = b

    def backward(self, grad, x, progress):  # noqa: D102
        # Beyond 80 the derivative is 0 in any case, and cosh would leave float32.
        z = (self.b * x).clamp(-80, 80)
        return grad * self.b * (2 - z * torch.tanh(z / 2)) / (1 + torch.cosh(z))


def within(grad, x, low, high):
    """Return a gradient where ``low <= x <= high``, and 0 elsewhere.

    Parameters
    ----------
    grad, x : Tensor of the same shape
        Gradient, and what decides whether it passes.
    low, high : float
        Limits, both inclusive.

    Returns
    -------
    passed : Tensor of the same shape
    """
    # The library's hard-tanh gradient is exclusive at its bounds; one step further makes them
    # inclusive, at a tenth of the cost of building a mask.
    kind = np.float64 if x.dtype == torch.float64 else np.float32
    low, high = np.nextafter(kind(low), kind(-np.inf)), np.nextafter(kind(high), kind(np.inf))
    # What is next to 0 may count as 0.
    tiny = float(np.finfo(kind).tiny)
    return torch.ops.aten.hardtanh_backward(grad, x, float(low) - tiny, float(high) + tiny)


def slope_table(surrogate, x, progress):
    """Return a surrogate's derivative as a table, where a kernel shall read it from one.

    Parameters
    ----------
    surrogate : object
        A surrogate.
    x : Tensor
        Where the derivative is asked for; a table is worth it for many numbers.
    progress : float
        Share of the fit that is done, in [0, 1].

    Returns
    -------
    table : float32 ndarray of shape (n_steps,) or None
        At each of :func:`skbnn.bits.magnitude_steps`. None if the surrogate itself is to be asked.
    """
    if x.numel() < _MANY or not kernels_take(x) or not getattr(surrogate, "tabulated", False):
        return None
    return surrogate.backward(torch.ones_like(_SIZES), _SIZES, progress).numpy()


_SURROGATES = {
    "identity": Identity,
    "clipped": Clipped,
    "approx_sign": ApproxSign,
    "ede": EDE,
    "tanh": Tanh,
    "power": Power,
    "sign_swish": SignSwish,
}


def make_surrogate(surrogate):
    """Return the surrogate of a name, or what a class or callable of your own makes.

    Parameters
    ----------
    surrogate : str or callable
        A name, or a callable without arguments that returns an object with ``backward``.

    Returns
    -------
    surrogate : Surrogate

    Raises
    ------
    ValueError
        If the name is unknown, or the object has no ``backward``.
    """
    surrogate = named("surrogate", _SURROGATES, surrogate)
    made = surrogate()
    if not callable(getattr(made, "backward", None)):
        raise ValueError(f"Surrogate {made!r} has no backward(grad, x, progress) method.")
    return made
