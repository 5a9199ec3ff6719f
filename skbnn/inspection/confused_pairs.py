"""Pairs of classes that a model confuses, side by side with what they are taken for."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from sklearn.metrics import pairwise_distances_argmin
from sklearn.utils.validation import column_or_1d

from skbnn.inspection._drawing import grid_of, picture_shape, show_image
from skbnn.inspection.hard_examples import hard_examples

__all__ = ["ConfusedPair", "ConfusedPairsDisplay"]


@dataclass(frozen=True)
class ConfusedPair:
    """A misclassified example beside the nearest one of the class that it was taken for.

    Parameters
    ----------
    true, predicted : object
        Class labels.
    count : int
        How many examples of the one class were taken for the other.
    index : int
        Row of the hardest of them.
    nearest : int
        Row of the nearest example whose true class is the predicted one.
    """

    true: object
    predicted: object
    count: int
    index: int
    nearest: int


class ConfusedPairsDisplay:
    """Misclassified images beside the nearest image of the class they were taken for.

    Parameters
    ----------
    pairs : list of ConfusedPair
        What to show.
    images : ndarray of shape (n_samples, height, width)
        All images.

    Attributes
    ----------
    figure_ : matplotlib Figure or SubFigure
        The figure.
    axes_ : ndarray of Axes
        One for each image.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skbnn import KMeansClassifier
    >>> from skbnn.inspection import ConfusedPairsDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = KMeansClassifier(n_clusters=10, random_state=0).fit(X, y)
    >>> display = ConfusedPairsDisplay.from_estimator(clf, X, y, n_pairs=2)
    >>> len(display.pairs)
    2
    >>> plt.close(display.figure_)
    """

    def __init__(self, pairs, images):
        self.pairs = pairs
        self.images = images

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, pairs=None, n_pairs=6, image_shape=None, figure=None
    ):
        """Show what a fitted classifier confuses; hardest examples first.

        Parameters
        ----------
        estimator : estimator
            Fitted classifier.
        X : array-like of shape (n_samples, n_features)
            Rows that are images.
        y : array-like of shape (n_samples,)
            True classes.
        pairs : list of pairs of class labels, or None, default=None
            Classes to show, such as ``[(2, 7), (4, 9)]``, each in both directions where there are
            examples. None takes the most confused ones.
        n_pairs : int, default=6
            How many to show where ``pairs`` is None.
        image_shape : tuple of int or None, default=None
            Height and width; None is a square, or else a row.
        figure : matplotlib Figure, SubFigure or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ConfusedPairsDisplay
        """
        found = hard_examples(estimator, X, y)
        return cls._from_order(
            X, y, found.index, found.predicted, pairs, n_pairs, image_shape, figure
        )

    @classmethod
    def from_predictions(
        cls, y_true, y_pred, X, *, pairs=None, n_pairs=6, image_shape=None, figure=None
    ):
        """Show what predictions confuse; of equal pairs, the first rows.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,)
            True and predicted classes.
        X : array-like of shape (n_samples, n_features)
            Rows that are images.
        pairs, n_pairs, image_shape, figure
            As in :meth:`from_estimator`.

        Returns
        -------
        display : ConfusedPairsDisplay
        """
        order = np.arange(len(y_true))
        return cls._from_order(
            X, y_true, order, np.asarray(y_pred), pairs, n_pairs, image_shape, figure
        )

    @classmethod
    def _from_order(cls, X, y, order, predicted, pairs, n_pairs, image_shape, figure):
        """Find the pairs among rows in the given order and draw them."""
        X, y = np.asarray(X), column_or_1d(y)
        if n_pairs < 1:
            raise ValueError(f"n_pairs must be positive, got {n_pairs}.")
        _check_pairs(pairs, y)
        found = _find(X, y, order, predicted, pairs)
        if pairs is None:
            found = sorted(found, key=lambda pair: -pair.count)[:n_pairs]
        if not found:
            raise ValueError("None of these classes is taken for another: nothing to show.")
        images = X.reshape(len(X), *picture_shape(image_shape, X.shape[1]))
        return cls(found, images).plot(figure)

    def plot(self, figure=None):
        """Draw two images for each pair: the example, and its nearest of the other class.

        Parameters
        ----------
        figure : matplotlib Figure, SubFigure or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        self : ConfusedPairsDisplay
        """
        n_columns = min(3, len(self.pairs))
        n_lines = -(-len(self.pairs) // n_columns)
        self.figure_, self.axes_ = grid_of(figure, n_lines, 2 * n_columns, cell=1.2)
        shown = self.axes_.reshape(-1, 2)
        for pair, (left, right) in zip(self.pairs, shown, strict=False):
            title = f"{pair.true} → {pair.predicted} ({pair.count})"
            show_image(left, self.images[pair.index], title)
            show_image(right, self.images[pair.nearest], f"nearest {pair.predicted}")
        return self


def _check_pairs(pairs, y):
    """Refuse what is no list of pairs of classes."""
    known = set(np.unique(y).tolist())
    for pair in () if pairs is None else pairs:
        if np.shape(pair) != (2,):
            raise ValueError(f"pairs must be a list of two classes each, as [(2, 7)], got {pairs}.")
        unknown = sorted(set(pair) - known)
        if unknown:
            raise ValueError(f"pairs names classes that y does not have: {unknown}.")


def _find(X, y, order, predicted, pairs):
    """Return the confused pairs: given ones in both directions, or all."""
    if pairs is None:
        pairs = combinations(np.unique(y), 2)
    truth, found = y[order], []
    for a, b in pairs:
        for true, other in ((a, b), (b, a)):
            taken = order[(truth == true) & (predicted == other)]
            candidates = np.flatnonzero(y == other)
            if len(taken) and len(candidates):
                nearest = pairwise_distances_argmin(X[taken[:1]], X[candidates])[0]
                index, near = int(taken[0]), int(candidates[nearest])
                found.append(ConfusedPair(true, other, len(taken), index, near))
    return found
