"""Rows that are taken as they are asked for, so that no training set is copied whole."""

import numpy as np

__all__ = ["DTYPES", "DaskRows", "SelectedRows", "is_dask"]

DTYPES = (np.float64, np.float32, np.uint8, np.bool_)
"""Dtypes that are read as they are; anything else becomes float64."""


def is_dask(X):
    """Whether X is a Dask array, which computes its chunks when they are asked for."""
    return hasattr(X, "__dask_graph__") and hasattr(X, "rechunk")


class SelectedRows:
    """Some rows of a matrix.

    Parameters
    ----------
    X : ndarray, CSR matrix or other source of rows
        The matrix.
    index : int64 ndarray of shape (n_rows,)
        Numbers of the rows, rising.
    """

    def __init__(self, X, index):
        self.X, self.index = X, index
        self.shape, self.dtype = (len(index), X.shape[1]), X.dtype

    def __getitem__(self, rows):
        """Return the rows of a slice or of an array of numbers."""
        return self.X[self.index[rows]]


class DaskRows:
    """Rows of a Dask array, computed chunk by chunk.

    Slices and rising numbers are read chunk by chunk. Who asks for rows in no order, as training on
    real inputs does, gets them from memory: they are then computed once, into an array of bytes or
    float32.

    Parameters
    ----------
    X : dask.array.Array of shape (n_rows, n_features)
        The array.

    Raises
    ------
    ValueError
        If it has not two dimensions, has no rows, or does not know how many rows its chunks have.
    """

    def __init__(self, X):
        if X.ndim != 2:
            raise ValueError(f"Expected a 2-D array of rows, got {X.ndim} dimension(s).")
        if np.isnan(X.shape[0]):
            raise ValueError(
                "The Dask array does not know how many rows its chunks have: call "
                "X.compute_chunk_sizes() first, or X.to_dask_array(lengths=True) for a data frame."
            )
        if X.shape[0] == 0:
            raise ValueError("Found array with 0 sample(s), while a minimum of 1 is required.")
        self.X = X.rechunk({1: -1}) if X.dtype in DTYPES else X.astype(np.float64).rechunk({1: -1})
        self.shape, self.dtype = self.X.shape, self.X.dtype
        self.ends = np.cumsum(self.X.chunks[0])
        self.chunk, self.number, self.held = None, None, None

    def __getitem__(self, rows):
        """Return the rows of a slice or of an array of numbers."""
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(self.shape[0])
            rows = np.arange(start, stop)
        elif self.held is not None or (rows[1:] < rows[:-1]).any():
            return self._hold()[rows]
        numbers = np.searchsorted(self.ends, rows, side="right")
        parts = [self._of_chunk(n, rows[numbers == n]) for n in np.unique(numbers).tolist()]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([np.empty((0, self.shape[1]), self.dtype), *parts])

    def _of_chunk(self, number, rows):
        """Return rows of one chunk, the last of which is kept."""
        if number != self.number:
            self.chunk, self.number = np.asarray(self.X.blocks[number]), number
        return self.chunk[rows - (int(self.ends[number]) - len(self.chunk))]

    def _hold(self):
        """Return all rows, computed once."""
        if self.held is None:
            narrow = np.float32 if self.dtype == np.float64 else self.dtype
            self.held, start = np.empty(self.shape, narrow), 0
            for end in self.ends:
                self.held[start:end] = self[start:end]
                start = end
            self.chunk = self.number = None
        return self.held
