"""scikit-learn's callback interface, or nothing where scikit-learn is too old to have it."""

__all__ = ["CallbackSupportMixin", "FitReport", "with_callbacks"]

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:
        """Stands in where scikit-learn has no callbacks."""

    def with_callbacks(method):
        """Return the method as it is."""
        return method


class FitReport:
    """Tells scikit-learn's callbacks how a fit goes on.

    Parameters
    ----------
    estimator : estimator
        The estimator in fit.
    X, y : array-like
        Its training data.
    max_iter : int
        Epochs at most.
    """

    def __init__(self, estimator, X, y, max_iter):
        self.data = {"estimator": estimator, "X": X, "y": y}
        start = getattr(estimator, "_init_callback_context", None)
        self.context = start(max_subtasks=max_iter) if start else None
        if self.context:
            self.context.call_on_fit_task_begin(**self.data)

    def epoch_ended(self, index, attributes):
        """Report the end of an epoch.

        Parameters
        ----------
        index : int
            Number of the epoch.
        attributes : callable
            Returns the fitted attributes as they are at the moment, for callbacks that predict.

        Returns
        -------
        stop : bool
            Whether a callback asks to stop.
        """
        if not self.context:
            return False
        task = self.context.subcontext(task_name=f"epoch {index}")
        task.call_on_fit_task_begin(**self.data)
        return task.call_on_fit_task_end(**self.data, reconstruction_attributes=attributes)

    def ended(self, attributes):
        """Report the end of the fit."""
        if self.context:
            self.context.call_on_fit_task_end(**self.data, reconstruction_attributes=attributes)
