"""What estimators do with rows, labels and weights: validate, then predict from packed bits."""

import copy
import math
from collections.abc import Iterable
from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from skbnn.estimators._rows import DTYPES, DaskRows, SelectedRows, is_dask
from skbnn.packed.blocks import row_blocks
from skbnn.packed.encode import refuse_not_finite

__all__ = [
    "PackedPredictions",
    "TrainingSet",
    "image_shape_of",
    "positive_sizes",
    "take_over",
    "training_set",
]

_DTYPES = frozenset(map(np.dtype, DTYPES))
_FEATURES = ("n_features_in_", "feature_names_in_")
_LEARNED = ("_fitted_encoding", "_fitted_topology", "_n_features_out", "_optimizer_state")


class PackedPredictions:
    """Predictions of a fitted estimator from its ``packed_`` model, behind validation."""

    def predict(self, X):
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels.
        """
        X = self._validated(X)
        return self.packed_.predict(X, n_jobs=self.n_jobs)

    def _validated(self, X):
        """Return X as scikit-learn validates it; the packed model looks at its values itself.

        What validation would return as it is, is returned at once: the way through it takes ten
        times as long as the classification of a row.
        """
        if _is_valid(X, vars(self)):
            return X
        check_is_fitted(self)
        _refuse_images(self, X)
        return validate_data(
            self, X, reset=False, dtype=DTYPES, accept_sparse="csr", ensure_all_finite=False
        )

    def __sklearn_tags__(self):
        """Say that sparse input is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _is_valid(X, fitted):
    """Whether scikit-learn's validation would return X as it is, without a warning."""
    return (
        type(X) is np.ndarray
        and X.ndim == 2
        and X.dtype in _DTYPES
        and len(X) > 0
        and X.shape[1] == fitted.get("n_features_in_")
        and "packed_" in fitted
        and "feature_names_in_" not in fitted
    )


def _refuse_images(estimator, X):
    """Tell who passes images as arrays of three or four dimensions what to do."""
    shape = getattr(X, "shape", ())
    if len(shape) > 2:
        says = f" and image_shape={shape[1:]}" if hasattr(estimator, "image_shape") else ""
        raise ValueError(
            f"Found array with dim {len(shape)}; {type(estimator).__name__} expects a row of "
            f"features for each sample. Pass X.reshape(len(X), -1){says}."
        )


class TrainingSet(NamedTuple):
    """What fit is given, validated.

    Attributes
    ----------
    X : ndarray, CSR matrix or other source of rows
        Rows; slices and arrays of numbers give some of them, dense or sparse.
    y : ndarray of shape (n_rows,)
        Labels.
    weight : float64 ndarray of shape (n_rows,)
        Positive weights.
    features : dict
        ``n_features_in_`` and, where X has names of features, ``feature_names_in_``.
    """

    X: object
    y: np.ndarray
    weight: np.ndarray
    features: dict


def training_set(estimator, X, y, sample_weight, class_weight=None, *, reset):
    """Validate what fit is given and leave out rows of weight 0.

    Whether values are finite is noticed where they are read next, block by block.

    Parameters
    ----------
    estimator : estimator
        It does not change.
    X, y, sample_weight, class_weight
        As fit got them.
    reset : bool
        Whether X may have other features than in the fit before.

    Returns
    -------
    data : TrainingSet
    """
    seen = copy.copy(estimator)
    _refuse_images(estimator, X)
    if is_dask(X):
        y = np.asarray(y)
        validate_data(seen, X, y, reset=reset, skip_check_array=True)
        X, y = DaskRows(X), _check_y(y, estimator=estimator)
        check_consistent_length(X, y)
    else:
        X, y = validate_data(
            seen, X, y, reset=reset, dtype=DTYPES, accept_sparse="csr", ensure_all_finite=False
        )
    check_classification_targets(y)
    weight = _check_sample_weight(sample_weight, y, dtype=np.float64, ensure_non_negative=True)
    of_classes = _weights_of_classes(class_weight, y, weight)
    if not (np.isfinite(of_classes).all() and of_classes.min() >= 0):
        raise ValueError(
            f"class_weight must hold finite numbers that are not negative, got {class_weight}."
        )
    weight = weight * of_classes
    kept = np.flatnonzero(weight > 0)
    if len(kept) == 0:
        raise ValueError("All rows have weight 0; there is no class to learn.")
    if len(kept) < len(weight):
        # Nobody reads what is left out, and it must be finite as well.
        for _, block in row_blocks(X):
            refuse_not_finite(block)
        X, y, weight = SelectedRows(X, kept), y[kept], weight[kept]
    features = {name: value for name, value in vars(seen).items() if name in _FEATURES}
    return TrainingSet(X, y, weight, features)


def take_over(estimator, fitted):
    """Replace all that an estimator has learned before by other fitted attributes, in one step.

    An interrupt finds the estimator as it was, or as it will be.
    """
    kept = {name: value for name, value in vars(estimator).items() if not _is_learned(name)}
    estimator.__dict__ = {**kept, **fitted}


def _is_learned(name):
    """Whether an attribute is one that fit sets."""
    return name in _LEARNED or (name.endswith("_") and not name.startswith("__"))


def _weights_of_classes(class_weight, y, sample_weight):
    """Return the weight of each row's class; "balanced" counts the rows by their weights."""
    if class_weight != "balanced":
        return compute_sample_weight(class_weight, y)
    classes, codes = np.unique(y, return_inverse=True)
    counts = np.bincount(codes, weights=sample_weight)
    # A class whose rows all have weight 0 gets a weight that changes nothing.
    present = counts > 0
    share = sample_weight.sum() / (present.sum() * np.where(present, counts, 1.0))
    return share[codes]


def image_shape_of(image_shape, n_features):
    """Return height, width and channels of rows that are images; None for other rows.

    Parameters
    ----------
    image_shape : tuple of int or None
        The estimator's parameter; None is a square where the number of features is one.
    n_features : int
        Features of a row.

    Raises
    ------
    ValueError
        If the shape is none, or does not have as many features.
    """
    if image_shape is None:
        side = math.isqrt(n_features)
        return (side, side, 1) if side * side == n_features else None
    shape = positive_sizes("image_shape", image_shape)
    if len(shape) not in (2, 3) or math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape must be (height, width) or (height, width, channels) of the "
            f"{n_features} features of X, got {image_shape}."
        )
    return (*shape, 1)[:3]


def positive_sizes(name, sizes):
    """Return a number or some numbers as a tuple of int, after a check that all are positive."""
    sizes = tuple(sizes) if isinstance(sizes, Iterable) else (sizes,)
    if not all(isinstance(n, Integral) and not isinstance(n, bool) and n >= 1 for n in sizes):
        raise ValueError(f"{name} must be positive whole numbers, got {sizes}.")
    return tuple(map(int, sizes))
