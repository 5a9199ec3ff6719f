"""Examples that a model struggles with, ranked by their margin."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import check_is_fitted, column_or_1d

__all__ = ["HardExamples", "class_scores", "hard_examples"]


def class_scores(estimator, X):
    """Return one real score for each class, whatever way an estimator has to give them.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier with ``decision_function`` or ``predict_proba``.
    X : array-like of shape (n_samples, n_features)
        Rows.

    Returns
    -------
    scores : float64 ndarray of shape (n_samples, n_classes)
        The greatest is that of the predicted class.

    Raises
    ------
    TypeError
        If the estimator has none of them.
    """
    check_is_fitted(estimator)
    if hasattr(estimator, "decision_function"):
        scores = np.asarray(estimator.decision_function(X), np.float64)
    elif hasattr(estimator, "predict_proba"):
        scores = np.asarray(estimator.predict_proba(X), np.float64)
    else:
        raise TypeError(
            f"{type(estimator).__name__} gives no scores to rank examples by; it needs a "
            "decision_function or predict_proba."
        )
    return np.column_stack([-scores, scores]) / 2 if scores.ndim == 1 else scores


@dataclass(frozen=True, eq=False)
class HardExamples:
    """Examples from the hardest to the easiest: the result of :func:`hard_examples`.

    Parameters
    ----------
    index : int64 ndarray of shape (n_examples,)
        Rows of X.
    margin : float64 ndarray of shape (n_examples,)
        Score of the true class minus the greatest of the others; negative where the prediction
        is wrong.
    true, predicted : ndarray of shape (n_examples,)
        Class labels.
    """

    index: np.ndarray
    margin: np.ndarray
    true: np.ndarray
    predicted: np.ndarray

    def __len__(self):
        """Return the number of examples."""
        return len(self.index)

    def to_frame(self):
        """Return the examples as a pandas DataFrame, the hardest first.

        Returns
        -------
        frame : DataFrame
            Columns ``margin``, ``true`` and ``predicted``; the index is the row of X.
        """
        import pandas as pd

        columns = {name: getattr(self, name) for name in ("margin", "true", "predicted")}
        return pd.DataFrame(columns, index=pd.Index(self.index, name="row"))

    def __str__(self):
        """Return the log, a line for each example."""
        lines = [
            f"row {i}: true {t}, predicted {p}, margin {m:.4g}"
            for i, m, t, p in zip(self.index, self.margin, self.true, self.predicted, strict=True)
        ]
        return "\n".join(lines)


def hard_examples(estimator, X, y, *, n_examples=None):
    r"""Rank examples by how near a model is to taking them for another class, or how far gone.

    The margin of a row with the true class :math:`t` is :math:`s_t - \max_{c \ne t} s_c`. Its
    unit is that of the estimator's scores: logits for networks, distances for K-means.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier.
    X : array-like of shape (n_samples, n_features)
        Rows.
    y : array-like of shape (n_samples,)
        True classes, all known to the estimator.
    n_examples : int or None, default=None
        Number of examples to return, the hardest ones; None for all.

    Returns
    -------
    examples : HardExamples
        From the least margin on; of equal ones, in the order of X.

    Raises
    ------
    ValueError
        If y has a label that the estimator does not know or another length than X, or n_examples
        is not positive.
    TypeError
        If the estimator gives no scores.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skbnn import KMeansClassifier
    >>> from skbnn.inspection import hard_examples
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = KMeansClassifier(n_clusters=10, random_state=0).fit(X, y)
    >>> hardest = hard_examples(clf, X, y, n_examples=3)
    >>> bool((hardest.true != hardest.predicted).all())
    True
    """
    if n_examples is not None and n_examples < 1:
        raise ValueError(f"n_examples must be positive, or None for all, got {n_examples}.")
    scores, y = class_scores(estimator, X), column_or_1d(y)
    classes = np.asarray(estimator.classes_)
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        raise ValueError(f"y has labels that the estimator does not know: {unknown}.")
    if len(y) != len(scores):
        raise ValueError(f"X has {len(scores)} rows, but y has {len(y)} labels.")
    rows, truth = np.arange(len(y)), np.searchsorted(classes, y)
    others = scores.copy()
    others[rows, truth] = -np.inf
    margin = scores[rows, truth] - others.max(1)
    order = np.argsort(margin, kind="stable")[:n_examples]
    predicted = classes[scores.argmax(1)]
    return HardExamples(order, margin[order], y[order], predicted[order])
