"""Inputs of a network: how raw rows become what its first block reads.

Rows become packed bits once, and are expanded batch by batch, so that a training set of bits costs
a bit for each of them and not a float. Real rows stay where they are, a file perhaps, and are
standardised batch by batch. No step copies a whole training set.
"""

from hashlib import blake2b

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from skbnn.bits import backend, n_words, pack_bits, signs, unpack_bits
from skbnn.nn.block import Signal
from skbnn.nn.quantizers import make_quantizer
from skbnn.packed.blocks import row_blocks
from skbnn.packed.distinct import distinct_values
from skbnn.packed.encode import (
    Standardize,
    Thermometer,
    refuse_not_finite,
    thresholds_between,
    thresholds_of,
)
from skbnn.packed.images import ImageStandardize, ImageThermometer
from skbnn.packed.rows import merge_rows

__all__ = ["CodedRows", "Input", "RealRows", "Rows", "fit_input", "make_input"]

_ROW_BLOCK = 1024


class Rows(Dataset):
    """Prepared rows of a training set.

    Parameters
    ----------
    data : ndarray or other matrix of shape (n_prepared, ...)
        One prepared row each.
    index : int64 ndarray of shape (n_rows,), default=None
        Numbers of the rows that count, in their order; all by default.
    """

    def __init__(self, data, index=None):
        self.data = data
        self.index = np.arange(data.shape[0]) if index is None else index

    def __len__(self):
        """Return the number of rows."""
        return len(self.index)

    def take(self, index):
        """Return some of the rows as rows of the same kind, without copying them."""
        raise TypeError(f"{type(self).__name__} defines no take(index).")

    def batch(self, index):
        """Return some of the rows as a Tensor of shape (n, n_in): float32, or int8 for signs."""
        raise TypeError(f"{type(self).__name__} defines no batch(index).")

    def keys(self):
        """Return an ndarray of shape (n_prepared, ...): equal rows are equal byte for byte."""
        raise TypeError(f"{type(self).__name__} defines no keys().")


class CodedRows(Rows):
    """Rows of packed sign bits: uint64 words of shape (n_prepared, n_words(n_bits))."""

    def __init__(self, data, n_bits, index=None):
        super().__init__(data, index)
        self.n_bits = n_bits

    def take(self, index):  # noqa: D102
        return CodedRows(self.data, self.n_bits, self.index[index])

    def batch(self, index):  # noqa: D102
        return torch.from_numpy(signs(unpack_bits(self.data[self.index[index]], self.n_bits)))

    def keys(self):  # noqa: D102
        return self.data


class RealRows(Rows):
    """Raw rows, wherever they are, standardised batch by batch.

    Parameters
    ----------
    data : ndarray, sparse array, or what gives rows of either for a slice or an array of numbers
        Raw rows.
    columns : int ndarray of shape (n_used,)
        Feature of each element of a prepared row.
    means, scales : float32 ndarray of shape (n_used,)
        Mean and reciprocal standard deviation of each.
    index : int64 ndarray of shape (n_rows,), default=None
        Numbers of the rows that count.
    """

    def __init__(self, data, columns, means, scales, index=None):
        super().__init__(data, index)
        self.columns, self.means, self.scales = columns, means, scales

    def take(self, index):  # noqa: D102
        return RealRows(self.data, self.columns, self.means, self.scales, self.index[index])

    def batch(self, index):  # noqa: D102
        values = _gather(self.data, self.index[index], self.columns)
        return torch.from_numpy((values - self.means) * self.scales)

    def keys(self):  # noqa: D102
        return _digests(self.data, self.columns)


class Input(nn.Module):
    """The input operation of a packed program, as a module.

    Parameters
    ----------
    operation : Operation
        Fitted input operation.
    """

    def __init__(self, operation):
        super().__init__()
        self.operation = operation
        self.signal = Signal(operation.gives)

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

    @classmethod
    def fit(cls, X, y, sample_weight, n_thresholds, layout=None):  # noqa: D102
        dtype = np.uint8 if X.dtype in (np.uint8, np.bool_) else np.float32
        n_channels = layout.shape[2]
        blocks = (
            block.astype(dtype, copy=False).reshape(-1, n_channels) for block in _finite_blocks(X)
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


_INPUTS = {
    "thermometer": ThermometerInput,
    "standardize": StandardizeInput,
    "image-thermometer": ThermometerImages,
    "image-standardize": StandardizeImages,
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


def fit_input(technique, X, y, sample_weight, n_thresholds, layout=None):
    """Fit the kind of input that a technique's activations ask for.

    Parameters
    ----------
    technique : Technique
        Bits for one whose activations and first layer are coded, standardised reals for others.
    X, y, sample_weight, n_thresholds
        See :meth:`Input.fit`.
    layout : ImageLayout or None
        How rows are images; None where they are not.

    Returns
    -------
    inputs : Input
    """
    is_coded = make_quantizer("activations", technique.activations).coded
    is_coded = is_coded and technique.first_last == "coded"
    of_rows, of_images = (
        (ThermometerInput, ThermometerImages) if is_coded else (StandardizeInput, StandardizeImages)
    )
    kind = of_rows if layout is None else of_images
    return kind.fit(X, y, sample_weight, n_thresholds, layout)


def _moments(X, y, sample_weight, n_channels):
    """Return the channels that vary, and their means and reciprocal standard deviations.

    Feature j belongs to channel ``j % n_channels``.
    """
    of_channels = (X.shape[1] // n_channels, n_channels)
    lows, highs = np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
    for block in _finite_blocks(X):
        values = block.astype(np.float32, copy=False)
        lows, highs = np.minimum(lows, values.min(0)), np.maximum(highs, values.max(0))
    used = lows.reshape(of_channels).min(0) < highs.reshape(of_channels).max(0)
    columns = np.flatnonzero(np.tile(used, of_channels[0]))
    # Merged first, so that repeated and weighted rows give the same bits of mean and scale.
    index, weight, _ = merge_rows(_digests(X, columns), sample_weight, y)
    share, of_channels = weight / weight.sum(), (of_channels[0], -1)

    def average(function):
        total = np.zeros(len(columns))
        for start in range(0, len(index), _ROW_BLOCK):
            rows = slice(start, start + _ROW_BLOCK)
            total += share[rows] @ function(_gather(X, index[rows], columns).astype(np.float64))
        return total.reshape(of_channels).mean(0)

    means = average(lambda values: values)
    of_columns = np.tile(means, of_channels[0])
    variances = average(lambda values: np.square(values - of_columns))
    used = np.flatnonzero(used).astype(np.int32)
    return used, means.astype(np.float32), (1 / np.sqrt(variances)).astype(np.float32)


def _gather(X, index, columns):
    """Return elements of rows as float32."""
    rows = X[index]
    return _elements(rows.toarray() if hasattr(rows, "toarray") else rows, columns)


def _elements(rows, columns):
    """Return elements of dense rows as float32; adding 0 makes -0.0 and 0.0 the same number."""
    return rows.take(columns, 1).astype(np.float32) + np.float32(0)


def _digests(X, columns):
    """Return 16 bytes for each row that stand for its elements as float32.

    They are cryptographic digests: different rows have the same one with a chance of 2**-128.
    """
    digests = np.empty((X.shape[0], 2), np.uint64)
    for start, block in row_blocks(X):
        refuse_not_finite(block)
        parts = [blake2b(row, digest_size=16).digest() for row in _elements(block, columns)]
        found = np.frombuffer(b"".join(parts), np.uint64)
        digests[start : start + len(block)] = found.reshape(-1, 2)
    return digests


def _finite_blocks(X):
    """Yield the rows of a matrix in dense blocks, checked to be finite."""
    for _, block in row_blocks(X):
        refuse_not_finite(block)
        yield block
