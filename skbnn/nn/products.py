"""The matrix product of coded tensors in training: exact forward, fast backward.

Rows and weights of -1, 0 and +1 fit 8-bit integers, whose products CPUs with VNNI or AMX
instructions sum exactly and four times faster than float32. The forward sums are integers below
2^24 and therefore the same, bit for bit, on every machine.

Weights of several planes are a product for each of them, times a number for each unit, and rows may
be whole multiples of one number, their *grain*; where these numbers have few binary digits, as
those of quantizers have, that is exact too.

Gradients are real numbers. Where 8-bit products are fast, each row of the gradient (each column,
for the gradient of the weights) is rounded to 8 bits of its own largest value, so that the backward
products are as fast; the rounding is far below the noise of a batch. Elsewhere they stay float32.
"""

from functools import cache

import torch
import torch.nn.functional as F

from skbnn.bits import backend, sign_bits, signs
from skbnn.nn.arrays import kernels_take

__all__ = [
    "DENSE",
    "Dense",
    "column_levels",
    "floats",
    "int8_is_fast",
    "int8_signs",
    "is_here",
    "row_levels",
    "unit_sizes",
    "whole_levels",
]

_KERNELS = backend()
_SMALL = 1 << 22
_NARROW = 48


@cache
def _has(*instructions):
    """Whether torch reports one of some CPU instruction sets; no for a torch that cannot tell."""
    return any(getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in instructions)


def int8_is_fast():
    """Whether 8-bit products are fast on this machine."""
    return hasattr(torch, "_int_mm") and _has("avx512_vnni", "vnni", "amx_tile") and _is_exact()


@cache
def _is_exact():
    """Whether the products are right for the largest numbers, as those that saturate are not."""
    x = torch.full((16, 64), 127, dtype=torch.int8)
    return bool((torch._int_mm(x, x.t()) == 64 * 127 * 127).all())


def row_levels(grad):
    """Round each row of a gradient to 8 bits of its largest value.

    Parameters
    ----------
    grad : float32 Tensor of shape (n, m)
        On the CPU.

    Returns
    -------
    levels : int8 Tensor of shape (n, m)
    scales : float32 Tensor of shape (n, 1)
        ``levels * scales`` is the gradient, within half a scale.
    """
    scales = torch.empty(len(grad), 1)
    return _levels(grad, _KERNELS.round_rows, scales), scales


def column_levels(grad):
    """Round each column of a gradient to 8 bits of its largest value.

    Parameters
    ----------
    grad : float32 Tensor of shape (n, m)
        On the CPU.

    Returns
    -------
    levels : int8 Tensor of shape (n, m)
    scales : float32 Tensor of shape (m, 1)
        ``levels * scales.t()`` is the gradient, within half a scale.
    """
    scales = torch.empty(grad.shape[1], 1)
    return _levels(grad, _KERNELS.round_columns, scales), scales


def _levels(grad, round_to, scales):
    levels = torch.empty(grad.shape, dtype=torch.int8)
    round_to(grad.contiguous().numpy(), levels.numpy(), scales.view(-1).numpy())
    return levels


def int8_signs(w):
    """Return the signs of a tensor as int8, in a quarter of the time of torch's comparison.

    Parameters
    ----------
    w : float32 Tensor of shape (n_units, n_in)
        On the CPU.

    Returns
    -------
    signs : int8 Tensor of the same shape
    """
    return torch.from_numpy(signs(sign_bits(w.detach().numpy())))


def floats(sums):
    """Return int32 sums as float32, in the same memory."""
    return sums.view(torch.float32).copy_(sums)


def scaled_floats(sums, scales):
    """Return int32 sums as float32, each row times its scale, in the same memory and one pass.

    Parameters
    ----------
    sums : int32 Tensor of shape (n, m)
        On the CPU, row after row.
    scales : float32 Tensor of shape (n, 1)
        A number for each row.

    Returns
    -------
    numbers : float32 Tensor of shape (n, m)
    """
    _KERNELS.scale_sums(sums.numpy(), scales.view(-1).numpy())
    return sums.view(torch.float32)


def whole_levels(x, grain):
    """Return how many times a tensor's numbers are its grain, as int8.

    Parameters
    ----------
    x : Tensor
        Whole multiples of the grain, at most 127 of them.
    grain : float
        The number.

    Returns
    -------
    levels : int8 Tensor of the same shape
    """
    return (x if grain == 1.0 else (x / grain).round_()).to(torch.int8)


def unit_sizes(w):
    """Return the size of each unit's weights, if they are -1, 0 and +1 times it.

    Parameters
    ----------
    w : Tensor of shape (n_units, n_in)
        Weights, at least one of each unit.

    Returns
    -------
    sizes : Tensor of shape (n_units,) or None
        None if some unit's weights have several sizes.
    """
    w = w.detach().abs()
    sizes = w.amax(1, keepdim=True)
    # As numbers: truth values take torch twice the time.
    known = torch.eq(w, sizes, out=torch.empty_like(w))
    known.add_(torch.eq(w, 0, out=torch.empty_like(w)))
    return sizes[:, 0] if bool(known.amin() > 0) else None


class _Int8Product(torch.autograd.Function):
    """``x @ (offset + sum_k sizes[k] * planes[k]).T``, one 8-bit product for each plane.

    Planes lie below each other in a matrix, and x is 8-bit integers times ``grain``. What the
    gradient of the weights goes to is ``w``, whose values are not looked at.
    """

    @staticmethod
    def forward(ctx, x, w, planes, sizes=None, offset=None, grain=1.0):
        x = whole_levels(x, grain)
        ctx.save_for_backward(x, planes, sizes, offset)
        ctx.grain = grain
        z = floats(torch._int_mm(x, planes.t()))
        if sizes is None:
            return z if grain == 1.0 else z.mul_(grain)
        if len(sizes) == 1:
            z.mul_(sizes[0] * grain)
        else:
            z = z.unflatten(1, sizes.shape).mul_(sizes * grain).sum(1)
        return z if offset is None else z.addr_(x.sum(1, dtype=z.dtype), offset * grain)

    @staticmethod
    def backward(ctx, grad):
        x, planes, sizes, offset = ctx.saved_tensors
        grad_x = grad_w = None
        if ctx.needs_input_grad[0]:
            # A size that all units share is taken to the scales, which are few.
            shared = _shared_size(sizes)
            of_planes = grad if shared is not None else (grad[:, None] * sizes).flatten(1)
            levels, scales = row_levels(of_planes)
            scales *= 1.0 if shared is None else shared
            grad_x = scaled_floats(torch._int_mm(levels, planes), scales)
            if offset is not None:
                grad_x.add_((grad @ offset)[:, None])
        if ctx.needs_input_grad[1]:
            levels, scales = column_levels(grad)
            grad_w = scaled_floats(torch._int_mm(levels.t(), x), scales * ctx.grain)
        return grad_x, grad_w, None, None, None, None


def _shared_size(sizes):
    """Return the size of all units of a single plane, or None if they have several."""
    if sizes is None:
        return 1.0
    return sizes[0, 0] if len(sizes) == 1 and bool((sizes == sizes[0, 0]).all()) else None


class Dense:
    """The product of rows and weights, for :meth:`~skbnn.nn.quantizers.Quantizer.product`.

    What else maps rows linearly, as a convolution does, has the same three methods.
    """

    def is_fast(self, x, w):
        """Whether 8-bit products of rows and weights are right and worth their conversions.

        Parameters
        ----------
        x : Tensor of shape (n, n_in)
            Rows.
        w : Tensor of shape (n_units, n_in)
            Weights.

        Returns
        -------
        is_fast : bool
        """
        # Where a dimension is 1 its stride is arbitrary, and torch's 8-bit product can be wrong
        # without a word: github.com/pytorch/pytorch/issues/195066.
        is_right = min(*x.shape, *w.shape) > 1
        is_large = x.shape[0] * w.numel() >= _SMALL
        # Of each row, inputs and sums are converted: its products must be many next to these.
        is_wide = w.numel() >= _NARROW * sum(w.shape)
        return is_right and is_large and is_wide and is_here(x, w)

    def plain(self, x, w):
        """Return the product of any numbers.

        Parameters
        ----------
        x : Tensor of shape (n, n_in)
            Rows.
        w : Tensor of shape (n_units, n_in)
            Weights.

        Returns
        -------
        z : Tensor of shape (n, n_units), of the dtype of w
        """
        return F.linear(x.to(w.dtype), w)

    def planes(self, x, w, parts, grain):
        """Return the product of rows and weights that are given by their planes.

        Parameters
        ----------
        x : float32 Tensor of shape (n, n_in)
            Rows, at most 127 times the grain in whole numbers. What :meth:`is_fast` refuses is
            not for this method.
        w : float32 Tensor of shape (n_units, n_in)
            What the gradient of the weights goes to; its values do not matter.
        parts : Parts
            The weights.
        grain : float
            What the rows are whole multiples of.

        Returns
        -------
        z : float32 Tensor of shape (n, n_units)
            ``x @ parts.value().T``.
        """
        planes, sizes, offset = parts
        return _Int8Product.apply(x, w, planes.flatten(0, 1), sizes, offset, grain)


DENSE = Dense()


def is_here(x, w):
    """Whether tensors are of a kind that 8-bit products take, on a machine where these are fast."""
    return kernels_take(w) and x.device.type == "cpu" and int8_is_fast()
