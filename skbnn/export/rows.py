"""Rows as C reads them."""

import numpy as np

from skbnn.packed.checks import require

__all__ = ["as_input", "input_dtype", "make_test_rows"]

_N_TEST_ROWS = 4


def input_dtype(model):
    """Return the dtype of the features that a model reads: uint8 where fit saw it, else float32."""
    thresholds = getattr(model.operations[0], "thresholds", None)
    return np.dtype(np.uint8) if thresholds is None else thresholds.dtype


def make_test_rows(model, rows):
    """Return rows in the type in which C reads them."""
    dtype = input_dtype(model)
    if rows is not None:
        rows = as_input(rows, dtype)
        require(len(rows) >= 1, "test_rows must hold a row at least; None takes rows at random.")
        return rows
    rng, shape = np.random.default_rng(0), (_N_TEST_ROWS, model.n_features)
    if dtype == np.uint8:
        return rng.integers(0, 256, shape, np.uint8)
    # Values at thresholds, where a comparison could go wrong, and around them.
    thresholds = model.operations[0].thresholds
    thresholds = thresholds if len(thresholds) else np.zeros(1, np.float32)
    spread = thresholds.std(dtype=np.float64) * rng.standard_normal(shape, np.float32)
    rows = rng.choice(thresholds, shape) + spread * (rng.random(shape) < 0.5)
    most = np.finfo(np.float32).max
    return np.clip(rows, -most, most).astype(np.float32)


def as_input(X, dtype):
    """Return rows in the type in which C reads them, refusing what it cannot hold.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        Rows.
    dtype : dtype
        uint8 or float32.

    Returns
    -------
    X : ndarray
        C-contiguous.

    Raises
    ------
    ValueError
        If X holds values that are not finite, or no bytes where bytes are read.
    """
    X = np.asarray(X.toarray() if hasattr(X, "toarray") else X)
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.ascontiguousarray(X, dtype)
    if dtype == np.uint8:
        require(bool((rows == X).all()), "This model reads bytes: X must hold whole numbers from 0 "
                "to 255.")  # fmt: skip
    require(
        bool(np.isfinite(rows).all()), "Input X contains NaN or infinity; fill it in, or clip it."
    )
    return rows
