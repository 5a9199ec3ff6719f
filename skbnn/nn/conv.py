"""Convolution blocks: windows of images, max-pooling, then what dense blocks do to their sums.

Images flow with channels last, so a row of a dense block is an image as it lies in memory. Inside a
block each place is a row of its own, so normalisers and quantizers see rows of units, whatever the
product was.

A max-pool stands between convolution and batch norm. It does not commute with a falling step, so
packed it is the greatest bit of a window for units that rise, and the least for those that were
negated.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from skbnn.bits import pack_bits
from skbnn.nn.block import Signal
from skbnn.nn.bridges import RealLevels
from skbnn.nn.convolution import Convolution
from skbnn.nn.linear import CodedHidden, CodedSums, real_twin
from skbnn.nn.quantizers import make_quantizer
from skbnn.nn.reals import RealHidden
from skbnn.nn.stream import Residual, Shortcut, StreamSign
from skbnn.packed.conv import BinaryConv, MixedConv, RealConv
from skbnn.packed.outputs import Sums
from skbnn.packed.values import Reals
from skbnn.packed.windows import Window

__all__ = [
    "CodedConvolution",
    "CodedConvolutionSums",
    "RealConvolution",
    "conv_blocks",
]


class _Places:
    """What both convolution blocks share: each place of the pooled results is a row of sums.

    Parameters
    ----------
    window : Window
        Size and step of the window and of the pool.
    n_units : int
        Channels of the results.
    technique : Technique
        Choices on every axis.
    padding_value : {-1, 0, 1}
        What pads the images: an element whose bits are all 0 or all 1, or nothing.
    **settings
        Further arguments of a dense block.
    """

    def __init__(self, window, n_units, technique, padding_value, **settings):
        super().__init__(window.n_taps, n_units, technique, **settings)
        self.window = window
        self.padding_value = padding_value
        self.source = ()

    def read(self, source):
        """Learn what made the images, which is no part of this block."""
        self.source = (source,)

    @property
    def grain(self):
        """What the images are whole multiples of, if that is known."""
        first = self.source[0].grain if self.source else 1.0
        return first if self.reads_codes else None

    @property
    def padding(self):
        """What a padded element is worth."""
        value = self.padding_value
        return self.source[0].worth(value > 0) if value and self.source else value

    def forward(self, x, sample_weight=None):  # noqa: D102
        if sample_weight is not None:
            sample_weight = sample_weight.repeat_interleave(math.prod(self.window.pooled))
        results = super().forward(x, sample_weight)
        return results.reshape(len(x), *self.shape)

    def sums(self, x):
        """Return the pooled sums of every place and unit."""
        # What is around an image is not dropped, so it must not gain either.
        kind = Convolution(self.window, self.padding / self.dropout.gain)
        rows = self.dropout(x)
        z = self.weight_quantizer.product(rows, self.weight, grain=self.grain, kind=kind)
        return self.dropout.restore(z)

    @property
    def shape(self):
        """Height, width and channels of the results."""
        return (*self.window.pooled, self.n_units)


class CodedConvolution(_Places, CodedHidden):
    """Coded images to a code per place and unit: convolution, max-pool, batch norm, quantizer."""

    def frozen_signal(self):
        """Return what the frozen block gives: the code of the pooled images."""
        signal = super().frozen_signal()
        return signal._replace(value=signal.value.at_places(self.window.pooled))

    def pack(self):  # noqa: D102
        weights, output, negated = self.folded()
        is_pooled = self.window.pool != (1, 1)
        minima = pack_bits(negated) if is_pooled and negated.any() else None
        image = self.takes.value
        return BinaryConv(weights, image, output, self.window, self.padding_value, minima)


class CodedConvolutionSums(_Places, CodedSums):
    """Coded images to sums for a stream: convolution, max-pool, times a power of two."""

    def frozen_signal(self):
        """Return what the frozen block gives: integers of a known size, at every place."""
        signal = super().frozen_signal()
        return signal._replace(value=signal.value.at_places(self.window.pooled))

    def pack(self):  # noqa: D102
        output = Sums(self.n_units, self.largest)
        image, window = self.takes.value, self.window
        return BinaryConv(self.matrix, image, output, window, self.padding_value, None)


class RealConvolution(_Places, RealHidden):
    """Real images to real activations: convolution, max-pool, batch norm, ReLU.

    Zeros pad, which are the mean of standardised pixels and no activation of a ReLU.
    """

    def __init__(self, window, n_units, technique, padding_value, **settings):
        super().__init__(window, n_units, technique, 0, **settings)

    def freeze(self, signal):  # noqa: D102
        super().freeze(signal)
        return Signal(Reals(math.prod(self.shape)))

    def pack(self):  # noqa: D102
        slope, shift = (t.detach().numpy() for t in self.normalizer.affine())
        kept = {
            "biases": shift.astype(np.float32),
            "window": self.window,
            "rectify": isinstance(self.nonlinearity, nn.ReLU),
        }
        matrix, unit = self.weight_matrix() if self.weight_quantizer.coded else (None, 1.0)
        if matrix is not None and matrix.is_sign:
            unit = torch.as_tensor(unit).numpy()
            return MixedConv(matrix, scales=(slope * unit).astype(np.float32), **kept)
        weights = self.weight_quantizer(self.weight.detach()).numpy().astype(np.float32)
        return RealConv(weights, scales=slope.astype(np.float32), **kept)


def conv_blocks(
    shape,
    channels,
    kernel_size,
    strides,
    pool_sizes,
    technique,
    *,
    padding_value,
    residual,
    init,
    input_dropout,
    hidden_dropout,
    generator,
):
    """Return the convolution blocks of a network.

    Kernels and pools are cut to what an image can hold: of a kernel, the taps that some pixel
    meets; of a pool, as many places as there are.

    Parameters
    ----------
    shape : tuple of three ints
        Height, width and channels of the images.
    channels : sequence of int
        Units of each layer.
    kernel_size : int
        Height and width of the windows, odd.
    strides : sequence of int
        Step of the windows of each layer.
    pool_sizes : sequence of int
        Height and width of the pool behind each layer; 1 for none.
    technique : Technique
        Choices on every axis; real or coded blocks follow from its activation quantizer.
    padding_value : {-1, 0, 1}
        What pads coded images.
    residual : bool
        Whether a stream is led around every layer but the first.
    init : float or None
        Range of the initial latent weights.
    input_dropout, hidden_dropout : float
        Fraction of the inputs, and of the results of each layer, dropped in training.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    blocks : list of Block
    width : int
        Width of the rows that the last one gives.

    Raises
    ------
    ValueError
        If a stream of integers cannot begin with a real layer, or not be led around a stride.
    """
    probe = make_quantizer("activations", technique.activations, generator=generator)
    # Where coded networks start from real ones, they begin with the same blocks.
    chain = _CHAINS[residual, probe.coded or not technique.packs]
    has_real_first = probe.coded and technique.first_last == "real" and len(channels) > 0
    if has_real_first and residual:
        raise ValueError(
            f"Technique {technique.name!r} has a real first layer, and a stream of integers cannot "
            "begin with it; use residual=False or first_last='coded'."
        )
    layers = []
    for n_units, stride, pool_size in zip(channels, strides, pool_sizes, strict=True):
        kernel = tuple(min(kernel_size, 2 * size - 1) for size in shape[:2])
        places = Window(shape, kernel, stride, (1, 1)).places
        window = Window(shape, kernel, stride, tuple(min(pool_size, n) for n in places))
        is_real = has_real_first and not layers
        kind, choice = (
            (RealConvolution, real_twin(technique)) if is_real else (chain.layer, technique)
        )
        layer = kind(
            window,
            n_units,
            choice,
            padding_value,
            init=init,
            dropout=hidden_dropout if layers else input_dropout,
            generator=generator,
        )
        layers.append(layer)
        shape = layer.shape
    if has_real_first:
        levels = RealLevels(layers[0].shape, technique, generator)
        return [layers[0], *chain.blocks([levels, *layers[1:]], technique, generator)], math.prod(
            shape
        )
    return chain.blocks(layers, technique, generator), math.prod(shape)


class _Chain(NamedTuple):
    """How layers become blocks: the kind of layer, and what leads from one to the next."""

    layer: type
    blocks: Callable


def _plain(layers, technique, generator):
    """Return layers as they are."""
    return layers


def _around(layers, technique, generator):
    """Lead a stream of reals around all layers but the first."""
    return layers[:1] + [Residual([layer], _skip(layer)) for layer in layers[1:]]


def _around_codes(layers, technique, generator):
    """Lead a stream of integers around all layers but the first; they read it as codes."""

    def signs(shape):
        return StreamSign(shape[:2], shape[2], technique, generator)

    branches = [Residual([signs(layer.window.shape), layer], _skip(layer)) for layer in layers[1:]]
    return layers[:1] + branches + [signs(layer.shape) for layer in layers[-1:]]


def _skip(layer):
    """Return what a stream goes through on its way around a layer."""
    window = layer.window
    if layer.shape == window.shape:
        return []
    sizes = window.shape[:2]
    steps = tuple(min(window.stride * p, n) for p, n in zip(window.pool, sizes, strict=True))
    if window.pooled != tuple(n // step for n, step in zip(sizes, steps, strict=True)):
        raise ValueError(
            f"residual=True leads no stream of {sizes[0]} x {sizes[1]} places around a layer of "
            f"stride={window.stride} and {window.pooled[0]} x {window.pooled[1]} places: a stride "
            "must divide both sizes. Use pool_size instead."
        )
    return [Shortcut(window.shape, steps, layer.n_units)]


_CHAINS = {
    (False, False): _Chain(RealConvolution, _plain),
    (False, True): _Chain(CodedConvolution, _plain),
    (True, False): _Chain(RealConvolution, _around),
    (True, True): _Chain(CodedConvolutionSums, _around_codes),
}
