"""Non-linearities between normalisation and quantizer: monotone functions of each unit.

Each rises wherever it does not stay, whatever has been learned, in floating-point arithmetic too.
With the quantizer behind it, it therefore folds to integer comparisons.
"""

import torch
from torch import nn

from skbnn.bits import backend
from skbnn.nn.arrays import arrays, as_rows, kernels_take
from skbnn.nn.named import named
from skbnn.nn.quantizers.rounding import straight_through

__all__ = ["Maxout", "PReLU", "RPReLU", "make_nonlinearity"]

_KERNELS = backend()
_FIRST_SLOPE = 0.25


class PReLU(nn.Module):
    """``x if x > 0 else s x``, a slope s >= 0 learned for each unit, 0.25 at first.

    Parameters
    ----------
    n_units : int
        Number of units.

    References
    ----------
    Tang, Hua, Wang, How to Train a Compact Binary Neural Network with High Accuracy?, AAAI 2017.
    """

    def __init__(self, n_units):
        super().__init__()
        self.slope = nn.Parameter(torch.full((n_units,), _FIRST_SLOPE))

    def forward(self, x):  # noqa: D102
        return bend(x, 0.0, 1.0, _not_negative(self.slope), 0.0)


class RPReLU(nn.Module):
    """``x - g + z if x > g else s (x - g) + z``: a PReLU moved by g and z, learned for each unit.

    Parameters
    ----------
    n_units : int
        Number of units.

    References
    ----------
    Liu et al., ReActNet, ECCV 2020, arXiv 2003.03488.
    """

    def __init__(self, n_units):
        super().__init__()
        self.before = nn.Parameter(torch.zeros(n_units))
        self.after = nn.Parameter(torch.zeros(n_units))
        self.slope = nn.Parameter(torch.full((n_units,), _FIRST_SLOPE))

    def forward(self, x):  # noqa: D102
        return bend(x, self.before, 1.0, _not_negative(self.slope), self.after)


class Maxout(nn.Module):
    """``p max(x, 0) - q max(-x, 0)``, p and q >= 0 learned for each unit, 1 and 0.25 at first.

    Parameters
    ----------
    n_units : int
        Number of units.

    References
    ----------
    Tu et al., AdaBin, ECCV 2022, arXiv 2208.08084.
    """

    def __init__(self, n_units):
        super().__init__()
        self.rise = nn.Parameter(torch.ones(n_units))
        self.fall = nn.Parameter(torch.full((n_units,), _FIRST_SLOPE))

    def forward(self, x):  # noqa: D102
        return bend(x, 0.0, _not_negative(self.rise), _not_negative(self.fall), 0.0)


def _not_negative(slope):
    """Return slopes, 0 for negative ones; these keep their gradient, and so can come back."""
    return straight_through(slope, slope.detach().clamp(min=0))


def bend(x, center, rise, fall, shift):
    """Return ``slope * (x - center) + shift``, the slope ``rise`` where x > center, else ``fall``.

    Parameters
    ----------
    x : Tensor of shape (..., n_units)
        Numbers.
    center, rise, fall, shift : Tensor of shape (n_units,), or float
        The function of each unit.

    Returns
    -------
    y : Tensor of the same shape
    """
    if kernels_take(x):
        units = (_of_units(part, x) for part in (center, rise, fall, shift))
        return _Bend.apply(x, *units)
    moved = x - center
    return torch.where(moved > 0, rise * moved, fall * moved) + shift


def _of_units(part, x):
    """Return a number of all units as one for each."""
    if isinstance(part, torch.Tensor):
        return part.to(x.dtype)
    return torch.full(x.shape[-1:], part, dtype=x.dtype)


class _Bend(torch.autograd.Function):
    """A function of two slopes in one pass, and so its gradient."""

    @staticmethod
    def forward(ctx, x, *units):
        rows = as_rows(x).contiguous()
        ctx.save_for_backward(rows, *units)
        y = torch.empty(x.shape, dtype=x.dtype)
        _KERNELS.bend(*arrays(rows, *units, y.view(rows.shape)))
        return y

    @staticmethod
    def backward(ctx, grad):
        rows, center, rise, fall, _ = ctx.saved_tensors
        grad_rows, sums = torch.empty_like(rows), torch.empty(4, len(rise), dtype=torch.float64)
        given = grad.reshape(rows.shape).contiguous()
        _KERNELS.bend_moments(*arrays(rows, given, center, rise, fall, grad_rows, sums))
        above, below, grad_rise, grad_fall = sums.float()
        grad_center = -(rise * above + fall * below)
        return grad_rows.view(grad.shape), grad_center, grad_rise, grad_fall, above + below


def _of_all(kind):
    """Return the maker of a module that knows no units."""
    return lambda n_units: kind()


_NONLINEARITIES = {
    "none": _of_all(nn.Identity),
    "relu": _of_all(nn.ReLU),
    "hard_tanh": _of_all(nn.Hardtanh),
    "tanh": _of_all(nn.Tanh),
    "prelu": PReLU,
    "rprelu": RPReLU,
    "maxout": Maxout,
}


def make_nonlinearity(nonlinearity, n_units):
    """Return a new non-linearity.

    Parameters
    ----------
    nonlinearity : str or callable
        A name, or a callable without arguments that makes a module: a monotone function.
    n_units : int
        Number of units.

    Returns
    -------
    nonlinearity : Module

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    known = named("non-linearity", _NONLINEARITIES, nonlinearity)
    return known(n_units) if isinstance(nonlinearity, str) else known()
