"""The convolution of coded images in training: exact forward, fast backward.

As in :mod:`skbnn.nn.products`, images are whole multiples of a grain, weights are planes of signs
times a number for each unit, and gradients are rounded to 8 bits: of an image's largest value on
the way to the images, of a unit's on the way to the weights. The convolution itself is oneDNN's, of
unsigned images and signed weights.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F

from skbnn.bits import backend
from skbnn.nn.products import column_levels, floats, is_here, row_levels, whole_levels
from skbnn.nn.quantizers.codes import Parts
from skbnn.packed.windows import Window

__all__ = ["Convolution"]

_KERNELS = backend()
_SMALL = 1 << 20
_BYTE_OFFSET = 128
_WINDOW_BYTES = 1 << 21


@dataclass(frozen=True)
class Convolution:
    """A convolution with *same* padding and its max-pool, as one product of rows and weights.

    Rows are images, line by line, pixel by pixel, channel by channel, and so are weights; each
    place of the pooled results is a row of its own. See :class:`~skbnn.nn.products.Dense`.

    Parameters
    ----------
    window : Window
        Size and step of the window and of the pool.
    padding : float
        What pads the images.
    """

    window: Window
    padding: float

    def is_fast(self, x, w):
        """Whether the 8-bit convolution is right and worth its conversions.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Images.
        w : Tensor of shape (n_units, window.n_taps)
            Weights.

        Returns
        -------
        is_fast : bool
        """
        window, n_places = self.window, len(x) * math.prod(self.window.places)
        # The 8-bit product of the gradient can be wrong where a dimension is 1: see products.py.
        is_right = window.stride == 1 and min(*w.shape, n_places) > 1
        is_large = n_places * w.numel() >= _SMALL and math.prod(window.pool) < 1 << 16
        return is_large and is_right and is_here(x, w) and _is_known()

    def plain(self, x, w):
        """Convolve and max-pool images of any numbers.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Images.
        w : Tensor of shape (n_units, window.n_taps)
            Weights.

        Returns
        -------
        z : Tensor of shape (n * n_places, n_units), of the dtype of w
            Sums of whole numbers are exact: they are far below 2^24.
        """
        window = self.window
        images, filters = self._images(x).to(w.dtype), self._images(w, window.kernel)
        images, filters = (t.permute(0, 3, 1, 2) for t in (images, filters))
        z = F.conv2d(images, filters, stride=window.stride, padding=window.margins)
        if self.padding:
            z.add_(_border(filters, window), alpha=self.padding)
        if window.pool != (1, 1):
            z = F.max_pool2d(z, window.pool)
        return z.permute(0, 2, 3, 1).reshape(-1, len(w))

    def planes(self, x, w, parts, grain):
        """Convolve and max-pool images with weights that are given by their planes.

        Parameters
        ----------
        x : float32 Tensor of shape (n, ...)
            Images, at most 127 times the grain in whole numbers. What :meth:`is_fast` refuses is
            not for this method.
        w : float32 Tensor of shape (n_units, window.n_taps)
            What the gradient of the weights goes to; its values do not matter.
        parts : Parts
            The weights.
        grain : float
            What the images are whole multiples of.

        Returns
        -------
        z : float32 Tensor of shape (n * n_places, n_units)
        """
        images = self._images(x).contiguous()
        z = _Int8Convolution.apply(images, w, *parts, self.window, self.padding, grain)
        return z.view(-1, len(w))

    def _images(self, x, sizes=None):
        return x.reshape(-1, *(sizes or self.window.shape[:2]), self.window.shape[2])


def _border(filters, window):
    """Return what ones around an image add to the sums of every place.

    Much faster than to convolve images that have been padded: only the weights matter.
    """
    taps = filters.sum(1, keepdim=True)
    ones = taps.new_ones(1, 1, *window.shape[:2])
    inside = F.conv2d(ones, taps, stride=window.stride, padding=window.margins)
    border = taps.sum((2, 3)).reshape(1, -1, 1, 1) - inside
    return border.contiguous(memory_format=torch.channels_last)


@cache
def _is_known():
    """Whether this torch has oneDNN's 8-bit convolution, in the form that is used here, exact."""
    # The largest numbers: sums of two of their products leave 16 bits.
    images = torch.full((1, 4, 4, 64), 255, dtype=torch.uint8)
    filters = torch.full((16, 1, 1, 64), -127, dtype=torch.int8)
    try:
        z = _int8_convolve(images, filters, (0, 0), zero=_BYTE_OFFSET)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool((z == 127 * -127 * 64).all())


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
    """Convolution with *same* padding and stride 1, one of 8-bit integers for each plane, and pool.

    Images are whole numbers times ``grain``, and so is what pads them, unless dropout makes their
    elements worth more. What the gradient of the filters goes to is ``w``, whose values are not
    looked at.

    A gradient is rounded where it is small, on the pooled results, and goes on from the places
    that had won. On the way to the images it meets the filters as 8-bit levels, those of several
    planes rounded once more: filters are few numbers, and one product of the many places is enough.
    """

    @staticmethod
    def forward(ctx, images, w, planes, sizes, offset, window, padding, grain):
        images = whole_levels(images, grain)
        padding = padding / grain
        stored = _Stored.of(images, padding)
        filters = planes.unflatten(2, (*window.kernel, -1))
        z, *others = (stored.convolve(plane, window) for plane in filters)
        is_single = not others and offset is None
        # Where the largest stays the largest, there is less to multiply behind the pool.
        is_last = is_single and (sizes is None or bool((sizes >= 0).all()))
        if not is_last:
            z.mul_(sizes[0])
            for other, size in zip(others, sizes[1:], strict=True):
                z.addcmul_(other, size)
            if offset is not None:
                z.addcmul_(_sum_of_windows(images, padding, window), offset)
        z, winners = (z, None) if window.pool == (1, 1) else _pool(z, window)
        if is_last and sizes is not None:
            z.mul_(sizes[0])
        levels, units = planes[0], None if sizes is None else sizes[0]
        if not is_single:
            levels, units = row_levels(Parts(planes, sizes, offset).value())
            units = units[:, 0]
        ctx.save_for_backward(images, levels.view(filters.shape[1:]), units, winners)
        ctx.window, ctx.padding, ctx.grain = window, padding, grain
        # Detached it is no view, so that others may work on it in place.
        return (z if grain == 1.0 else z.mul_(grain)).detach()

    @staticmethod
    def backward(ctx, grad):
        images, filters, units, winners = ctx.saved_tensors
        window, grad = ctx.window, grad.contiguous()
        grad_images = grad_w = None
        if ctx.needs_input_grad[0]:
            sized = grad if units is None else grad * units
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
            is_whole = padding == int(padding) and abs(padding) < _BYTE_OFFSET
            whole = int(padding) if is_whole else 0
            sums = floats(_sum_over_places(places, images, window, whole))
            if whole != padding:
                sums.unflatten(1, (-1, filters.shape[3])).add_(
                    _sum_outside(places, window)[:, :, None], alpha=padding
                )
            grad_w = sums.mul_(scales * ctx.grain)
        return grad_images, grad_w, *[None] * 6


class _Stored(NamedTuple):
    """Signed 8-bit images as oneDNN takes them: unsigned, with a number that means 0.

    That number pads. If it is the 0 of unsigned numbers it costs nothing, so it is made to be what
    pads, wherever all elements are on one side of that: then ``sign * (x - padding)`` is stored. In
    other images 128 means 0. What else pads them adds something to the sums of each place that
    depends on the filters alone.
    """

    unsigned: torch.Tensor
    padding: float
    sign: int

    @classmethod
    def of(cls, images, padding):
        """Return images that a number pads."""
        low, high = (int(limit) for limit in torch.aminmax(images))
        whole = int(padding)
        is_whole = whole == padding and abs(whole) < _BYTE_OFFSET
        if is_whole and not low < whole < high:
            sign = 1 if whole <= low else -1
            # Integers of 8 bits wrap around, and the difference has as many.
            return cls(((images - whole) * sign).view(torch.uint8), padding, sign)
        return cls(images.view(torch.uint8) ^ _BYTE_OFFSET, padding, 0)

    def convolve(self, filters, window):
        """Return exact sums of the images and int8 filters, with what pads."""
        if not self.sign:
            z = _int8_convolve(self.unsigned, filters, window.margins, zero=_BYTE_OFFSET)
            if self.padding:
                border = _border(filters.permute(0, 3, 1, 2).float(), window)
                z.add_(border.permute(0, 2, 3, 1), alpha=self.padding)
            return z
        bias = filters.sum((1, 2, 3)).float() * self.padding if self.padding else None
        turned = filters if self.sign > 0 else -filters
        return _int8_convolve(self.unsigned, turned, window.margins, zero=0, bias=bias)


def _sum_of_windows(images, padding, window):
    """Return the sum of all elements of each place's window, of shape (n, height, width, 1)."""
    sums = images.sum(3, dtype=torch.float32)[:, None]
    ones = sums.new_ones(1, 1, *window.kernel)
    z = F.conv2d(sums, ones, padding=window.margins)
    if padding:
        z.add_(_border(ones, window), alpha=padding * window.shape[2])
    return z.permute(0, 2, 3, 1)


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
