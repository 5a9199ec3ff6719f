"""Inputs of a network: how raw rows become what its first block reads.

Rows become packed bits once; rows of numbers stay where they are. No step copies a whole training
set.
"""

import numpy as np
import torch
from torch import nn

from skbnn.bits import backend, n_words, pack_bits, unpack_bits
from skbnn.nn.block import Signal
from skbnn.nn.named import named
from skbnn.nn.quantizers import make_quantizer
from skbnn.nn.rows import CodedRows, RealRows, digests, finite_blocks, gather
from skbnn.packed.blocks import row_blocks
from skbnn.packed.distinct import distinct_values
from skbnn.packed.encode import (
    BitPlanes,
    Standardize,
    Thermometer,
    as_pixels,
    thresholds_between,
    thresholds_of,
)
from skbnn.packed.images import ImagePlanes, ImageStandardize, ImageThermometer
from skbnn.packed.rows import merge_rows

__all__ = ["Input", "fit_input", "make_input"]

_ROW_BLOCK = 1024
# Rows of a normal distribution are hardly ever further away.
_FARTHEST = 4.0


class Input(nn.Module):
    """The input operation of a packed program, as a module.

    Parameters
    ----------
    operation : Operation
        Fitted input operation.

    Attributes
    ----------
    gives_signs : bool
        Whether prepared rows are -1 and +1.
    grain : float or None
        What prepared rows hold whole multiples of, -127 to 127 of them; None if of nothing.
    unit : float
        Real value of one integer step of a code.
    """

    gives_signs = False
    grain = None
    unit = 1.0

    def __init__(self, operation):
        super().__init__()
        self.operation = operation
        self.signal = Signal(operation.gives, self.unit)

    def worth(self, bit):
        """Return the value of an element of a code whose bits are all 0, or all 1."""
        code, sign = self.operation.gives, 1 if bit else -1
        return (code.offset + sign * sum(code.scales)) * self.unit

    @classmethod
    def fit(cls, X, y, sample_weight, n_thresholds, layout=None):
        """Fit the operation to a training set.

        Parameters
        ----------
        X : ndarray or sparse array of shape (n_rows, n_features)
            Raw rows.
        y : int64 ndarray of shape (n_rows,)
            Class indices.
        sample_weight : float64 ndarray of shape (n_rows,)
            Positive weights.
        n_thresholds : int
            Thresholds per feature, or per channel of an image, for inputs of bits.
        layout : ImageLayout or None
            How rows are images, for inputs of images.

        Returns
        -------
        inputs : Input
        """
        raise TypeError(f"{cls.__name__} defines no fit.")

    def rows(self, X):
        """Prepare rows for training.

        Parameters
        ----------
        X : ndarray or sparse array of shape (n_rows, n_features)
            Raw rows.

        Returns
        -------
        rows : Rows
        """
        raise TypeError(f"{type(self).__name__} defines no rows(X).")


class ThermometerInput(Input):
    """Thermometer bits; see :class:`skbnn.packed.Thermometer`."""

    gives_signs, grain = True, 1.0

    @classmethod
    def fit(cls, X, y, sample_weight, n_thresholds, layout=None):  # noqa: D102
        return cls(Thermometer(*thresholds_of(X, n_thresholds)))

    def rows(self, X):  # noqa: D102
        encode, n_bits = self.operation.prepare(backend("auto")), self.operation.gives.n_bits
        words = np.empty((X.shape[0], n_words(n_bits)), np.uint64)
        for start, block in row_blocks(X):
            words[start : start + len(block)] = encode(block)[:, 0]
        return CodedRows(words, n_bits)

    def forward(self, X):
        """Return the +-1 codes of raw rows as a float64 Tensor."""
        values = X[:, torch.from_numpy(self.operation.features)].to(torch.float32)
        on = values >= torch.from_numpy(self.operation.thresholds.astype(np.float32))
        return on.double() * 2 - 1


class StandardizeInput(Input):
    """Standardised reals; see :class:`skbnn.packed.Standardize`."""

    @classmethod
    def fit(cls, X, y, sample_weight, n_thresholds, layout=None):  # noqa: D102
        used, means, scales = _moments(X, y, sample_weight, X.shape[1])
        return cls(Standardize(used, means, scales, X.shape[1]))

    def rows(self, X):  # noqa: D102
        return RealRows(X, self.operation.columns, self.operation.means, self.operation.scales)

    def forward(self, X):
        """Return standardised raw rows as a float64 Tensor."""
        op = self.operation
        values = X[:, torch.from_numpy(op.columns.astype(np.int64))].double()
        means, scales = (torch.from_numpy(a.astype(np.float64)) for a in (op.means, op.scales))
        return (values - means) * scales


class ThermometerImages(Input):
    """Thermometer bits of pixels; see :class:`skbnn.packed.ImageThermometer`."""

    gives_signs, grain = True, 1.0

    @classmethod
    def fit(cls, X, y, sample_weight, n_thresholds, layout=None):  # noqa: D102
        dtype = np.uint8 if X.dtype in (np.uint8, np.bool_) else np.float32
        n_channels = layout.shape[2]
        blocks = (
            block.astype(dtype, copy=False).reshape(-1, n_channels) for block in finite_blocks(X)
        )
        # Thresholds are quantiles of distinct values, so these stand for all pixels.
        distinct = distinct_values(blocks, n_channels, dtype)
        fitted = [thresholds_between([values], n_thresholds, dtype) for values in distinct]
        counts, thresholds = (np.concatenate(parts) for parts in zip(*fitted, strict=True))
        return cls(ImageThermometer(counts, thresholds, layout))

    def rows(self, X):  # noqa: D102
        encode, code = self.operation.prepare(backend("auto")), self.operation.gives
        words = np.empty((X.shape[0], n_words(code.n_bits)), np.uint64)
        for start, block in row_blocks(X):
            pixels = unpack_bits(encode(block), code.shape[2])
            packed = pack_bits(pixels.reshape(len(block), code.n_bits))
            words[start : start + len(block)] = packed
        return CodedRows(words, code.n_bits)

    def forward(self, X):
        """Return the +-1 codes of raw rows as a float64 Tensor."""
        op = self.operation
        values = X[:, torch.from_numpy(op.layout.columns(op.channels))].to(torch.float32)
        limits = np.tile(op.thresholds.astype(np.float32), op.layout.n_pixels)
        return (values >= torch.from_numpy(limits)).double() * 2 - 1


class StandardizeImages(Input):
    """Standardised pixels; see :class:`skbnn.packed.ImageStandardize`."""

    @classmethod
    def fit(cls, X, y, sample_weight, n_thresholds, layout=None):  # noqa: D102
        return cls(ImageStandardize(*_moments(X, y, sample_weight, layout.shape[2]), layout))

    def rows(self, X):  # noqa: D102
        return RealRows(X, *self._elements(np.float32))

    def forward(self, X):
        """Return standardised raw rows as a float64 Tensor."""
        columns, means, scales = map(torch.from_numpy, self._elements(np.float64))
        return (X[:, columns].double() - means) * scales

    def _elements(self, dtype):
        """Return feature, mean and scale of each element of a row."""
        op = self.operation
        columns = op.layout.columns(op.channels.astype(np.int64))
        means, scales = (np.tile(a, op.layout.n_pixels) for a in (op.means, op.scales))
        return columns, means.astype(dtype), scales.astype(dtype)


class _Planes(Input):
    """What both inputs of bit planes share: whole numbers from 0 to 255, in steps of 1/128.

    Their sums are exact in float32 up to 65,000 inputs, as training computes them.
    """

    unit = 2.0**-8

    @property
    def columns(self):
        """Feature of each element of a row, an int64 ndarray."""
        raise TypeError(f"{type(self).__name__} defines no columns.")

    def rows(self, X):  # noqa: D102
        for _, block in row_blocks(X):
            as_pixels(block)
        columns = self.columns
        steps = np.full(len(columns), 2 * self.unit, np.float32)
        return RealRows(X, columns, np.zeros(len(columns), np.float32), steps)

    def forward(self, X):
        """Return the numbers of raw rows as a float64 Tensor."""
        return X[:, torch.from_numpy(self.columns)].double() * (2 * self.unit)


class PlanesInput(_Planes):
    """Numbers of 8 bits; see :class:`skbnn.packed.BitPlanes`."""

    @classmethod
    def fit(cls, X, y, sample_weight, n_thresholds, layout=None):  # noqa: D102
        lows, highs = np.full(X.shape[1], 255, np.uint8), np.zeros(X.shape[1], np.uint8)
        for _, block in row_blocks(X):
            pixels = as_pixels(block)
            lows, highs = np.minimum(lows, pixels.min(0)), np.maximum(highs, pixels.max(0))
        return cls(BitPlanes(np.flatnonzero(lows < highs).astype(np.int32), X.shape[1]))

    @property
    def columns(self):  # noqa: D102
        return self.operation.features


class PlanesImages(_Planes):
    """Pixels of 8 bits; see :class:`skbnn.packed.ImagePlanes`."""

    @classmethod
    def fit(cls, X, y, sample_weight, n_thresholds, layout=None):  # noqa: D102
        return cls(ImagePlanes(layout))

    @property
    def columns(self):  # noqa: D102
        layout = self.operation.layout
        return layout.columns(np.arange(layout.shape[2]))


_INPUTS = {
    "thermometer": ThermometerInput,
    "bit-planes": PlanesInput,
    "standardize": StandardizeInput,
    "image-thermometer": ThermometerImages,
    "image-planes": PlanesImages,
    "image-standardize": StandardizeImages,
}
_CODES = {
    "thermometer": (ThermometerInput, ThermometerImages),
    "planes": (PlanesInput, PlanesImages),
}


def make_input(operation):
    """Return the module of a fitted input operation.

    Parameters
    ----------
    operation : Operation
        First operation of a packed program.

    Returns
    -------
    inputs : Input
    """
    return _INPUTS[operation.kind](operation)


def fit_input(technique, X, y, sample_weight, n_thresholds, layout=None, encoding="thermometer"):
    """Fit the kind of input that a technique's activations ask for.

    Parameters
    ----------
    X, y, sample_weight, n_thresholds
        See :meth:`Input.fit`.
    technique, layout, encoding
        See :func:`kind_of_input`.

    Returns
    -------
    inputs : Input
    """
    kind = kind_of_input(technique, layout, encoding)
    return kind.fit(X, y, sample_weight, n_thresholds, layout)


def kind_of_input(technique, layout=None, encoding="thermometer"):
    """Return the class of the input that a technique's activations ask for.

    Parameters
    ----------
    technique : Technique
        Bits for one whose activations and first layer are coded, standardised reals for others.
    layout : ImageLayout or None
        How rows are images; None where they are not.
    encoding : {"thermometer", "planes"}, default="thermometer"
        Which bits.

    Returns
    -------
    kind : type
        A subclass of :class:`Input`.
    """
    is_coded = make_quantizer("activations", technique.activations).coded
    is_coded = is_coded and technique.first_last == "coded"
    reals = StandardizeInput, StandardizeImages
    of_rows, of_images = named("encoding", _CODES, encoding) if is_coded else reals
    return of_rows if layout is None else of_images


def _moments(X, y, sample_weight, n_channels):
    """Return the channels that vary, their means, and scales that bring them to a common size.

    That is one over the standard deviation, unless some row would be further than ``_FARTHEST``
    away from the mean then: it is brought to there. A pixel that one image in thousands lights
    would count hundreds of times as much in that image as all others do.

    Feature j belongs to channel ``j % n_channels``.
    """
    of_channels = (X.shape[1] // n_channels, n_channels)
    lows, highs = np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
    for block in finite_blocks(X):
        values = block.astype(np.float32, copy=False)
        lows, highs = np.minimum(lows, values.min(0)), np.maximum(highs, values.max(0))
    lows, highs = lows.reshape(of_channels).min(0), highs.reshape(of_channels).max(0)
    used = lows < highs
    columns = np.flatnonzero(np.tile(used, of_channels[0]))
    # Merged first, so that repeated and weighted rows give the same bits of mean and scale.
    index, weight, _ = merge_rows(digests(X, columns), sample_weight, y)
    share, of_channels = weight / weight.sum(), (of_channels[0], -1)

    def average(function):
        total = np.zeros(len(columns))
        for start in range(0, len(index), _ROW_BLOCK):
            rows = slice(start, start + _ROW_BLOCK)
            total += share[rows] @ function(gather(X, index[rows], columns).astype(np.float64))
        return total.reshape(of_channels).mean(0)

    means = average(lambda values: values)
    of_columns = np.tile(means, of_channels[0])
    variances = average(lambda values: np.square(values - of_columns))
    farthest = np.maximum(highs[used] - means, means - lows[used])
    used = np.flatnonzero(used).astype(np.int32)
    scales = np.minimum(1 / np.sqrt(variances), _FARTHEST / farthest)
    # Features that hardly vary would be scaled beyond float32.
    scales = np.minimum(scales, np.finfo(np.float32).max)
    return used, means.astype(np.float32), scales.astype(np.float32)
