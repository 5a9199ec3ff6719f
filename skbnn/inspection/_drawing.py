"""What the displays draw with: axes, names beside points, small pictures."""

import numpy as np

from skbnn.estimators._validation import image_shape_of

__all__ = ["axes_of", "grid_of", "picture_shape", "plain_numbers", "show_image", "write_names"]

_PLACES = [(6, 5), (6, -13), (-6, 5), (-6, -13), (0, 11), (0, -19), (6, 18), (-6, 18), (6, -26)]
_ALIGNED = {-1: "right", 0: "center", 1: "left"}


def axes_of(ax):
    """Return figure and axes: those given, or new ones.

    Parameters
    ----------
    ax : matplotlib Axes or None
        Given axes.

    Returns
    -------
    figure : matplotlib Figure
    ax : matplotlib Axes
    """
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    return ax.figure, ax


def grid_of(figure, n_lines, n_columns, cell=1.1):
    """Return a figure and a grid of small axes without ticks.

    Parameters
    ----------
    figure : matplotlib Figure or SubFigure, or None
        Where to draw; None makes a new figure.
    n_lines, n_columns : int
        Size of the grid.
    cell : float, default=1.1
        Inches of a cell of a new figure.

    Returns
    -------
    figure : matplotlib Figure or SubFigure
    axes : ndarray of Axes of shape (n_lines, n_columns)
    """
    import matplotlib.pyplot as plt

    if figure is None:
        size = (max(2.0, cell * n_columns), max(1.5, (cell + 0.2) * n_lines))
        figure = plt.figure(figsize=size, layout="constrained")
    axes = figure.subplots(n_lines, n_columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    return figure, axes


def plain_numbers(axis, scale=1):
    """Label a logarithmic axis with plain numbers, and a short one at 2 and 5 too.

    Parameters
    ----------
    axis : matplotlib Axis
        Axis of x or y, its limits set.
    scale : float, default=1
        What numbers are multiplied with: 100 for shares in per cent.
    """
    low, high = axis.get_view_interval()
    marks = "25" if high < 40 * low else ""
    axis.set_major_formatter(lambda value, _: f"{scale * value:,.10g}")
    axis.set_minor_formatter(
        lambda value, _: f"{scale * value:,.10g}" if f"{value:e}"[0] in marks else ""
    )


def picture_shape(image_shape, n_features):
    """Return height and width of rows, and three colours where they have them.

    Parameters
    ----------
    image_shape : tuple of int or None
        As estimators take it; None is a square, or else a line.
    n_features : int
        Features of a row.

    Returns
    -------
    shape : tuple of int
    """
    height, width, channels = image_shape_of(image_shape, n_features) or (1, n_features, 1)
    return (height, width) if channels == 1 else (height, width, channels)


def show_image(ax, image, title=None, **style):
    """Draw a small picture.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to draw.
    image : ndarray of shape (height, width) or (height, width, 3)
        Picture.
    title : str or None, default=None
        What stands above.
    **style
        Arguments of ``imshow``.
    """
    ax.imshow(image, **{"cmap": "gray_r", "interpolation": "nearest", **style})
    if title is not None:
        ax.set_title(title, fontsize="small")


def write_names(ax, names, x, y):
    """Write names beside points, where there is room.

    Parameters
    ----------
    ax : matplotlib Axes
        Where the points are, its limits and scales set.
    names : list of str
        One for each point.
    x, y : array-like of shape (n_points,)
        The points.
    """
    renderer = ax.figure.get_figure(root=True).canvas.get_renderer()
    # The layout moves axes when it is first drawn.
    ax.figure.get_figure(root=True).draw_without_rendering()
    dots = ax.transData.transform(np.column_stack([x, y]))
    taken = []
    for rank in np.argsort(x, kind="stable"):
        texts = []
        for place in _PLACES:
            text = ax.annotate(
                names[rank],
                (x[rank], y[rank]),
                xytext=place,
                textcoords="offset points",
                ha=_ALIGNED[np.sign(place[0])],
                fontsize="small",
            )
            box = text.get_window_extent(renderer)
            texts.append(
                (_overlap(box, taken, dots, ax.get_window_extent()), len(texts), text, box)
            )
            if texts[-1][0] == 0:
                break
        *_, best, box = min(texts, key=lambda found: found[:2])
        taken.append(box)
        for *_, text, _box in texts:
            if text is not best:
                text.remove()


def _overlap(box, taken, dots, frame):
    """Return how much a name would cover of others and of points, or stick out."""
    width = sum(max(0.0, min(box.x1, o.x1) - max(box.x0, o.x0)) for o in taken if _meet(box, o))
    inside = (dots[:, 0] > box.x0) & (dots[:, 0] < box.x1)
    covered = inside & (dots[:, 1] > box.y0) & (dots[:, 1] < box.y1)
    out = max(0.0, frame.x0 - box.x0) + max(0.0, box.x1 - frame.x1)
    return width + 10 * covered.sum() + out


def _meet(box, other):
    """Whether two boxes share a line."""
    return box.y0 < other.y1 and other.y0 < box.y1
