"""Batch norm with a sign behind it, as one step of training.

Apart, the two write and read a batch many times on the way forth and back, and memory is what
bounds them. Together they read it twice on the way forth, once for moments, once for signs; and
with a clipped gradient twice on the way back. A gradient that is a matter of logarithms and
exponentials is read from a table, where the batch is so large that this is worth making one.
"""

import torch

from skbnn.bits import backend
from skbnn.nn.arrays import arrays, kernels_take
from skbnn.nn.normalizers import (
    BatchNorm,
    affine_of,
    batch_statistics,
    mapped,
    normalized_gradient,
)
from skbnn.nn.surrogates import Clipped, slope_table

__all__ = ["are_fast", "normalized_signs"]

_KERNELS = backend()


def are_fast(z, normalizer):
    """Whether :func:`normalized_signs` computes what these sums and this normaliser ask for."""
    is_plain = type(normalizer) is BatchNorm and normalizer.training
    # Processes that share a batch must all go the same way, whatever each has of its rows.
    is_known = len(z) > 1 or normalizer.processes.count > 1
    return is_plain and is_known and kernels_take(z, normalizer.gamma)


def normalized_signs(z, normalizer, surrogate, progress=0.0, sample_weight=None):
    """Return the signs of a normalised batch, with the gradient of a surrogate.

    Parameters
    ----------
    z : float32 Tensor of shape (n, n_units)
        Sums, on the CPU.
    normalizer : BatchNorm
        In training; its running statistics move.
    surrogate : Surrogate
        What stands in for the derivative of sign.
    progress : float, default=0.0
        Share of the fit that is done, in [0, 1].
    sample_weight : Tensor of shape (n,) or None
        Weight of each row in the statistics of the batch.

    Returns
    -------
    codes : float32 Tensor of shape (n, n_units)
        -1 and +1.
    """
    statistics = batch_statistics(z, normalizer, sample_weight)
    affine = normalizer.gamma, normalizer.beta
    return _NormalizedSigns.apply(z, *affine, statistics, surrogate, progress)


class _NormalizedSigns(torch.autograd.Function):
    """``sign((z - mean) * rate * gamma + beta)``; mean and rate are functions of z."""

    @staticmethod
    def forward(ctx, z, gamma, beta, statistics, surrogate, progress):
        affine, codes = affine_of(gamma, beta, statistics), torch.empty(z.shape, dtype=z.dtype)
        _KERNELS.normalize_signs(*arrays(z), *affine, codes.numpy())
        ctx.save_for_backward(z)
        ctx.affine, ctx.statistics = affine, statistics
        ctx.surrogate, ctx.progress = surrogate, progress
        return codes

    @staticmethod
    def backward(ctx, grad):
        (z,) = ctx.saved_tensors
        norm = ctx.affine, ctx.statistics
        if type(ctx.surrogate) is Clipped:
            gradients = normalized_gradient(z, grad, *norm, ctx.surrogate.bound)
        else:
            passed = _passed(z, grad, ctx.affine, ctx.surrogate, ctx.progress)
            gradients = normalized_gradient(z, passed.to(z.dtype), *norm)
        return *gradients, None, None, None


def _passed(z, grad, affine, surrogate, progress):
    """Return a gradient times the surrogate's derivative at the affine map of sums."""
    table = slope_table(surrogate, z, progress)
    if table is None:
        return surrogate.backward(grad, mapped(z, affine), progress)
    passed = torch.empty(z.shape, dtype=z.dtype)
    _KERNELS.tabulated_gradient(*arrays(z, grad), *affine, table, passed.numpy())
    return passed
