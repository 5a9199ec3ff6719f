"""Equal rows of a training set, merged."""

import numpy as np

__all__ = ["merge_rows"]


def merge_rows(data, sample_weight):
    """Merge equal rows, adding their weights, in an order that depends on their content alone.

    Training on the result makes a weight mean repetitions exactly: a row of weight 2 and the row
    given twice lead to the same training set, and the order of the rows passed does not matter.

    Parameters
    ----------
    data : ndarray of shape (n_rows, width)
        Rows; equal ones are equal byte for byte. Give the label a column where equal rows of
        different classes must stay apart.
    sample_weight : float64 ndarray of shape (n_rows,)
        Positive weights.

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
    _, index, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return index, np.bincount(inverse, weights=sample_weight), inverse
