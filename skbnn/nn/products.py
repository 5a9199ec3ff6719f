"""The matrix product of coded tensors in training: exact forward, fast backward.

Rows and weights of -1, 0 and +1 fit 8-bit integers, whose products CPUs with VNNI or AMX
instructions sum exactly and several times faster than float32. Gradients are real numbers: where
the CPU multiplies bfloat16 they are rounded to it (three decimal digits, far below their own
noise), elsewhere they stay float32. The forward sums are integers below 2^24 and therefore the
same, bit for bit, on every machine.
"""

from functools import cache

import torch
import torch.nn.functional as F

__all__ = ["coded_product"]

_SMALL = 1 << 20


@cache
def _has(*instructions):
    """Whether torch reports one of some CPU instruction sets; no for a torch that cannot tell."""
    return any(getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in instructions)


def _int8_is_fast():
    return hasattr(torch, "_int_mm") and _has("avx512_vnni", "vnni", "amx_tile")


def _gradient_dtype():
    return torch.bfloat16 if _has("avx512_bf16", "amx_tile") else torch.float32


class _Int8Product(torch.autograd.Function):
    """``x @ w.T`` of tensors that hold -1, 0 and +1."""

    @staticmethod
    def forward(ctx, x, w):
        x, w = x.to(torch.int8), w.to(torch.int8)
        ctx.save_for_backward(x, w)
        return torch._int_mm(x, w.t()).to(torch.float32)

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        dtype = _gradient_dtype()
        grad = grad.to(dtype)
        grad_x = grad_w = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad @ w.to(dtype)).to(torch.float32)
        if ctx.needs_input_grad[1]:
            grad_w = (grad.t() @ x.to(dtype)).to(torch.float32)
        return grad_x, grad_w


def coded_product(x, w):
    """Return ``x @ w.T`` for tensors that hold -1, 0 and +1.

    Parameters
    ----------
    x : float Tensor of shape (n, n_in)
        Rows.
    w : float Tensor of shape (n_units, n_in)
        Weights.

    Returns
    -------
    z : Tensor of shape (n, n_units), of the dtype of w
        Exact sums.
    """
    # Where a dimension is 1 its stride is arbitrary, and torch's 8-bit product can be wrong without
    # a word: github.com/pytorch/pytorch/issues/195066.
    is_large = x.shape[0] * w.numel() >= _SMALL and min(*x.shape, *w.shape) > 1
    if is_large and w.dtype == torch.float32 and x.device.type == "cpu" and _int8_is_fast():
        return _Int8Product.apply(x, w)
    return F.linear(x.to(w.dtype), w)
