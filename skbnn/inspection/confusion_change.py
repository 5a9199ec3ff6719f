"""What binarization loses: the confusion of one model against that of another."""

import numpy as np
from sklearn.metrics import confusion_matrix

from skbnn.inspection._drawing import axes_of

__all__ = ["ConfusionChangeDisplay"]


class ConfusionChangeDisplay:
    """Which classes another model loses or wins, such as the binary twin of a float one.

    Parameters
    ----------
    reference, confusion : int ndarray of shape (n_classes, n_classes)
        Confusion matrices of both; rows are true classes.
    labels : array-like of shape (n_classes,)
        Class labels.

    Attributes
    ----------
    change : int ndarray of shape (n_classes, n_classes)
        ``confusion - reference``.
    lost : int ndarray of shape (n_classes,)
        How many examples fewer of each class are classified rightly; negative where there are
        more.
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skbnn.inspection import ConfusionChangeDisplay
    >>> truth, float_says, bits_say = [0, 0, 1, 1], [0, 0, 1, 1], [0, 1, 1, 1]
    >>> display = ConfusionChangeDisplay.from_predictions(truth, float_says, bits_say)
    >>> display.lost
    array([1, 0])
    >>> plt.close(display.figure_)
    """

    def __init__(self, reference, confusion, labels):
        self.change = np.asarray(confusion) - np.asarray(reference)
        self.lost = -np.diagonal(self.change)
        self.labels = labels

    @classmethod
    def from_estimators(cls, reference, estimator, X, y, *, ax=None):
        """Compare two fitted classifiers on the same rows.

        Parameters
        ----------
        reference : estimator
            Fitted classifier, such as the float twin.
        estimator : estimator
            Fitted classifier, such as the binary one.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            True classes.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ConfusionChangeDisplay
        """
        return cls.from_predictions(y, reference.predict(X), estimator.predict(X), ax=ax)

    @classmethod
    def from_predictions(cls, y_true, y_reference, y_pred, *, ax=None):
        """Compare the predictions of two classifiers.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True classes.
        y_reference, y_pred : array-like of shape (n_samples,)
            Predictions.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ConfusionChangeDisplay
        """
        labels = np.unique(np.concatenate([y_true, y_reference, y_pred]))
        matrices = [confusion_matrix(y_true, p, labels=labels) for p in (y_reference, y_pred)]
        return cls(*matrices, labels).plot(ax)

    def plot(self, ax=None):
        """Draw the change: orange where there are more examples than before, purple where fewer.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        self : ConfusionChangeDisplay
        """
        self.figure_, self.ax_ = axes_of(ax)
        most = max(1, np.abs(self.change).max())
        self.ax_.imshow(self.change, cmap="PuOr_r", vmin=-most, vmax=most)
        for (line, column), count in np.ndenumerate(self.change):
            if count:
                colour = "white" if abs(count) > 0.6 * most else "black"
                style = {"ha": "center", "va": "center", "color": colour, "fontsize": "small"}
                self.ax_.text(column, line, f"{count:+d}", **style)
        places = range(len(self.labels))
        self.ax_.set_xticks(places, self.labels)
        self.ax_.set_yticks(places, self.labels)
        self.ax_.set(xlabel="predicted", ylabel="true")
        return self
