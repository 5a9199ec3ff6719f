"""Normalisers: from the sums of a product to pre-activations or class scores.

Both are affine maps of each unit once trained, ``y = slope * z + shift``. Outside training they
compute in separate, correctly rounded steps, each monotone in z: a packed program can then fold
them, with whatever monotone function follows, into one integer threshold without a doubt about
the last bit.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from skbnn.bits import backend
from skbnn.nn.arrays import arrays, kernels_take
from skbnn.nn.named import named
from skbnn.nn.processes import ALONE

__all__ = [
    "BatchNorm",
    "ScaleShift",
    "Statistics",
    "affine_of",
    "batch_statistics",
    "make_normalizer",
    "mapped",
    "normalized_gradient",
]

_KERNELS = backend()
# As torch's operations are: numbers that diverge are refused after their epoch.
_silent = np.errstate(all="ignore")


class BatchNorm(nn.Module):
    """Batch normalisation whose statistics use sample weights.

    ``y = gamma * (z - mean) / sqrt(var + eps) + beta``

    Parameters
    ----------
    n_units : int
        Number of units.
    gain : float
        Ignored; see :class:`ScaleShift`.

    Notes
    -----
    Running statistics move by a tenth of the way with every batch. With weights, the variance is
    corrected by ``n / (n - 1)``, n the sum of the weights in the batch: a weight of 2 counts as
    two rows. A batch of one row, which has no variance, is normalised by the running statistics.

    References
    ----------
    Ioffe and Szegedy, Batch Normalization, ICML 2015, arXiv 1502.03167.
    """

    eps = 1e-5
    momentum = 0.1
    processes = ALONE

    def __init__(self, n_units, gain=None):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(n_units))
        self.beta = nn.Parameter(torch.zeros(n_units))
        self.register_buffer("mean", torch.zeros(n_units))
        self.register_buffer("var", torch.ones(n_units))

    def forward(self, z, sample_weight=None):
        """Normalise a batch.

        Parameters
        ----------
        z : Tensor of shape (n, n_units)
            Sums.
        sample_weight : Tensor of shape (n,) or None
            Weight of each row in the statistics of the batch.

        Returns
        -------
        y : Tensor of shape (n, n_units)
        """
        # A batch of one row has no variance, unless other processes have more.
        has_variance = len(z) > 1 or self.processes.count > 1
        if not (self.training and has_variance):
            y = (z - self.mean) / torch.sqrt(self.var + self.eps)
            return y * self.gamma + self.beta
        if kernels_take(z, self.gamma):
            statistics = batch_statistics(z, self, sample_weight)
            return _Normalized.apply(z, self.gamma, self.beta, statistics)
        if self.processes.count > 1:
            return self._shared(z, sample_weight)
        if sample_weight is None:
            return F.batch_norm(
                z, self.mean, self.var, self.gamma, self.beta, True, self.momentum, self.eps
            )
        return self._weighted(z, sample_weight)

    def _weighted(self, z, sample_weight):
        z = z.to(self.gamma.dtype)
        total = sample_weight.sum()
        share = (sample_weight / total)[:, None]
        mean = (share * z).sum(0)
        centred = z - mean
        var = (share * centred.square()).sum(0)
        self.follow(mean, var * _unbiased(total))
        return centred * torch.rsqrt(var + self.eps) * self.gamma + self.beta

    def _shared(self, z, sample_weight):
        """Normalise a process's part of a batch by the statistics of the whole."""
        z = z.to(self.gamma.dtype)
        weight = z.new_ones(len(z), 1) if sample_weight is None else sample_weight[:, None]
        weighted = weight * z
        # In float64 squares and squared mean may be subtracted: one exchange for both moments.
        parts = [part.sum(0, dtype=torch.float64) for part in (weight, weighted, weighted * z)]
        total, first, second = self.processes.sum(torch.cat(parts)).split([1, *[z.shape[1]] * 2])
        mean = first / total
        var = (second / total - mean.square()).clamp(min=0)
        self.follow(mean, var * _unbiased(total))
        slope = torch.rsqrt(var + self.eps).to(z.dtype) * self.gamma
        return (z - mean.to(z.dtype)) * slope + self.beta

    def follow(self, mean, var):
        """Let the running statistics move towards those of a batch.

        Parameters
        ----------
        mean, var : Tensor of shape (n_units,)
            Mean, and unbiased variance.
        """
        self.mean.lerp_(mean.detach().to(self.mean.dtype), self.momentum)
        self.var.lerp_(var.detach().to(self.var.dtype), self.momentum)

    def affine(self):
        """Return slope and shift of the trained map, in float64.

        Returns
        -------
        slope, shift : float64 Tensors of shape (n_units,)
        """
        slope = self.gamma.double() / torch.sqrt(self.var.double() + self.eps)
        return slope, self.beta.double() - slope * self.mean.double()


def _unbiased(total):
    """Return what makes a variance of rows unbiased, if the sum of weights is their number."""
    return total / (total - 1).clip(min=1.0)


class Statistics(NamedTuple):
    """What a batch is normalised by.

    Parameters
    ----------
    weight : float32 ndarray of shape (n,)
        Weight of each row.
    total : float64 scalar
        Sum of the weights of all processes' rows.
    mean, rate : float64 ndarray of shape (n_units,)
        Mean, and one over the standard deviation.
    processes : Processes
        Who shares the batch.
    """

    weight: np.ndarray
    total: np.float64
    mean: np.ndarray
    rate: np.ndarray
    processes: object


@_silent
def batch_statistics(z, normalizer, sample_weight=None):
    """Return the statistics of a batch, towards which the running ones of its normaliser move.

    Parameters
    ----------
    z : float32 Tensor of shape (n, n_units)
        Sums, on the CPU.
    normalizer : BatchNorm
        In training.
    sample_weight : Tensor of shape (n,) or None
        Weight of each row.

    Returns
    -------
    statistics : Statistics
    """
    # A few numbers for each unit are NumPy's: for so few, torch takes several times as long.
    if sample_weight is None:
        weight = np.ones(len(z), np.float32)
    else:
        (weight,) = arrays(sample_weight.to(torch.float32))
    total = weight.sum(dtype=np.float64)
    mean, var = np.empty(z.shape[1]), np.empty(z.shape[1])
    _KERNELS.column_moments(*arrays(z), weight, mean, var)
    processes = normalizer.processes
    if processes.count > 1:
        parts = total * np.stack([np.ones_like(mean), mean, var + np.square(mean)])
        whole, first, second = processes.sum(torch.from_numpy(parts)).numpy()
        # A batch norm without units has no total either, and needs none.
        total, mean = whole.max(initial=0.0), first / whole
        var = (second / whole - np.square(mean)).clip(min=0)
    followed = mean, var * _unbiased(total)
    normalizer.follow(*(torch.from_numpy(moment.astype(np.float32)) for moment in followed))
    return Statistics(weight, total, mean, 1 / np.sqrt(var + normalizer.eps), processes)


@_silent
def normalized_gradient(z, grad, affine, statistics, bound=math.inf):
    """Return the gradients of a batch norm; mean and rate are functions of the batch.

    Parameters
    ----------
    z, grad : float32 Tensor of shape (n, n_units)
        Sums, and gradient with respect to what they become.
    affine : tuple of float32 ndarray of shape (n_units,)
        Mean, slope and shift of that.
    statistics : Statistics
        What the batch was normalised by.
    bound : float, default=inf
        Where the gradient passes: from -bound to bound.

    Returns
    -------
    grad_z : float32 Tensor of shape (n, n_units)
    grad_gamma, grad_beta : float32 Tensor of shape (n_units,)
    """
    weight, total, _, rate, processes = statistics
    batch, norm = arrays(z, grad), (*affine, np.float32(bound))
    own = np.empty((2, len(rate)))
    _KERNELS.clipped_moments(*batch, *norm, *own)
    # With the gradient g that passes, y = slope c + shift and c = z - mean:
    # dL/dz = slope (g - weight (sum(g) + c rate^2 sum(g c)) / total).
    of_all = own if processes.count == 1 else processes.sum(torch.from_numpy(own)).numpy()
    share = affine[1] / total
    added = (share * of_all[0], share * np.square(rate) * of_all[1])
    grad_z = torch.empty(z.shape, dtype=z.dtype)
    constants, parts = (part.astype(np.float32) for part in added)
    _KERNELS.clipped_gradient(*batch, weight, *norm, constants, parts, grad_z.numpy())
    of_beta, of_gamma = own[0], rate * own[1]
    return grad_z, *(torch.from_numpy(g.astype(np.float32)) for g in (of_gamma, of_beta))


@_silent
def affine_of(gamma, beta, statistics):
    """Return mean, slope and shift of a batch norm: ``(z - mean) * slope + shift``.

    Parameters
    ----------
    gamma, beta : float32 Tensor of shape (n_units,)
        Its parameters.
    statistics : Statistics
        What the batch is normalised by.

    Returns
    -------
    mean, slope, shift : float32 ndarray of shape (n_units,)
        For kernels.
    """
    gamma, beta = arrays(gamma, beta)
    mean, rate = (a.astype(np.float32) for a in (statistics.mean, statistics.rate))
    # A copy: the parameter may change before the way back.
    return mean, gamma * rate, beta.copy()


def mapped(z, affine):
    """Return ``(z - mean) * slope + shift`` of float32 sums, in one pass."""
    mean, slope, shift = affine
    y = torch.empty(z.shape, dtype=z.dtype)
    _KERNELS.bend(*arrays(z), mean, slope, slope, shift, y.numpy())
    return y


class _Normalized(torch.autograd.Function):
    """Batch norm in three passes on either way, two to read and one to write."""

    @staticmethod
    def forward(ctx, z, gamma, beta, statistics):
        ctx.affine = affine_of(gamma, beta, statistics)
        ctx.save_for_backward(z)
        ctx.statistics = statistics
        return mapped(z, ctx.affine)

    @staticmethod
    def backward(ctx, grad):
        (z,) = ctx.saved_tensors
        return *normalized_gradient(z, grad, ctx.affine, ctx.statistics), None


class ScaleShift(nn.Module):
    """A learned scale and shift for each unit: ``y = gain * scale * z + shift``.

    ``gain`` is a constant that brings sums to the size of logits, so that ``scale`` starts at 1
    and an optimizer whose steps do not know a parameter's size (Adam) moves it gently.

    Parameters
    ----------
    n_units : int
        Number of units.
    gain : float
        The constant.
    """

    def __init__(self, n_units, gain):
        super().__init__()
        self.register_buffer("gain", torch.tensor(float(gain)))
        self.scale = nn.Parameter(torch.ones(n_units))
        self.shift = nn.Parameter(torch.zeros(n_units))

    def forward(self, z, sample_weight=None):  # noqa: D102
        return z * self.gain * self.scale + self.shift

    def affine(self):
        """Return slope and shift, in float64."""
        return self.gain.double() * self.scale.double(), self.shift.double()


_NORMALIZERS = {"batch": BatchNorm, "scale": ScaleShift}


def make_normalizer(normalizer, n_units, gain):
    """Return a new normaliser.

    Parameters
    ----------
    normalizer : {"batch", "scale"} or callable
        A name, or a callable of ``(n_units, gain)``.
    n_units : int
        Number of units.
    gain : float
        Scale that gives the outputs a useful size at the start of training.

    Returns
    -------
    normalizer : Module

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    return named("normalizer", _NORMALIZERS, normalizer)(n_units, gain)
