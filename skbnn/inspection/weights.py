"""Weights of the first layer as images."""

from functools import singledispatch

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbnn.bits import unpack_bits
from skbnn.inspection._drawing import grid_of, picture_shape, show_image
from skbnn.inspection.measure import packed_of
from skbnn.packed import (
    BinaryConv,
    BinaryLinear,
    BitMatrix,
    BitPlanes,
    ImagePlanes,
    ImageStandardize,
    ImageThermometer,
    MixedConv,
    MixedLinear,
    NearestCentroid,
    NearestCodeword,
    RealConv,
    RealLinear,
    Standardize,
    Thermometer,
)

__all__ = ["WeightsDisplay", "features_of", "weights_of"]


def decode(matrix):
    """Return what a bit matrix is worth, a float64 ndarray of shape (n_units, n_bits)."""
    signs = 2.0 * unpack_bits(matrix.words, matrix.n_bits) - 1
    worth = (matrix.plane_scales[..., None] * signs).sum(0)
    return worth + matrix.unit_offsets[:, None]


@singledispatch
def weights_of(operation):
    """Return the weights of an operation.

    Register an implementation for each kind of operation whose weights can be shown.

    Parameters
    ----------
    operation : Operation
        A product, or nearest codewords.

    Returns
    -------
    weights : float ndarray of shape (n_units, n_inputs)
    """
    raise TypeError(
        f"The first layer, {type(operation).__name__}, has no weights that see a whole row; they "
        "cannot be shown."
    )


@weights_of.register(BinaryLinear)
@weights_of.register(BinaryConv)
@weights_of.register(MixedLinear)
@weights_of.register(MixedConv)
@weights_of.register(RealLinear)
@weights_of.register(RealConv)
def _(operation):
    weights = operation.weights
    return decode(weights) if isinstance(weights, BitMatrix) else weights


@weights_of.register
def _(operation: NearestCodeword):
    return decode(operation.codewords)


@weights_of.register
def _(operation: NearestCentroid):
    return operation.centroids


@singledispatch
def features_of(encoding):
    """Return which feature each input of the first layer comes from.

    Register an implementation for each kind of input operation.

    Parameters
    ----------
    encoding : Operation
        Reads raw rows.

    Returns
    -------
    features : int64 ndarray of shape (n_inputs,)
    """
    raise TypeError(f"What {type(encoding).__name__} makes of features is unknown.")


@features_of.register(Thermometer)
@features_of.register(BitPlanes)
def _(encoding):
    return encoding.features


@features_of.register
def _(encoding: Standardize):
    return encoding.columns


@features_of.register(ImagePlanes)
@features_of.register(ImageThermometer)
@features_of.register(ImageStandardize)
def _(encoding):
    """Of a window of blocks of pixels: all channels and thresholds of a pixel are one."""
    n_pixels = encoding.layout.block**2
    return np.repeat(np.arange(n_pixels), encoding.shape[2] // n_pixels)


def _dense_images(weights, features, n_features, image_shape):
    """Return weights, averaged over the inputs of each feature, as pictures."""
    sums = np.zeros((len(weights), n_features))
    np.add.at(sums, (slice(None), features), weights)
    means = sums / np.maximum(np.bincount(features, minlength=n_features), 1)
    return means.reshape(len(weights), *picture_shape(image_shape, n_features))


def _window_images(weights, window, features, block):
    """Return weights of windows, averaged over the inputs of each pixel, as pictures."""
    height, width = window.kernel
    taps = weights.reshape(-1, len(features))
    pixels = _dense_images(taps, features, block**2, (block, block))
    pixels = pixels.reshape(len(weights), height, width, block, block)
    return pixels.transpose(0, 1, 3, 2, 4).reshape(len(weights), height * block, width * block)


class WeightsDisplay:
    """Weights of the first layer as images, one for each unit.

    A pixel that the network sees as several bits has a weight for each; the picture shows their
    mean. In packed layers a unit whose bit falls as its sum rises is stored with negated weights.

    Parameters
    ----------
    images : ndarray of shape (n_units, height, width)
        Weights.
    names : list of str or None, default=None
        What stands above each image.

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
    >>> from skbnn import BinaryLogisticRegression
    >>> from skbnn.inspection import WeightsDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = BinaryLogisticRegression(max_iter=3, random_state=0).fit(X, y)
    >>> display = WeightsDisplay.from_estimator(clf)
    >>> display.images.shape
    (10, 8, 8)
    >>> plt.close(display.figure_)
    """

    def __init__(self, images, *, names=None):
        self.images = images
        self.names = names

    @classmethod
    def from_estimator(cls, estimator, *, n_units=32, n_columns=10, image_shape=None, figure=None):
        """Show the first layer of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted network of dense layers or convolutions, or K-means. Units of a network
            without hidden layers are named after the classes, clusters after theirs.
        n_units : int, default=32
            Units to show, from the first on.
        n_columns : int, default=10
            Images side by side.
        image_shape : tuple of int or None, default=None
            Height and width of dense layers' rows; None is a square, or else a line.
        figure : matplotlib Figure, SubFigure or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : WeightsDisplay

        Raises
        ------
        TypeError
            If the estimator has no packed model, or a first layer that is no such product.
        ValueError
            If n_units or n_columns is not positive.
        """
        check_is_fitted(estimator)
        if n_units < 1 or n_columns < 1:
            raise ValueError(
                f"n_units and n_columns must be positive, got {n_units} and {n_columns}."
            )
        packed = packed_of(estimator)
        if packed is None:
            raise TypeError(
                f"{type(estimator).__name__} has no packed model whose weights to show."
            )
        first = packed.operations[0]
        if len(packed.operations) == 1:
            layer, features = first, np.arange(packed.n_features)
        else:
            layer, features = packed.operations[1], features_of(first)
        weights = weights_of(layer)[:n_units]
        names = [str(label) for label in packed.classes[_owners(layer, len(packed.operations))]]
        window = getattr(layer, "window", None)
        if window is None:
            images = _dense_images(weights, features, packed.n_features, image_shape)
        else:
            images = _window_images(weights, window, features, first.layout.block)
        return cls(images, names=names or None).plot(figure, n_columns=n_columns)

    def plot(self, figure=None, *, n_columns=10):
        """Draw the images: red for negative weights, blue for positive ones.

        Parameters
        ----------
        figure : matplotlib Figure, SubFigure or None, default=None
            Where to draw; None makes a new figure.
        n_columns : int, default=10
            Images side by side.

        Returns
        -------
        self : WeightsDisplay
        """
        n_columns = min(n_columns, len(self.images))
        n_lines = -(-len(self.images) // n_columns)
        self.figure_, self.axes_ = grid_of(figure, n_lines, n_columns, cell=0.9)
        most = np.abs(self.images).max() or 1.0
        for i, (ax, image) in enumerate(zip(self.axes_.flat, self.images, strict=False)):
            title = None if self.names is None else self.names[i]
            show_image(ax, image, title, cmap="RdBu", vmin=-most, vmax=most)
        return self


def _owners(layer, n_operations):
    """Return the class index of each unit, where units belong to classes."""
    if hasattr(layer, "owners"):
        return layer.owners
    return np.arange(layer.gives.width) if n_operations == 2 else np.arange(0)
