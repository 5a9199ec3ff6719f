"""Sizes and shapes that users give, checked."""

import math
from collections.abc import Iterable
from numbers import Integral

__all__ = ["image_shape_of", "positive_sizes"]


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
    if not all(isinstance(size, Integral) and size >= 1 for size in sizes):
        raise ValueError(f"{name} must be positive whole numbers, got {sizes}.")
    return tuple(map(int, sizes))
