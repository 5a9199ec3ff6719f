"""Tensors as the arrays that kernels take."""

import torch

__all__ = ["arrays", "kernels_take"]


def kernels_take(*tensors):
    """Whether the kernels of training take tensors: numbers of float32 on the CPU."""
    return all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)


def arrays(*tensors):
    """Return tensors as C-contiguous ndarrays, in the same memory where they are that already."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
