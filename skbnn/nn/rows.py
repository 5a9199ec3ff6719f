"""Prepared rows of a training set, expanded batch by batch.

Bits stay packed, so that a training set of bits costs a bit for each of them and not a float.
Numbers stay where they are, a file perhaps, and are scaled batch by batch.
"""

from hashlib import blake2b

import numpy as np
import torch
from torch.utils.data import Dataset

from skbnn.bits import signs, unpack_bits
from skbnn.packed.blocks import row_blocks
from skbnn.packed.encode import refuse_not_finite

__all__ = ["CodedRows", "RealRows", "Rows", "digests", "finite_blocks", "gather"]


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
    """Raw rows, wherever they are, shifted and scaled batch by batch.

    Parameters
    ----------
    data : ndarray, sparse array, or what gives rows of either for a slice or an array of numbers
        Raw rows.
    columns : int ndarray of shape (n_used,)
        Feature of each element of a prepared row.
    means, scales : float32 ndarray of shape (n_used,)
        What is subtracted from each, and what multiplies the difference.
    index : int64 ndarray of shape (n_rows,), default=None
        Numbers of the rows that count.
    """

    def __init__(self, data, columns, means, scales, index=None):
        super().__init__(data, index)
        self.columns, self.means, self.scales = columns, means, scales

    def take(self, index):  # noqa: D102
        return RealRows(self.data, self.columns, self.means, self.scales, self.index[index])

    def batch(self, index):  # noqa: D102
        values = gather(self.data, self.index[index], self.columns)
        return torch.from_numpy((values - self.means) * self.scales)

    def keys(self):  # noqa: D102
        return digests(self.data, self.columns)


def gather(X, index, columns):
    """Return elements of rows as float32."""
    rows = X[index]
    return _elements(rows.toarray() if hasattr(rows, "toarray") else rows, columns)


def _elements(rows, columns):
    """Return elements of dense rows as float32; adding 0 makes -0.0 and 0.0 the same number."""
    return rows.take(columns, 1).astype(np.float32) + np.float32(0)


def digests(X, columns):
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


def finite_blocks(X):
    """Yield the rows of a matrix in dense blocks, checked to be finite."""
    for _, block in row_blocks(X):
        refuse_not_finite(block)
        yield block
