"""Non-linearities between normalisation and quantizer: monotone functions of each unit.

Each rises wherever it does not stay, whatever has been learned, in floating-point arithmetic too.
With the quantizer behind it, it therefore folds to integer comparisons.
"""

import torch
from torch import nn

from skbnn.nn.named import named
from skbnn.nn.quantizers.rounding import straight_through

__all__ = ["Maxout", "PReLU", "RPReLU", "make_nonlinearity"]

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
        return torch.where(x > 0, x, _not_negative(self.slope) * x)


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
        moved = x - self.before
        return torch.where(moved > 0, moved, _not_negative(self.slope) * moved) + self.after


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
        return torch.where(x > 0, _not_negative(self.rise), _not_negative(self.fall)) * x


def _not_negative(slope):
    """Return slopes, 0 for negative ones; these keep their gradient, and so can come back."""
    return straight_through(slope, slope.detach().clamp(min=0))


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
