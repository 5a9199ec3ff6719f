"""Equal rows of a training set, merged."""

import numpy as np

__all__ = ["merge_rows"]

_BLOCK = 1 << 16


def merge_rows(data, sample_weight, labels=None):
    """Merge equal rows, adding their weights, in an order that depends on their content alone.

    Training on the result makes a weight mean repetitions exactly: a row of weight 2 and the row
    given twice lead to the same training set, and the order of the rows passed does not matter.

    Parameters
    ----------
    data : ndarray of shape (n_rows, width)
        Rows; equal ones are equal byte for byte. They are not copied.
    sample_weight : float64 ndarray of shape (n_rows,)
        Positive weights.
    labels : int64 ndarray of shape (n_rows,), default=None
        Classes that keep equal rows apart.

    Returns
    -------
    index : int64 ndarray of shape (n_distinct,)
        One row of each kind.
    sample_weight : float64 ndarray of shape (n_distinct,)
        Summed weights.
    inverse : int64 ndarray of shape (n_rows,)
        Position in ``index`` of each row's kind.
    """
    data = np.ascontiguousarray(data)
    if data.shape[1] == 0:
        data = np.zeros((len(data), 1), np.uint8)
    keys = data.view(np.dtype((np.void, data.itemsize * data.shape[1]))).ravel()
    order = np.argsort(keys, kind="stable")
    begins = _differ(keys, order)
    if labels is not None and not begins.all():
        # Compared byte by byte too, the first one first.
        ranks = labels.astype("<u8").view(">u8")
        order = order[np.lexsort((ranks[order], np.cumsum(begins)))]
        begins = _differ(keys, order) | _differ(labels, order)
    kinds = np.cumsum(begins) - 1
    inverse = np.empty(len(data), np.int64)
    inverse[order] = kinds
    return order[begins], np.bincount(inverse, weights=sample_weight), inverse


def _differ(values, order):
    """Return which of the values, taken in an order, differ from the one before."""
    differ = np.ones(len(order), bool)
    for start in range(1, len(order), _BLOCK):
        here = order[start : start + _BLOCK]
        before = order[start - 1 : start - 1 + len(here)]
        differ[start : start + _BLOCK] = values[here] != values[before]
    return differ
