"""Batch norm with a clipped sign behind it, as one step of training.

Apart, the two write and read a batch seven times on the way forth and back, and memory is what
bounds them. Together they read it twice on each way: once for moments, once for results.
"""

import numpy as np
import torch

from skbnn.bits import backend
from skbnn.nn.arrays import arrays, kernels_take
from skbnn.nn.normalizers import BatchNorm

__all__ = ["are_fast", "normalized_signs"]

_KERNELS = backend()


def are_fast(z, normalizer, sample_weight):
    """Whether :func:`normalized_signs` computes what these sums and this normaliser ask for."""
    is_plain = type(normalizer) is BatchNorm and normalizer.training and sample_weight is None
    is_here = kernels_take(z, normalizer.gamma)
    # Processes that share a batch must all go the same way, whatever each has of its rows.
    return is_plain and is_here and (len(z) > 1 or normalizer.processes.count > 1)


def normalized_signs(z, normalizer, bound):
    """Return the signs of a normalised batch, with the gradient of a clipped sign.

    Parameters
    ----------
    z : float32 Tensor of shape (n, n_units)
        Sums, on the CPU.
    normalizer : BatchNorm
        In training; its running statistics move.
    bound : float
        Where the gradient passes: from -bound to bound.

    Returns
    -------
    codes : float32 Tensor of shape (n, n_units)
        -1 and +1.
    """
    z = z.contiguous()
    mean, var = (torch.empty(z.shape[1], dtype=torch.float64) for _ in range(2))
    _KERNELS.column_moments(z.detach().numpy(), mean.numpy(), var.numpy())
    processes = normalizer.processes
    n_rows, mean, var = _of_all(processes, len(z), mean, var)
    normalizer.follow(mean, var * (n_rows / (n_rows - 1)))
    rate = torch.rsqrt(var + normalizer.eps)
    affine = normalizer.gamma, normalizer.beta
    return _NormalizedSigns.apply(z, *affine, mean, rate, bound, processes, n_rows)


def _of_all(processes, n_rows, mean, var):
    """Return rows, mean and variance of a batch from those of each process's part."""
    if processes.count == 1:
        return n_rows, mean, var
    parts = torch.ones_like(mean), mean, var + mean.square()
    total, first, second = processes.sum(n_rows * torch.stack(parts))
    mean = first / total
    return int(total[0]), mean, (second / total - mean.square()).clamp(min=0)


class _NormalizedSigns(torch.autograd.Function):
    """``sign((z - mean) * rate * gamma + beta)``; mean and rate are functions of z."""

    @staticmethod
    def forward(ctx, z, gamma, beta, mean, rate, bound, processes, n_rows):
        constants = mean.float(), gamma * rate.float(), beta
        codes = torch.empty_like(z)
        _KERNELS.normalize_signs(z.numpy(), *arrays(*constants), codes.numpy())
        ctx.save_for_backward(z, *constants, rate)
        ctx.bound, ctx.processes, ctx.n_rows = bound, processes, n_rows
        return codes

    @staticmethod
    def backward(ctx, grad):
        z, *constants, rate = ctx.saved_tensors
        # With the gradient g that passes, y = slope c + beta and c = z - mean:
        # dL/dz = slope (g - mean(g) - c rate^2 mean(g c)).
        batch = z.numpy(), grad.contiguous().numpy(), *arrays(*constants), np.float32(ctx.bound)
        sums, products = torch.empty_like(rate), torch.empty_like(rate)
        _KERNELS.clipped_moments(*batch, sums.numpy(), products.numpy())
        share = constants[1] / ctx.n_rows
        of_all = ctx.processes.sum(torch.stack([sums, products]))
        added = (share * of_all[0]).float(), (share * rate.square() * of_all[1]).float()
        grad_z = torch.empty_like(z)
        _KERNELS.clipped_gradient(*batch, *arrays(*added), grad_z.numpy())
        return grad_z, (rate * products).float(), sums.float(), *[None] * 5
