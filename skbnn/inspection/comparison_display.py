"""The picture of a comparison: error against a cost."""

from types import SimpleNamespace

import numpy as np

from skbnn.inspection._drawing import axes_of, plain_numbers, write_names
from skbnn.inspection.measure import saved_size

__all__ = ["ComparisonDisplay"]

_COSTS = {
    "nbytes": "bytes of the saved model",
    "fit_seconds": "seconds to fit",
    "score_seconds": "seconds to score",
    "one_us": "µs for one example",
    "float32_one_us": "µs for one example in float32",
    "batch_us": "µs per example in a batch",
    "float32_us": "µs per example in a batch in float32",
    "fit_peak_nbytes": "peak memory of fit, bytes",
    "predict_peak_nbytes": "peak memory of predict, bytes",
    "binary_ops": "binary operations per example",
    "float_ops": "float operations per example",
}
_STANDARD_ERRORS = 1.96


class ComparisonDisplay:
    """Test error of models against what they cost, and the front of the best.

    A model is on the Pareto front where no other one is both cheaper and more accurate.

    Parameters
    ----------
    results : list of ModelResult
        Any objects with the attributes ``model``, ``accuracy``, ``accuracy_low``,
        ``accuracy_high`` and costs.
    n_test : int or None, default=None
        Test rows; half an error among them stands for none on a logarithmic axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure.
    front_ : list of str
        Names of the models on the Pareto front, from the cheapest on.

    See Also
    --------
    skbnn.compare_models : The table.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skbnn import BinaryLogisticRegression
    >>> from skbnn.inspection import ComparisonDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> models = {t: BinaryLogisticRegression(technique=t, max_iter=3) for t in ("float", "bnn")}
    >>> display = ComparisonDisplay.from_estimators(models, X, y, random_state=0)
    >>> display.front_
    ['bnn']
    >>> plt.close(display.figure_)
    """

    def __init__(self, results, *, n_test=None):
        self.results = results
        self.n_test = n_test

    @classmethod
    def from_estimators(cls, models, X, y, *, x="nbytes", ax=None, **params):
        """Compare models and plot the result.

        Parameters
        ----------
        models : dict of str to estimator
            Classifiers; they are cloned and fitted.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Class labels.
        x : str, default="nbytes"
            The cost, as in :meth:`plot`.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.
        **params
            Further arguments of :func:`skbnn.compare_models`.

        Returns
        -------
        display : ComparisonDisplay
        """
        from skbnn.inspection.compare import compare_models

        return compare_models(models, X, y, **params).plot(ax, x=x)

    @classmethod
    def from_cv_results(cls, cv_results, *, x=None, ax=None):
        """Plot what scikit-learn's searches or cross-validation have found.

        Parameters
        ----------
        cv_results : dict
            ``cv_results_`` of a search, or results of
            :func:`sklearn.model_selection.cross_validate` by the name of their model. Scores
            must be accuracies.
        x : str or None, default=None
            The cost: ``"fit_seconds"``, ``"score_seconds"``, or ``"nbytes"`` where
            ``cross_validate`` returned the estimators. None is ``"nbytes"`` where it is known,
            else ``"fit_seconds"``.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ComparisonDisplay
        """
        read = _from_search if "params" in cv_results else _from_cross_validation
        results = read(cv_results)
        if x is None:
            x = "nbytes" if all(hasattr(r, "nbytes") for r in results) else "fit_seconds"
        return cls(results).plot(ax, x=x)

    def plot(self, ax=None, *, x="nbytes"):
        """Draw test errors, with their confidence intervals of 95 %, against a cost.

        Both axes are logarithmic. Models without that cost are left out.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.
        x : str, default="nbytes"
            The cost: ``"nbytes"``, ``"fit_seconds"``, ``"score_seconds"``, ``"one_us"``,
            ``"batch_us"``, ``"fit_peak_nbytes"``, ``"predict_peak_nbytes"``, ``"binary_ops"`` or
            ``"float_ops"``, as far as the results have it.

        Returns
        -------
        self : ComparisonDisplay
        """
        if x not in _COSTS:
            raise ValueError(f"x must be one of {sorted(_COSTS)}, got {x!r}.")
        shown = [r for r in self.results if getattr(r, x, None)]
        if not shown:
            raise ValueError(f"None of the models has a cost {x!r}.")
        self.figure_, self.ax_ = axes_of(ax)
        least = 0.5 / self.n_test if self.n_test else 1e-4
        costs = np.array([getattr(r, x) for r in shown])
        errors = np.array([max(1 - r.accuracy, least) for r in shown])
        below = [
            e - max(1 - r.accuracy_high, least / 2) for e, r in zip(errors, shown, strict=True)
        ]
        above = [1 - r.accuracy_low - e for e, r in zip(errors, shown, strict=True)]
        front = _front(costs, errors)
        self.front_ = [shown[i].model for i in front]
        self.ax_.plot(
            costs[front], errors[front], color="0.7", drawstyle="steps-post", zorder=0, lw=1
        )
        for i, cost in enumerate(costs):
            bars = [[max(below[i], 0.0)], [max(above[i], 0.0)]]
            self.ax_.errorbar(cost, errors[i], yerr=bars, fmt="o", capsize=3)
        self.ax_.set(xscale="log", yscale="log", xlabel=_COSTS[x], ylabel="test error, %")
        self.ax_.margins(x=0.2, y=0.15)
        plain_numbers(self.ax_.xaxis)
        plain_numbers(self.ax_.yaxis, 100)
        write_names(self.ax_, [r.model for r in shown], costs, errors)
        return self


def _front(costs, errors):
    """Return the models that no other beats in both, from the cheapest on."""
    order = np.lexsort((errors, costs))
    best = np.minimum.accumulate(errors[order])
    return [i for rank, i in enumerate(order) if rank == 0 or errors[i] < best[rank - 1]]


def _result(model, scores, fit_seconds, score_seconds, **costs):
    """Return what a display shows of a model, from its mean score and standard error."""
    accuracy, stderr = scores
    reach = _STANDARD_ERRORS * stderr
    return SimpleNamespace(
        model=model,
        accuracy=float(accuracy),
        accuracy_low=float(accuracy - reach),
        accuracy_high=float(accuracy + reach),
        fit_seconds=float(fit_seconds),
        score_seconds=float(score_seconds),
        **costs,
    )


def _from_search(found):
    """Return the results of a search, one for each candidate."""
    n_splits = sum(key.startswith("split") and key.endswith("_test_score") for key in found)
    names = [", ".join(f"{k}={_short(v)}" for k, v in params.items()) for params in found["params"]]
    columns = ("mean_test_score", "std_test_score", "mean_fit_time", "mean_score_time")
    return [
        _result(name, (mean, std / np.sqrt(max(1, n_splits - 1))), fit, score)
        for name, mean, std, fit, score in zip(names, *(found[c] for c in columns), strict=True)
    ]


def _from_cross_validation(found):
    """Return the results of cross-validations, one for each model."""
    results = []
    for name, cv in found.items():
        scores = cv["test_score"]
        sizes = [saved_size(estimator)[0] for estimator in cv.get("estimator", [])]
        moments = scores.mean(), scores.std(ddof=1) / np.sqrt(len(scores))
        costs = {"nbytes": int(np.median(sizes))} if sizes else {}
        times = (np.median(cv[key]) for key in ("fit_time", "score_time"))
        results.append(_result(name, moments, *times, **costs))
    return results


def _short(value):
    """Return a parameter's value as a label shows it."""
    return getattr(value, "name", None) or str(value)
