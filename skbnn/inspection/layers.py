"""Bytes and bits of each layer."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbnn.inspection._drawing import axes_of
from skbnn.inspection.measure import packed_of

__all__ = ["LayerBytesDisplay"]


class LayerBytesDisplay:
    """Bytes of each layer as it is stored, beside the same layer in float32.

    Parameters
    ----------
    summary : Summary
        Of `skbnn.PackedModel.summary`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from skbnn import BinaryMLPClassifier
    >>> from skbnn.inspection import LayerBytesDisplay
    >>> net = BinaryMLPClassifier((64,), random_state=0).fit(*load_iris(return_X_y=True))
    >>> display = LayerBytesDisplay.from_estimator(net)
    >>> [layer.weight_bits for layer in display.summary.layers]
    [0, 1, 1]
    >>> plt.close(display.figure_)
    """

    def __init__(self, summary):
        self.summary = summary

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Show the layers of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted, with a packed model.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : LayerBytesDisplay

        Raises
        ------
        TypeError
            If the estimator has no packed model.
        """
        check_is_fitted(estimator)
        packed = packed_of(estimator)
        if packed is None:
            raise TypeError(f"{type(estimator).__name__} has no packed model whose layers to show.")
        return cls(packed.summary()).plot(ax)

    def plot(self, ax=None):
        """Draw two bars for each layer, on a logarithmic axis, with its bits a weight.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        self : LayerBytesDisplay
        """
        self.figure_, self.ax_ = axes_of(ax)
        layers, places = self.summary.layers, np.arange(len(self.summary.layers))
        for offset, key, label in (
            (-0.2, "float32_nbytes", "in float32"),
            (0.2, "nbytes", "as stored"),
        ):
            # A layer without weights of its own would have no float32 bar.
            sizes = np.array([getattr(layer, key) for layer in layers], float)
            bars = self.ax_.barh(places + offset, np.where(sizes > 0, sizes, np.nan), 0.4)
            bars.set_label(label)
        names = [
            f"{layer.name}\n{layer.shape}"
            + (
                f", {layer.weight_bits} bit{'s' * (layer.weight_bits > 1)}"
                * (layer.weight_bits > 0)
            )
            for layer in layers
        ]
        self.ax_.set_yticks(places, names, fontsize="small")
        self.ax_.invert_yaxis()
        self.ax_.set(xscale="log", xlabel="bytes")
        self.ax_.legend()
        return self
