"""One honest table for several models on the same data."""

import csv
import json
from dataclasses import asdict, fields
from html import escape
from io import StringIO

import numpy as np
from joblib import Parallel, delayed
from sklearn.utils import check_random_state

from skbnn.inspection.measure import ModelResult, measure, split_rows, summarise

__all__ = ["Comparison", "compare_models"]

_COLUMNS = {
    "model": "model",
    "accuracy": "accuracy",
    "stderr": "+-",
    "nbytes": "bytes",
    "size": "stored as",
    "ratio": "smaller",
    "fit_seconds": "fit s",
    "one_us": "one, us",
    "batch_us": "batch, us/row",
    "float32_us": "in float32",
}


class Comparison:
    """Measured side by side: the result of :func:`compare_models`.

    Parameters
    ----------
    results : list of ModelResult
        One for each model.
    reference : dict of str to str
        Name of the model that each one's ratio refers to.
    setting : dict
        Rows, features, classes, repeats and the source of the split.

    Attributes
    ----------
    estimators_ : dict of str to estimator
        The fitted clones of the last repeat.
    """

    def __init__(self, results, reference, setting, estimators):
        self.results = results
        self.reference = reference
        self.setting = setting
        self.estimators_ = estimators

    def to_frame(self):
        """Return the table as a pandas DataFrame, one row for each model.

        Returns
        -------
        frame : DataFrame
        """
        import pandas as pd

        names = [field.name for field in fields(ModelResult)]
        return pd.DataFrame([asdict(r) for r in self.results], columns=names).set_index("model")

    def to_dict(self):
        """Return everything as plain data, ready for JSON.

        Returns
        -------
        comparison : dict
        """
        return {
            "setting": self.setting,
            "reference": self.reference,
            "results": [asdict(result) for result in self.results],
        }

    def to_json(self):
        """Return :meth:`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def to_csv(self):
        """Return the table as CSV text, full precision."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(field.name for field in fields(ModelResult))
        writer.writerows(asdict(result).values() for result in self.results)
        return text.getvalue()

    def plot(self, ax=None):
        """Plot test error against bytes, both on logarithmic axes.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ax : matplotlib Axes
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
        # Half an error in the test set keeps a model without errors on a logarithmic axis.
        least = 0.5 / self.setting["n_test"]
        # Labels go above and below in turn, so that those of neighbours keep apart.
        by_size = sorted(self.results, key=lambda result: result.nbytes)
        for rank, result in enumerate(by_size):
            error = max(1 - result.accuracy, least)
            below = min(result.stderr, error - least / 2)
            ax.errorbar(
                result.nbytes,
                error,
                yerr=[[max(below, 0.0)], [result.stderr]],
                fmt="o",
                capsize=3,
            )
            ax.annotate(
                result.model,
                (result.nbytes, error),
                xytext=(6, 5 if rank % 2 else -13),
                textcoords="offset points",
                fontsize="small",
            )
        ax.set(xscale="log", yscale="log", xlabel="bytes of the saved model", ylabel="test error")
        ax.margins(x=0.2, y=0.2)
        return ax

    def _cells(self):
        """Return the table's cells as text, the head first."""
        rows = [list(_COLUMNS.values())]
        for r in self.results:
            rows.append(
                [
                    r.model,
                    f"{r.accuracy:.4f}",
                    f"{r.stderr:.4f}",
                    f"{r.nbytes:,}",
                    r.size,
                    "-" if r.ratio is None else f"{r.ratio:.1f}x",
                    f"{r.fit_seconds:.2f}",
                    f"{r.one_us:.1f}",
                    f"{r.batch_us:.3f}",
                    "-" if r.float32_us is None else f"{r.float32_us:.3f}",
                ]
            )
        return rows

    def __str__(self):
        """Return the table as text."""
        rows = self._cells()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for row in rows:
            cells = [
                cell.ljust(width) if left else cell.rjust(width)
                for cell, width, left in zip(row, widths, _is_text(), strict=True)
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def __repr__(self):
        """Return the table, as ``print`` shows it."""
        return str(self)

    def _repr_html_(self):
        """Return the table as HTML, for notebooks and the gallery."""
        head, *rows = self._cells()

        def line(tag, cells):
            styled = (
                f'<{tag} style="text-align:{"left" if left else "right"}">{escape(cell)}</{tag}>'
                for cell, left in zip(cells, _is_text(), strict=True)
            )
            return f"<tr>{''.join(styled)}</tr>"

        body = "".join(line("td", row) for row in rows)
        return f"<table><thead>{line('th', head)}</thead><tbody>{body}</tbody></table>"


def _is_text():
    """Return which columns hold text, and stand to the left."""
    return [name in ("model", "size") for name in _COLUMNS]


def compare_models(
    models,
    X,
    y,
    *,
    X_test=None,
    y_test=None,
    test_size=0.25,
    n_repeats=1,
    reference=None,
    random_state=None,
    n_jobs=None,
    progress=None,
):
    """Fit models on the same rows and compare accuracy, size and speed.

    Parameters
    ----------
    models : dict of str to estimator
        Classifiers; they are cloned, so that yours stay as they are.
    X : array-like of shape (n_samples, n_features)
        Rows.
    y : array-like of shape (n_samples,)
        Class labels.
    X_test, y_test : array-like, default=None
        Test rows and labels; None sets a part of X and y aside, another one in each repeat.
    test_size : float, default=0.25
        Size of that part.
    n_repeats : int, default=1
        Fits of each model, with different seeds.
    reference : str or dict of str to str, default=None
        Name of the model that size ratios refer to, or one for each model, such as its float
        twin; models that the dict leaves out get no ratio. None is the first model.
    random_state : int, RandomState instance or None, default=None
        Source of splits and of the ``random_state`` of models that have one which is None.
    n_jobs : int, default=None
        Processes that share the fits. Models then compete for the machine, and their times with
        them: leave it at None where times matter.
    progress : callable, default=None
        Called with a line of text as each fit ends.

    Returns
    -------
    comparison : Comparison
        ``print`` shows a table; ``to_frame()``, ``to_dict()`` and ``plot()`` give it in other
        forms.

    Raises
    ------
    ValueError
        If there is no model or no repeat, a reference is none of the models, or one of X_test
        and y_test is missing.

    Notes
    -----
    Bytes are those of the file that :meth:`PackedModel.save` writes, where the fitted estimator
    has a ``packed_`` model, else of its pickle. Times are medians of several calls of the
    estimator's own ``predict``, validation included.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skbnn import BinaryMLPClassifier, compare_models
    >>> X, y = load_digits(return_X_y=True)
    >>> models = {t: BinaryMLPClassifier(technique=t, max_iter=3) for t in ("float", "bnn")}
    >>> comparison = compare_models(models, X, y, random_state=0)
    >>> comparison.to_frame()["ratio"].round(1).to_dict()
    {'float': 1.0, 'bnn': 18.2}
    """
    if not models:
        raise ValueError("There is no model to compare.")
    reference = next(iter(models)) if reference is None else reference
    if isinstance(reference, str):
        reference = dict.fromkeys(models, reference)
    unknown = sorted({*reference, *reference.values()} - set(models))
    if unknown:
        raise ValueError(f"reference names {unknown}, which are none of {list(models)}.")
    if (X_test is None) != (y_test is None):
        raise ValueError("Pass both X_test and y_test, or neither.")
    if n_repeats < 1:
        raise ValueError(f"n_repeats must be at least 1, got {n_repeats}.")

    seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n_repeats)
    splits = [split_rows(X, y, X_test, y_test, test_size, int(seed)) for seed in seeds]
    jobs = [
        (name, estimator, split, int(seed))
        for seed, split in zip(seeds, splits, strict=True)
        for name, estimator in models.items()
    ]
    measured = Parallel(n_jobs=n_jobs)(delayed(measure)(*job, progress) for job in jobs)

    by_model = {name: [m for m in measured if m["model"] == name] for name in models}
    n_test = len(splits[0][3])
    nbytes = {name: int(np.median([r["nbytes"] for r in runs])) for name, runs in by_model.items()}
    results = [
        summarise(name, runs, nbytes.get(reference.get(name)), n_test)
        for name, runs in by_model.items()
    ]
    setting = {
        "n_train": len(splits[0][1]),
        "n_test": n_test,
        "n_features": int(np.shape(X)[1]),
        "n_classes": len(np.unique(y)),
        "n_repeats": n_repeats,
        "test_set": "given" if X_test is not None else "split off",
    }
    fitted = {name: runs[-1]["estimator"] for name, runs in by_model.items()}
    return Comparison(results, reference, setting, fitted)
