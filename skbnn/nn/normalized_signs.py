"""Batch norm with a clipped sign behind it, as one step of training.

Apart, the two write and read a batch seven times on the way forth and back, and memory is what
bounds them. Together they read it twice on each way: once for moments, once for results.
"""

import numpy as np
import torch

from skbnn.bits import backend
from skbnn.nn.arrays import arrays, kernels_take
from skbnn.nn.normalizers import BatchNorm, unbiased, weighted_moments

__all__ = ["are_fast", "normalized_signs"]

_KERNELS = backend()


def are_fast(z, normalizer):
    """Whether :func:`normalized_signs` computes what these sums and this normaliser ask for."""
    is_plain = type(normalizer) is BatchNorm and normalizer.training
    # Processes that share a batch must all go the same way, whatever each has of its rows.
    is_known = len(z) > 1 or normalizer.processes.count > 1
    return is_plain and is_known and kernels_take(z, normalizer.gamma)


def normalized_signs(z, normalizer, bound, sample_weight=None):
    """Return the signs of a normalised batch, with the gradient of a clipped sign.

    Parameters
    ----------
    z : float32 Tensor of shape (n, n_units)
        Sums, on the CPU.
    normalizer : BatchNorm
        In training; its running statistics move.
    bound : float
        Where the gradient passes: from -bound to bound.
    sample_weight : Tensor of shape (n,) or None
        Weight of each row in the statistics of the batch.

    Returns
    -------
    codes : float32 Tensor of shape (n, n_units)
        -1 and +1.
    """
    z = z.contiguous()
    weight = torch.ones(len(z)) if sample_weight is None else sample_weight.to(z.dtype)
    processes = normalizer.processes
    total, mean, var = _of_all(processes, *weighted_moments(z.detach(), weight))
    normalizer.follow(mean, var * unbiased(total))
    rate = torch.rsqrt(var + normalizer.eps)
    affine = normalizer.gamma, normalizer.beta
    return _NormalizedSigns.apply(z, weight, *affine, mean, rate, bound, processes, total)


def _of_all(processes, total, mean, var):
    """Return weight, mean and variance of a batch from those of each process's part."""
    if processes.count == 1:
        return total, mean, var
    parts = torch.ones_like(mean), mean, var + mean.square()
    total, first, second = processes.sum(total * torch.stack(parts))
    mean = first / total
    return total[0], mean, (second / total - mean.square()).clamp(min=0)


class _NormalizedSigns(torch.autograd.Function):
    """``sign((z - mean) * rate * gamma + beta)``; mean and rate are functions of z."""

    @staticmethod
    def forward(ctx, z, weight, gamma, beta, mean, rate, bound, processes, total):
        constants = mean.float(), gamma * rate.float(), beta
        codes = torch.empty_like(z)
        _KERNELS.normalize_signs(z.numpy(), *arrays(*constants), codes.numpy())
        ctx.save_for_backward(z, weight, *constants, rate, total)
        ctx.bound, ctx.processes = bound, processes
        return codes

    @staticmethod
    def backward(ctx, grad):
        z, weight, *constants, rate, total = ctx.saved_tensors
        # With the gradient g that passes, y = slope c + beta and c = z - mean:
        # dL/dz = slope (g - weight (sum(g) + c rate^2 sum(g c)) / total).
        batch, norm = arrays(z, grad), (*arrays(*constants), np.float32(ctx.bound))
        sums, products = torch.empty_like(rate), torch.empty_like(rate)
        _KERNELS.clipped_moments(*batch, *norm, sums.numpy(), products.numpy())
        share = constants[1] / total
        of_all = ctx.processes.sum(torch.stack([sums, products]))
        added = (share * of_all[0]).float(), (share * rate.square() * of_all[1]).float()
        grad_z = torch.empty_like(z)
        rows = *batch, weight.numpy()
        _KERNELS.clipped_gradient(*rows, *norm, *arrays(*added), grad_z.numpy())
        return grad_z, None, (rate * products).float(), sums.float(), *[None] * 5
