"""Normalisers: from the sums of a product to pre-activations or class scores.

Both are affine maps of each unit once trained, ``y = slope * z + shift``. Outside training they
compute in separate, correctly rounded steps, each monotone in z: a packed program can then fold
them, with whatever monotone function follows, into one integer threshold without a doubt about
the last bit.
"""

import torch
import torch.nn.functional as F
from torch import nn

from skbnn.bits import backend
from skbnn.nn.arrays import arrays, kernels_take
from skbnn.nn.named import named
from skbnn.nn.processes import ALONE

__all__ = ["BatchNorm", "ScaleShift", "make_normalizer", "unbiased", "weighted_moments"]

_KERNELS = backend()


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
        if self.training and self.processes.count > 1:
            return self._shared(z, sample_weight)
        if not self.training or len(z) == 1:
            y = (z - self.mean) / torch.sqrt(self.var + self.eps)
            return y * self.gamma + self.beta
        if sample_weight is None:
            return F.batch_norm(
                z, self.mean, self.var, self.gamma, self.beta, True, self.momentum, self.eps
            )
        return self._weighted(z, sample_weight)

    def _weighted(self, z, sample_weight):
        z, weight = z.to(self.gamma.dtype), sample_weight.to(self.gamma.dtype)
        total, mean, var = weighted_moments(z.detach(), weight)
        self.follow(mean, var * unbiased(total))
        rate = torch.rsqrt(var + self.eps)
        share, mean, rate = (weight / total).to(z.dtype), mean.to(z.dtype), rate.to(z.dtype)
        return _WeightedNorm.apply(z, self.gamma, self.beta, share[:, None], mean, rate)

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
        self.follow(mean, var * unbiased(total))
        slope = torch.rsqrt(var + self.eps).to(z.dtype) * self.gamma
        return (z - mean.to(z.dtype)) * slope + self.beta

    def follow(self, mean, var):
        """Let the running statistics move towards those of a batch.

        Parameters
        ----------
        mean, var : Tensor of shape (n_units,)
            Mean, and unbiased variance.
        """
        with torch.no_grad():
            self.mean.lerp_(mean.to(self.mean.dtype), self.momentum)
            self.var.lerp_(var.to(self.var.dtype), self.momentum)

    def affine(self):
        """Return slope and shift of the trained map, in float64.

        Returns
        -------
        slope, shift : float64 Tensors of shape (n_units,)
        """
        slope = self.gamma.double() / torch.sqrt(self.var.double() + self.eps)
        return slope, self.beta.double() - slope * self.mean.double()


def weighted_moments(z, weight):
    """Return the sum of the weights of rows, and mean and variance of each column.

    Parameters
    ----------
    z : Tensor of shape (n, n_units)
        Rows without gradient.
    weight : Tensor of shape (n,), of the same dtype
        Positive weights.

    Returns
    -------
    total : float64 scalar Tensor
    mean, var : float64 Tensor of shape (n_units,)
        The variance is that of the rows themselves.
    """
    total = weight.sum(dtype=torch.float64)
    if not kernels_take(z, weight):
        share, rows = weight.double() / total, z.double()
        mean = share @ rows
        return total, mean, share @ (rows - mean).square()
    mean, var = (torch.empty(z.shape[1], dtype=torch.float64) for _ in range(2))
    _KERNELS.column_moments(*arrays(z, weight, mean, var))
    return total, mean, var


def unbiased(total):
    """Return what makes a variance of rows unbiased, if the sum of weights is their number."""
    return total / (total - 1).clamp(min=1.0)


class _WeightedNorm(torch.autograd.Function):
    """``(z - mean) * rate * gamma + beta``; mean and rate are those of z with shares of rows."""

    @staticmethod
    def forward(ctx, z, gamma, beta, share, mean, rate):
        ctx.save_for_backward(z, gamma, share, mean, rate)
        return (z - mean).mul_(rate * gamma).add_(beta)

    @staticmethod
    def backward(ctx, grad):
        z, gamma, share, mean, rate = ctx.saved_tensors
        centred, slope = z - mean, rate * gamma
        whole, along = grad.sum(0), (grad * centred).sum(0)
        grad_z = centred.mul_(slope * rate.square() * along).add_(slope * whole).mul_(-share)
        return grad_z.addcmul_(grad, slope), rate * along, whole, None, None, None


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
