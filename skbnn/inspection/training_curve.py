"""How a fit went: loss, and weights that changed their sign."""

from sklearn.utils.validation import check_is_fitted

from skbnn.inspection._drawing import axes_of

__all__ = ["TrainingCurveDisplay"]


class TrainingCurveDisplay:
    """Training loss and flip ratio of each epoch.

    The flip ratio is the share of latent weights that changed their sign in an epoch. It falls
    as the weights settle; where it stays high, a lower learning rate may help, and where it is
    near zero from the start, nothing is learned.

    Parameters
    ----------
    losses : list of float
        Training loss of each epoch.
    flip_ratios : list of float or None, default=None
        Flip ratio of each epoch.
    name : str or None, default=None
        Name in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the loss.
    flip_ax_ : matplotlib Axes or None
        Axes of the flip ratio, at the right.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from skbnn import BinaryMLPClassifier
    >>> from skbnn.inspection import TrainingCurveDisplay
    >>> net = BinaryMLPClassifier((16,), random_state=0).fit(*load_iris(return_X_y=True))
    >>> display = TrainingCurveDisplay.from_estimator(net)
    >>> len(display.losses), len(display.flip_ratios)
    (30, 30)
    >>> plt.close(display.figure_)
    """

    def __init__(self, losses, flip_ratios=None, *, name=None):
        self.losses = losses
        self.flip_ratios = flip_ratios
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, *, name=None, ax=None):
        """Show the fit of an estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``loss_curve_`` and perhaps ``flip_ratios_``.
        name : str or None, default=None
            Name in the legend; None is the class of the estimator.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : TrainingCurveDisplay

        Raises
        ------
        ValueError
            If the estimator has not recorded its losses.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "loss_curve_"):
            raise ValueError(f"{type(estimator).__name__} has recorded no loss_curve_ to show.")
        flips = getattr(estimator, "flip_ratios_", None)
        name = type(estimator).__name__ if name is None else name
        return cls(estimator.loss_curve_, flips, name=name).plot(ax)

    def plot(self, ax=None):
        """Draw the loss, and the flip ratio on axes at the right, all logarithmic.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        self : TrainingCurveDisplay
        """
        self.figure_, self.ax_ = axes_of(ax)
        epochs = range(1, len(self.losses) + 1)
        lines = self.ax_.plot(epochs, self.losses, color="C0", label="loss")
        self.ax_.set(yscale="log", xlabel="epoch", ylabel="training loss", title=self.name or "")
        self.flip_ax_ = None
        # A ratio of 0 has no place on a logarithmic axis; a curve of zeros would have no scale.
        if self.flip_ratios is not None and any(self.flip_ratios):
            self.flip_ax_ = self.ax_.twinx()
            lines += self.flip_ax_.plot(
                epochs, self.flip_ratios, color="C1", ls="--", label="flip ratio"
            )
            self.flip_ax_.set(yscale="log", ylabel="flip ratio")
            self.ax_.legend(handles=lines)
        return self
