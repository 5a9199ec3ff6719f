"""What a network sees of a row: its thermometer bits."""

from functools import singledispatch

import numpy as np
from sklearn.utils.validation import check_array, check_is_fitted

from skbnn.inspection._drawing import grid_of, picture_shape, show_image
from skbnn.inspection.measure import packed_of
from skbnn.packed import ImageThermometer, Thermometer

__all__ = ["ThermometerDisplay", "thresholds_by_feature"]

_MISSING = 0.15


@singledispatch
def thresholds_by_feature(encoding):
    """Return the rising thresholds of each feature as a list of arrays.

    Parameters
    ----------
    encoding : Thermometer or ImageThermometer
        Input operation.

    Returns
    -------
    thresholds : list of ndarray
    """
    raise TypeError(
        f"{type(encoding).__name__} has no thresholds. Fit with encoding='thermometer' and a "
        "technique whose inputs are bits."
    )


@thresholds_by_feature.register
def _(encoding: Thermometer):
    order = np.argsort(encoding.features, kind="stable")
    ends = np.cumsum(encoding.counts.astype(np.int64))[:-1]
    return np.split(encoding.thresholds[order], ends)


@thresholds_by_feature.register
def _(encoding: ImageThermometer):
    ends = np.cumsum(encoding.counts.astype(np.int64))[:-1]
    channels = np.split(encoding.thresholds, ends)
    return channels * (encoding.layout.n_features // len(channels))


class ThermometerDisplay:
    """Rows as they are, and the bits that a network sees of them, threshold by threshold.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width)
        Rows.
    bits : float ndarray of shape (n_samples, n_planes, height, width)
        1 where a value reaches the feature's threshold of that rank, 0 where not, NaN where the
        feature has no such threshold.

    Attributes
    ----------
    figure_ : matplotlib Figure or SubFigure
        The figure.
    axes_ : ndarray of Axes of shape (n_samples, 1 + n_planes)
        One for each image.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skbnn import ThermometerEncoder
    >>> from skbnn.inspection import ThermometerDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> display = ThermometerDisplay.from_estimator(ThermometerEncoder().fit(X), X[:2])
    >>> display.bits.shape
    (2, 3, 8, 8)
    >>> plt.close(display.figure_)
    """

    def __init__(self, images, bits):
        self.images = images
        self.bits = bits

    @classmethod
    def from_estimator(cls, estimator, X, *, image_shape=None, figure=None):
        """Show the bits of a few rows.

        Parameters
        ----------
        estimator : estimator
            Fitted `~skbnn.ThermometerEncoder`, or an estimator that reads thermometer bits.
        X : array-like of shape (n_samples, n_features)
            A few rows.
        image_shape : tuple of int or None, default=None
            Height and width; None is a square, or else a line.
        figure : matplotlib Figure, SubFigure or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ThermometerDisplay

        Raises
        ------
        TypeError
            If the estimator does not read thermometer bits.
        ValueError
            If X is no matrix, or has other features than the estimator was fitted on.
        """
        check_is_fitted(estimator)
        packed = packed_of(estimator)
        if hasattr(estimator, "thresholds_"):
            thresholds = estimator.thresholds_
        elif packed is not None:
            thresholds = thresholds_by_feature(packed.operations[0])
        else:
            raise TypeError(f"{type(estimator).__name__} does not read thermometer bits.")
        X = check_array(X, ensure_all_finite=False)
        if X.shape[1] != len(thresholds):
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(estimator).__name__} was fitted on "
                f"{len(thresholds)}."
            )
        shape = picture_shape(image_shape, X.shape[1])
        n_planes = max(map(len, thresholds))
        table = np.full((n_planes, len(thresholds)), np.nan)
        for feature, rising in enumerate(thresholds):
            table[: len(rising), feature] = rising
        bits = np.where(np.isnan(table), np.nan, X.astype(np.float32)[:, None] >= table)
        return cls(X.reshape(len(X), *shape), bits.reshape(len(X), n_planes, *shape)).plot(figure)

    def plot(self, figure=None):
        """Draw a line for each row: as it is, then its bits from the lowest threshold on.

        A feature without a threshold of that rank is grey.

        Parameters
        ----------
        figure : matplotlib Figure, SubFigure or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        self : ThermometerDisplay
        """
        n_rows, n_planes = self.bits.shape[:2]
        self.figure_, self.axes_ = grid_of(figure, n_rows, 1 + n_planes, cell=1.2)
        for image, planes, axes in zip(self.images, self.bits, self.axes_, strict=True):
            show_image(axes[0], image)
            for plane, ax in zip(planes, axes[1:], strict=True):
                shade = np.where(np.isnan(plane), _MISSING, plane)
                show_image(ax, shade, vmin=0, vmax=1)
        for rank, ax in enumerate(self.axes_[0]):
            ax.set_title(f"≥ threshold {rank}" if rank else "as it is", fontsize="small")
        return self
