"""The convolution of coded images in training: exact forward, fast backward.

As in :mod:`skbnn.nn.products`, elements of -1, 0 and +1 fit 8-bit integers, weights may be these
times a number for each unit, and gradients are
rounded to 8 bits: of an image's largest value on the way to the images, of a unit's on the way to
the weights. The convolution itself is oneDNN's, of unsigned images and signed weights.
"""

import math
from functools import cache

import torch
import torch.nn.functional as F

from skbnn.bits import backend
from skbnn.nn.products import column_levels, floats, int8_is_fast, row_levels, unit_sizes

__all__ = ["convolve"]

_KERNELS = backend()
_SMALL = 1 << 20
_BYTE_OFFSET = 128
_WINDOW_BYTES = 1 << 21


def convolve(x, weight, window, padding, *, are_signs=False):
    """Convolve and max-pool images.

    Parameters
    ----------
    x : Tensor of shape (n, height, width, channels), or (n, height * width * channels)
        Images.
    weight : Tensor of shape (n_units, window.n_taps)
        Weights, line by line, pixel by pixel, channel by channel.
    window : Window
        Size and step of the window and of the pool.
    padding : float
        What pads the images.
    are_signs : bool
        Whether images hold -1, 0 and +1 alone. Fast where the weights of each unit are -1, 0 and +1
        times one number.

    Returns
    -------
    z : Tensor of shape (n * n_places, n_units)
        Sums of -1, 0 and +1 are exact: they are whole numbers far below 2^24.
    """
    images = x.reshape(-1, *window.shape)
    filters = weight.reshape(-1, *window.kernel, window.shape[2])
    is_fast = are_signs and _is_fast(images, filters, window)
    sizes = unit_sizes(weight) if is_fast else None
    if sizes is None:
        z = _plain(images, filters, window, padding)
    else:
        z = _Int8Convolution.apply(images, filters, sizes, window, padding)
    return z.reshape(-1, len(weight))


def _plain(images, filters, window, padding):
    """Convolve and max-pool numbers of any kind."""
    images, filters = (t.permute(0, 3, 1, 2) for t in (images.to(filters.dtype), filters))
    z = F.conv2d(images, filters, stride=window.stride, padding=window.margins)
    if padding:
        z.add_(_border(filters, window), alpha=padding)
    if window.pool != (1, 1):
        z = F.max_pool2d(z, window.pool)
    return z.permute(0, 2, 3, 1)


def _border(filters, window):
    """Return what ones around an image add to the sums of every place.

    Much faster than to convolve images that have been padded: only the weights matter.
    """
    taps = filters.sum(1, keepdim=True)
    ones = taps.new_ones(1, 1, *window.shape[:2])
    inside = F.conv2d(ones, taps, stride=window.stride, padding=window.margins)
    border = taps.sum((2, 3)).reshape(1, -1, 1, 1) - inside
    return border.contiguous(memory_format=torch.channels_last)


def _is_fast(images, filters, window):
    """Whether the 8-bit convolution is right and worth its conversions."""
    n_units, n_places = len(filters), math.prod(window.places)
    is_large = len(images) * n_places * filters.numel() >= _SMALL
    # The 8-bit product of the gradient can be wrong where a dimension is 1: see products.py.
    is_right = window.stride == 1 and min(n_units, window.n_taps, len(images) * n_places) > 1
    is_pooled = math.prod(window.pool) < 1 << 16
    is_here = filters.dtype == torch.float32 and images.device.type == "cpu"
    return is_large and is_right and is_pooled and is_here and int8_is_fast() and _is_known()


@cache
def _is_known():
    """Whether this torch has oneDNN's 8-bit convolution, in the form that is used here."""
    images = torch.full((1, 2, 2, 8), 3, dtype=torch.uint8)
    filters = torch.full((8, 1, 1, 8), -2, dtype=torch.int8)
    try:
        z = _int8_convolve(images, filters, (0, 0), zero=1)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool((z == (3 - 1) * -2 * 8).all())


def _int8_convolve(images, filters, margins, *, zero, bias=None):
    """Convolve unsigned 8-bit images, of whose numbers ``zero`` means 0, with signed filters.

    Parameters
    ----------
    images : uint8 Tensor of shape (n, height, width, channels)
        Images; zeros pad them.
    filters : int8 Tensor of shape (n_units, kernel_height, kernel_width, channels)
        Filters.
    margins : tuple of two ints
        Pixels that pad each side.
    zero : int
        The number that means 0.
    bias : float32 Tensor of shape (n_units,) or None
        Added to the sums.

    Returns
    -------
    z : float32 Tensor of shape (n, height, width, n_units)
    """
    images, filters = (t.permute(0, 3, 1, 2) for t in (images, filters))
    ops, n_units = torch.ops.onednn, len(filters)
    scales, zeros = torch.ones(n_units), torch.zeros(n_units, dtype=torch.int64)
    step = ([1, 1], list(margins), [1, 1], 1)
    weights = ops.qconv_prepack(filters.contiguous(), scales, 1.0, zero, *step, list(images.shape))
    kept = (1.0, 0, torch.float32, "none", [], "")
    z = ops.qconv2d_pointwise(images, 1.0, zero, weights, scales, zeros, bias, *step, *kept)
    return z.permute(0, 2, 3, 1).contiguous()


class _Int8Convolution(torch.autograd.Function):
    """Convolution of -1, 0 and +1 with *same* padding and stride 1, by 8-bit integers, and pool.

    Images are stored as ``1 + x``. Padded with the number 0, which then is an element of -1, they
    give ``z + sum(w)``; an element of +1 pads if everything is negated; and 1 is what means 0.

    Other numbers pad where dropout makes the images' elements worth more. What they add to the sums
    of a place depends on the filters alone, and is added by itself.

    Filters are of one size for each unit, which multiplies the pooled sums: it is not negative, so
    the largest stays the largest. The gradient of the filters is that of filters of this size.

    A gradient is rounded where it is small, on the pooled results, and goes on from the places
    that had won.
    """

    @staticmethod
    def forward(ctx, images, filters, sizes, window, padding):
        images, filters = images.to(torch.int8), filters.sign().to(torch.int8)
        if padding not in (-1, 1):
            unsigned = (images + 1).view(torch.uint8)
            sums = _int8_convolve(unsigned, filters, window.margins, zero=1)
            if padding:
                border = _border(filters.permute(0, 3, 1, 2).float(), window)
                sums.add_(border.permute(0, 2, 3, 1), alpha=padding)
        else:
            unsigned = (1 - int(padding) * images).view(torch.uint8)
            bias = filters.sum((1, 2, 3)).float() * padding
            turned = filters * -int(padding)
            sums = _int8_convolve(unsigned, turned, window.margins, zero=0, bias=bias)
        pooled, winners = (sums, None) if window.pool == (1, 1) else _pool(sums, window)
        ctx.sizes = None if bool((sizes == 1).all()) else sizes
        ctx.save_for_backward(images, filters, winners)
        ctx.window, ctx.padding = window, padding
        return pooled if ctx.sizes is None else pooled.mul_(ctx.sizes)

    @staticmethod
    def backward(ctx, grad):
        images, filters, winners = ctx.saved_tensors
        window, grad = ctx.window, grad.contiguous()
        grad_images = grad_filters = None
        if ctx.needs_input_grad[0]:
            sized = grad if ctx.sizes is None else grad * ctx.sizes
            levels, scales = row_levels(sized.view(len(grad), -1))
            places = _spread(levels.view(grad.shape), winners, window)
            unsigned = places.view(torch.uint8).bitwise_xor_(_BYTE_OFFSET)
            turned = filters.flip(1, 2).permute(3, 1, 2, 0)
            sums = _int8_convolve(unsigned, turned, window.margins, zero=_BYTE_OFFSET)
            grad_images = sums.mul_(scales.view(-1, 1, 1, 1))
        if ctx.needs_input_grad[1]:
            levels, scales = column_levels(grad.view(-1, len(filters)))
            places = _spread(levels.view(grad.shape), winners, window)
            padding = ctx.padding
            whole = int(padding) if padding in (-1, 0, 1) else 0
            sums = floats(_sum_over_places(places, images, window, whole))
            if whole != padding:
                sums.unflatten(1, (-1, filters.shape[3])).add_(
                    _sum_outside(places, window)[:, :, None], alpha=padding
                )
            grad_filters = sums.mul_(scales).view(filters.shape)
        return grad_images, grad_filters, None, None, None


def _pool(sums, window):
    """Return the largest sums of the pool's windows, and where they were."""
    shape = (len(sums), *window.pooled, sums.shape[3])
    pooled, winners = torch.empty(shape), torch.empty(shape, dtype=torch.uint16)
    _KERNELS.pool_sums(sums.numpy(), *window.pool, pooled.numpy(), winners.numpy())
    return pooled, winners


def _spread(levels, winners, window):
    """Return the levels of all places from those of pooled results."""
    if winners is None:
        return levels
    places = torch.empty(len(levels), *window.places, levels.shape[3], dtype=torch.int8)
    _KERNELS.spread_levels(levels.numpy(), winners.numpy(), *window.pool, places.numpy())
    return places


def _sum_outside(levels, window):
    """Return the sum of the levels of all places whose window has a tap outside the image.

    Parameters
    ----------
    levels : int8 Tensor of shape (n, height, width, n_units)
        Levels of the gradient.
    window : Window
        The window.

    Returns
    -------
    sums : float32 Tensor of shape (n_units, kernel_height * kernel_width)
    """
    inside = F.unfold(torch.ones(1, 1, *window.shape[:2]), window.kernel, padding=window.margins)
    return levels.sum(0, dtype=torch.float32).flatten(0, 1).t() @ (1 - inside[0].t())


def _sum_over_places(levels, images, window, padding):
    """Return the products of levels with the windows of their places, summed over all places.

    Parameters
    ----------
    levels : int8 Tensor of shape (n, height, width, n_units)
        Levels of the gradient.
    images : int8 Tensor of shape (n, height, width, channels)
        Images.
    window : Window
        The window.
    padding : int
        What pads the images.

    Returns
    -------
    sums : int32 Tensor of shape (n_units, n_taps)
    """
    n, n_units = len(images), levels.shape[3]
    sums = torch.zeros(n_units, window.n_taps, dtype=torch.int32)
    # Windows are a kernel's size larger than images: a few images at a time stay in cache.
    step = max(1, _WINDOW_BYTES // (window.n_taps * math.prod(window.places)))
    rows = torch.empty(min(step, n), *window.shape[:2], window.n_taps, dtype=torch.int8)
    for some, given in zip(images.split(step), levels.split(step), strict=True):
        windows = rows[: len(some)]
        spans = windows.unflatten(3, (window.kernel[0], -1)).numpy()
        _KERNELS.unfold_images(some.numpy(), *window.kernel, padding, spans)
        sums += torch._int_mm(given.reshape(-1, n_units).t(), windows.view(-1, window.n_taps))
    return sums
