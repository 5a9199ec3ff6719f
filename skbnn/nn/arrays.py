"""Tensors as the arrays that kernels take."""

import math

import torch

__all__ = ["arrays", "as_rows", "kernels_take"]


def kernels_take(*tensors):
    """Whether the kernels of training take tensors: numbers of float32 on the CPU."""
    return all(t.is_cpu and t.dtype is torch.float32 for t in tensors)


def arrays(*tensors):
    """Return tensors as C-contiguous ndarrays, in the same memory where they are that already."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def as_rows(x):
    """Return numbers of units as rows, of which there may be none, and of units too."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
