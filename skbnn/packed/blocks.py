"""Rows in blocks: small ones that stay in cache, shared out over threads, and larger ones.

Rows in a memory map are given back block by block, so that a file may be larger than memory.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from skbnn.packed.mapped import MappedRows

__all__ = ["check_rows", "row_blocks", "run_blocks"]

_ROW_BLOCK = 512
_BLOCK_BYTES = 1 << 25
_DTYPES = frozenset(np.dtype(t) for t in (np.float32, np.float64, np.uint8, np.bool_))


def check_rows(X, n_features):
    """Return X as a 2-D numeric matrix of the right width, without looking at its values.

    Parameters
    ----------
    X : array-like or sparse array of shape (n_rows, n_features)
        Rows.
    n_features : int
        The right width.

    Returns
    -------
    X : ndarray, or CSR where sparse

    Raises
    ------
    ValueError
        If X has another number of dimensions or another width, or is not numeric.
    """
    if not (type(X) is np.ndarray or hasattr(X, "toarray")):
        X = np.asarray(X)
    if X.ndim != 2:
        hint = " Reshape one row with X.reshape(1, -1)." if X.ndim == 1 else ""
        raise ValueError(f"Expected a 2-D array of rows, got {X.ndim} dimension(s).{hint}")
    if X.shape[1] != n_features:
        raise ValueError(
            f"X has {X.shape[1]} features, but this model reads {n_features} features."
        )
    if X.dtype not in _DTYPES and X.dtype.kind not in "fiu":
        raise ValueError(f"X must hold numbers, got dtype {X.dtype}.")
    return X.tocsr() if hasattr(X, "tocsr") else X


def run_blocks(run, X, *, n_jobs=1, smallest=0, largest=_ROW_BLOCK):
    """Apply a function to blocks of rows and gather what it returns.

    Parameters
    ----------
    run : callable
        Maps a block of rows, a C-contiguous ndarray of a dtype that input operations read, to an
        ndarray with one result for each row. It may run in several threads at once.
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        Rows; a C-contiguous ndarray of such a dtype is not copied.
    n_jobs : int or None, default=1
        Threads that share the blocks; -1 for one on each core, None for 1.
    smallest : int, default=0
        Rows that are worth a thread: with fewer for each of them, there are fewer threads.
    largest : int, default=512
        Rows of a block; fewer where threads would otherwise wait for the last one.

    Returns
    -------
    results : ndarray of shape (n_rows, ...)
    """
    n_rows, is_readable = X.shape[0], _is_readable(X)
    if not is_readable:
        # What a block has to be copied for must stay small.
        largest = min(largest, _ROW_BLOCK)
    n_threads = min(_n_threads(n_jobs), n_rows // max(1, smallest))
    size = largest
    if n_threads > 1:
        size = min(largest, max(_ROW_BLOCK, n_rows // (4 * n_threads)))
    pages = MappedRows(X)
    if n_rows <= size:
        results = run(X if is_readable else _block(X))
        pages.give_back(0, n_rows)
        return results
    # No rows have results too, and tell of what shape they are.
    none = run(_block(X[:0]))
    out = np.empty((n_rows, *none.shape[1:]), none.dtype)

    def run_block(start):
        stop = start + size
        out[start:stop] = run(_block(X[start:stop]))
        pages.give_back(start, stop)

    starts = range(0, n_rows, size)
    if n_threads > 1:
        with ThreadPoolExecutor(n_threads) as pool:
            # Listing the results passes on an error of a block.
            list(pool.map(run_block, starts))
    else:
        for start in starts:
            run_block(start)
    return out


def row_blocks(X):
    """Yield the rows of a matrix in dense blocks of some megabytes.

    Parameters
    ----------
    X : ndarray, sparse array, or what has a shape and gives rows of either for a slice
        Rows.

    Yields
    ------
    start : int
        Number of the block's first row.
    block : C-contiguous ndarray of shape (n, n_features)
        Its rows.
    """
    pages = MappedRows(X)
    # A float64 an element, which is what a sparse block may become.
    size = max(1, _BLOCK_BYTES // max(1, 8 * X.shape[1]))
    for start in range(0, X.shape[0], size):
        yield start, _block(X[start : start + size])
        pages.give_back(start, start + size)


def _block(rows):
    """Return rows C-contiguous and of a dtype that the input operations read."""
    if _is_readable(rows):
        return rows
    if hasattr(rows, "toarray"):
        rows = rows.toarray()
    return np.ascontiguousarray(rows, rows.dtype if rows.dtype in _DTYPES else np.float64)


def _is_readable(rows):
    """Whether input operations can read rows as they are."""
    return isinstance(rows, np.ndarray) and rows.dtype in _DTYPES and rows.flags.c_contiguous


def _n_threads(n_jobs):
    """Return a number of threads from scikit-learn's ``n_jobs``."""
    if n_jobs is None:
        return 1
    if n_jobs == 0:
        raise ValueError("n_jobs must be positive, or negative to count from all cores.")
    return n_jobs if n_jobs > 0 else max(1, _n_cores() + 1 + n_jobs)


def _n_cores():
    """Return the number of cores that this process may use, which can be a part of all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
