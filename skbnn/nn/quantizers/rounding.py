"""What rounds tensors: signs, and whole multiples of a power of two, with gradients that pass."""

import numpy as np
import torch

from skbnn.bits import backend
from skbnn.nn.arrays import arrays, as_rows, kernels_take
from skbnn.nn.surrogates import slope_table

__all__ = [
    "at_least",
    "at_levels",
    "level_sums",
    "sign",
    "snap",
    "straight_through",
    "surrogate_sign",
    "total_product",
]

_KERNELS = backend()


def sign(x):
    """Return +1 where ``x >= 0`` and -1 elsewhere, never 0 (``torch.sign`` gives 0 at 0).

    Three vectorised passes over the array, ten times as fast as ``torch.where`` with a mask.
    """
    return x.sign().add_(0.5).sign_()


def at_least(x, limit):
    """Return 1 where ``x >= limit`` and 0 elsewhere, as numbers of x's own dtype.

    A comparison that is written as numbers takes a quarter of the time of one that gives truth.

    Parameters
    ----------
    x : Tensor
        Numbers without gradient.
    limit : Tensor or float
        Of a shape that broadcasts to that of x.

    Returns
    -------
    is_met : Tensor of the shape and dtype of x
    """
    return torch.ge(x, limit, out=torch.empty_like(x))


def at_levels(x, thresholds, values):
    """Return what each number's level is worth.

    Parameters
    ----------
    x : Tensor of shape (..., n_units)
        Numbers; no gradient goes through.
    thresholds : Tensor of shape (n_steps, 1) or (n_steps, n_units)
        Rising from step to step: a number is on the level of as many of them as it reaches.
    values : Tensor of shape (n_steps + 1,)
        What each level is worth.

    Returns
    -------
    quantized : Tensor of the shape and dtype of x
    """
    x = x.detach()
    thresholds, values = (t.detach().to(x.device, x.dtype) for t in (thresholds, values))
    if not kernels_take(x):
        quantized = values[0].expand(x.shape)
        for limits, value in zip(thresholds, values[1:], strict=True):
            quantized = torch.where(x >= limits, value, quantized)
        return quantized
    quantized = torch.empty(x.shape, dtype=x.dtype)
    rows, limits = as_rows(x), thresholds.expand(-1, x.shape[-1])
    _KERNELS.quantize_levels(*arrays(rows, limits, values, quantized.view(rows.shape)))
    return quantized


def level_sums(x, thresholds):
    """Return how many numbers there are on each level, and their sum.

    Parameters
    ----------
    x : Tensor of shape (..., n_units)
        Numbers without gradient.
    thresholds : Tensor of shape (n_steps,)
        See :func:`at_levels`.

    Returns
    -------
    counts, sums : Tensor of shape (n_steps + 1,)
        Of the dtype of x.
    """
    if not kernels_take(x):
        above = [at_least(x, limit) for limit in thresholds.to(x.device, x.dtype)]
        zero = x.new_zeros(())
        counts = [x.new_tensor(x.numel()), *(met.sum() for met in above), zero]
        sums = [x.sum(), *((met * x).sum() for met in above), zero]
        return tuple(-torch.stack(parts).diff() for parts in (counts, sums))
    counts, sums = (np.empty(len(thresholds) + 1) for _ in range(2))
    _KERNELS.level_moments(*arrays(as_rows(x), thresholds.to(x.dtype)), counts, sums)
    return tuple(torch.from_numpy(parts).to(x.dtype) for parts in (counts, sums))


def total_product(a, b):
    """Return ``(a * b).sum()`` without writing the products.

    Parameters
    ----------
    a, b : Tensor of the same shape
        Without gradient.

    Returns
    -------
    total : scalar Tensor
    """
    return torch.dot(a.reshape(-1), b.reshape(-1))


class _Surrogated(torch.autograd.Function):
    """Sign forward, a surrogate's gradient backward."""

    @staticmethod
    def forward(ctx, x, surrogate, progress):
        ctx.save_for_backward(x)
        ctx.surrogate, ctx.progress = surrogate, progress
        return sign(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        table = slope_table(ctx.surrogate, x, ctx.progress)
        if table is None:
            return ctx.surrogate.backward(grad, x, ctx.progress), None, None
        passed, rows = torch.empty(x.shape, dtype=x.dtype), (len(x), x[0].numel())
        zeros, ones = np.zeros(rows[1], np.float32), np.ones(rows[1], np.float32)
        batch = arrays(x.reshape(rows), grad.reshape(rows))
        _KERNELS.tabulated_gradient(*batch, zeros, ones, zeros, table, passed.view(rows).numpy())
        return passed, None, None


def surrogate_sign(x, surrogate, progress=0.0):
    """Return the sign of a tensor, with the gradient of a surrogate.

    Parameters
    ----------
    x : Tensor
        Numbers.
    surrogate : Surrogate
        What stands in for the derivative of sign.
    progress : float, default=0.0
        Share of the fit that is done, in [0, 1].

    Returns
    -------
    signs : Tensor of the same shape
        -1 and +1; the sign of 0 is +1.
    """
    return _Surrogated.apply(x, surrogate, progress)


class _StraightThrough(torch.autograd.Function):
    """A value computed from x without gradient; the gradient goes to x unchanged."""

    @staticmethod
    def forward(ctx, x, value):
        return value

    @staticmethod
    def backward(ctx, grad):
        return grad, None


def straight_through(x, value):
    """Return a value computed from x, with the gradient of x itself."""
    return _StraightThrough.apply(x, value)


def snap(parts, steps, *, shared=False):
    """Round real numbers to whole multiples of a power of two.

    Parameters
    ----------
    parts : Tensor of shape (n_parts, n_units)
        Scales and offsets of each unit.
    steps : int
        A power of two: the absolute parts of a unit sum up to less than so many steps, and to no
        less than half as many, but for rounding.
    shared : bool, default=False
        Whether all units share the step of the largest.

    Returns
    -------
    whole : int64 Tensor of the same shape
    unit : float64 Tensor of shape (n_units,)
        ``whole * unit`` is near the parts.
    """
    parts = parts.detach().double()
    size = parts.abs().sum(0)
    size = size.max().expand_as(size) if shared else size
    unit = torch.ldexp(torch.ones_like(size), torch.frexp(size).exponent) / steps
    return torch.round(parts / unit).long(), unit
