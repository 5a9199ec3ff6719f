"""Inputs of a network: how raw rows become what its first block reads.

Data are prepared once, as packed bits or as standardised float32, and expanded batch by batch, so
that a training set of bits costs a bit for each of them and not a float.
"""

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from skbnn.bits import backend, pack_bits, signs, unpack_bits
from skbnn.nn.block import Signal
from skbnn.nn.quantizers import make_quantizer
from skbnn.packed.encode import Standardize, Thermometer, refuse_not_finite, thresholds_of
from skbnn.packed.images import ImageStandardize, ImageThermometer
from skbnn.packed.rows import merge_rows

__all__ = ["CodedRows", "Input", "RealRows", "Rows", "fit_input", "make_input"]

_ROW_BLOCK = 1024


class Rows(Dataset):
    """Prepared rows of a training set.

    Parameters
    ----------
    data : ndarray of shape (n_rows, ...)
        One prepared row each; equal rows are equal byte for byte.
    """

    def __init__(self, data):
        self.data = data

    def __len__(self):
        """Return the number of rows."""
        return len(self.data)

    def take(self, index):
        """Return some of the rows as rows of the same kind."""
        raise TypeError(f"{type(self).__name__} defines no take(index).")

    def batch(self, index):
        """Return some of the rows as a Tensor of shape (n, n_in): float32, or int8 for signs."""
        raise TypeError(f"{type(self).__name__} defines no batch(index).")


class CodedRows(Rows):
    """Rows of packed sign bits: uint64 words of shape (n_rows, n_words(n_bits))."""

    def __init__(self, data, n_bits):
        super().__init__(data)
        self.n_bits = n_bits

    def take(self, index):  # noqa: D102
        return CodedRows(self.data[index], self.n_bits)

    def batch(self, index):  # noqa: D102
        return torch.from_numpy(signs(unpack_bits(self.data[index], self.n_bits)))


class RealRows(Rows):
    """Rows of raw float32 features, standardised batch by batch."""

    def __init__(self, data, means, scales):
        super().__init__(data)
        self.means = means
        self.scales = scales

    def take(self, index):  # noqa: D102
        return RealRows(self.data[index], self.means, self.scales)

    def batch(self, index):  # noqa: D102
        return torch.from_numpy((self.data[index] - self.means) * self.scales)


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
        encode = self.operation.prepare(backend("auto"))
        words = np.concatenate([encode(block)[:, 0] for block in _blocks(X)])
        return CodedRows(words, self.operation.gives.n_bits)

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
        op = self.operation
        # Adding 0 makes -0.0 and 0.0 the same row.
        kept = [b[:, op.columns].astype(np.float32) + np.float32(0) for b in _blocks(X)]
        return RealRows(np.concatenate(kept), op.means, op.scales)

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
        distinct = [np.empty(0, dtype)] * layout.shape[2]
        for block in _blocks(X):
            channels = block.astype(dtype).reshape(-1, len(distinct)).T
            distinct = [np.union1d(*pair) for pair in zip(distinct, channels, strict=True)]
        # Thresholds are quantiles of distinct values, so these stand for all pixels.
        fitted = [thresholds_of(values[:, None], n_thresholds) for values in distinct]
        counts, thresholds = (np.concatenate(parts) for parts in zip(*fitted, strict=True))
        return cls(ImageThermometer(counts, thresholds, layout))

    def rows(self, X):  # noqa: D102
        encode, code = self.operation.prepare(backend("auto")), self.operation.gives
        words = []
        for block in _blocks(X):
            pixels = unpack_bits(encode(block), code.shape[2])
            words.append(pack_bits(pixels.reshape(len(block), code.n_bits)))
        return CodedRows(np.concatenate(words), code.n_bits)

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
        columns, means, scales = self._elements(np.float32)
        # Adding 0 makes -0.0 and 0.0 the same row.
        kept = [block[:, columns].astype(np.float32) + np.float32(0) for block in _blocks(X)]
        return RealRows(np.concatenate(kept), means, scales)

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
    values = np.concatenate([block.astype(np.float32) for block in _blocks(X)])
    # Merged first, so that repeated and weighted rows give the same bits of mean and scale.
    index, weight, _ = merge_rows(np.column_stack([values + np.float32(0), y]), sample_weight)
    values, share = values[index], weight / weight.sum()
    parts = [slice(start, start + 64) for start in range(0, X.shape[1], 64)]
    of_channels = (X.shape[1] // n_channels, n_channels)

    def per_channel(reduce, dtype, join=np.mean):
        found = np.empty(X.shape[1], dtype)
        for part in parts:
            found[part] = reduce(values[:, part], part)
        return join(found.reshape(of_channels), 0)

    means = per_channel(lambda block, _: share @ block.astype(np.float64), np.float64)
    of_features = np.tile(means, of_channels[0])
    variances = per_channel(
        lambda block, part: share @ np.square(block.astype(np.float64) - of_features[part]),
        np.float64,
    )
    lows = per_channel(lambda block, _: block.min(0), np.float32, np.min)
    highs = per_channel(lambda block, _: block.max(0), np.float32, np.max)
    used = np.flatnonzero(lows < highs).astype(np.int32)
    return used, means[used].astype(np.float32), (1 / np.sqrt(variances[used])).astype(np.float32)


def _blocks(X):
    """Yield the rows of a matrix in dense, contiguous blocks, checked to be finite."""
    for start in range(0, X.shape[0], _ROW_BLOCK):
        block = X[start : start + _ROW_BLOCK]
        block = np.ascontiguousarray(block.toarray() if hasattr(block, "toarray") else block)
        refuse_not_finite(block)
        yield block
