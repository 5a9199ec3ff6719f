"""Memory maps larger than memory: rows are given back once they have been read.

Pages of a mapped file that a process has read count as its memory until the system needs them for
something else. Who reads a file once from end to end can say so, and then holds no more than the
rows at hand, however large the file is.
"""

import mmap

import numpy as np

__all__ = ["MappedRows"]

_NEIGHBOURS = 1 << 21


class MappedRows:
    """The pages of a matrix's rows, where the matrix lies in a file that is mapped read-only.

    For any other matrix nothing happens. A file that can be written to is left alone.

    Parameters
    ----------
    X : ndarray or other matrix
        Rows.
    """

    def __init__(self, X):
        self.map = None if getattr(X, "base", None) is None else _map_below(X)
        if self.map is not None:
            self.row = X.strides[0]
            origin = np.frombuffer(self.map, np.uint8)
            self.start = X.ctypes.data - origin.ctypes.data
            self.end = len(origin)

    def give_back(self, start, stop):
        """Let go of the memory of rows; should they be read again, they come from the file."""
        if self.map is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        # A page that is read brings its neighbours along, also those that were given back before:
        # all of a large folio, in Linux.
        first = max(0, self.start + start * self.row - _NEIGHBOURS)
        first -= first % mmap.PAGESIZE
        length = min(self.start + stop * self.row, self.end) - first
        self.map.madvise(mmap.MADV_DONTNEED, first, length)


def _map_below(X):
    """Return the mapping in which the rows of an array follow each other, if it is read-only."""
    below = X
    while type(below) is np.ndarray:
        below = below.base
    if not isinstance(below, np.memmap) or below.mode != "r":
        return None
    while isinstance(below, np.memmap):
        below = below.base
    if not isinstance(below, mmap.mmap) or not hasattr(below, "madvise"):
        return None
    follow = len(X) and X.strides[0] >= X[0].nbytes and X[0].flags.c_contiguous
    return below if follow else None
