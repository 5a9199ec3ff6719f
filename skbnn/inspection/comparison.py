"""The result of a comparison, as a table in several forms."""

import csv
import json
from dataclasses import asdict, fields
from html import escape
from io import StringIO

import numpy as np

from skbnn.inspection.comparison_display import ComparisonDisplay
from skbnn.inspection.results import ModelResult, summarise

__all__ = ["Comparison"]

_MEGABYTE = 1e6


def _spread(name):
    """Return the function to a time and half its spread, in per cent."""

    def text(result):
        middle = getattr(result, name)
        low, high = getattr(result, f"{name}_low"), getattr(result, f"{name}_high")
        digits = 3 if middle < 1 else 2 if middle < 10 else 1
        share = 50 * (high - low) / middle if middle else 0.0
        return f"{middle:.{digits}f}" + (f" ±{share:.0f}%" if share >= 0.5 else "")

    return text


def _number(name, form, scale=1.0):
    """Return the function to the text of a number that may be missing."""

    def text(result):
        value = getattr(result, name)
        return "-" if value is None else format(value / scale, form)

    return text


_COLUMNS = {
    "model": lambda r: r.model,
    "accuracy": _number("accuracy", ".4f"),
    "95 %": lambda r: f"{r.accuracy_low:.3f}-{r.accuracy_high:.3f}",
    "bytes": _number("nbytes", ",.0f"),
    "stored as": lambda r: r.size,
    "smaller": lambda r: "-" if r.ratio is None else f"{r.ratio:.1f}x",
    "fit s": _spread("fit_seconds"),
    "fit MB": _number("fit_peak_nbytes", ".1f", _MEGABYTE),
    "one, us": _spread("one_us"),
    "in float32": _number("float32_one_us", ".1f"),
    "batch, us/row": _spread("batch_us"),
    "batch in float32": _number("float32_us", ".3f"),
    "predict MB": _number("predict_peak_nbytes", ".2f", _MEGABYTE),
    "binary ops": _number("binary_ops", ",.0f"),
    "float ops": _number("float_ops", ",.0f"),
}
_TEXTS = ("model", "stored as")


class Comparison:
    """Measured side by side: the result of :func:`skbnn.compare_models`.

    Parameters
    ----------
    runs : list of dict
        What was measured of each fit, as plain data: the attributes of
        `~skbnn.inspection.ModelResult` without the summary over runs, ``confusion`` (rows are
        true classes, columns predicted ones), ``loss_curve``, ``repeat`` and ``seed``. Fits that
        failed have ``model``, ``repeat`` and ``error``.
    reference : dict of str to str
        Name of the model that each one's ratio refers to.
    setting : dict
        Rows, features, classes, repeats and the source of the test rows.
    estimators : dict of str to estimator, default=None
        Fitted estimators.

    Attributes
    ----------
    results : list of ModelResult
        One for each model that was fitted at least once.
    failures : list of dict
        The fits that failed.
    estimators_ : dict of str to estimator
        The fitted clones of the last run of each model, but for what was measured before.

    See Also
    --------
    skbnn.compare_models : Makes it.
    """

    def __init__(self, runs, reference, setting, estimators=None):
        self.runs = [run for run in runs if "error" not in run]
        self.failures = [run for run in runs if "error" in run]
        self.reference = reference
        self.setting = setting
        self.estimators_ = dict(estimators or {})
        by_model = {}
        for run in self.runs:
            by_model.setdefault(run["model"], []).append(run)
        names = [name for name in dict.fromkeys(run["model"] for run in runs) if name in by_model]
        nbytes = {name: int(np.median([r["nbytes"] for r in by_model[name]])) for name in names}
        self.results = [
            summarise(name, by_model[name], nbytes.get(reference.get(name)), setting["n_tested"])
            for name in names
        ]

    @classmethod
    def from_dict(cls, data):
        """Return the comparison of :meth:`to_dict`, without estimators.

        Parameters
        ----------
        data : dict
            Plain data.

        Returns
        -------
        comparison : Comparison
        """
        return cls([*data["runs"], *data["failures"]], data["reference"], data["setting"])

    def to_frame(self):
        """Return the table as a pandas DataFrame, one row for each model.

        Returns
        -------
        frame : DataFrame
            Its columns are the attributes of `~skbnn.inspection.ModelResult`.
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
            "runs": self.runs,
            "failures": self.failures,
        }

    def to_json(self):
        """Return :meth:`to_dict` as JSON text.

        Returns
        -------
        text : str
        """
        return json.dumps(self.to_dict(), indent=2)

    def to_csv(self):
        """Return the table as CSV text, full precision.

        Returns
        -------
        text : str
        """
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(field.name for field in fields(ModelResult))
        writer.writerows(asdict(result).values() for result in self.results)
        return text.getvalue()

    def confusion(self, model):
        """Return a model's confusion matrix, added up over its runs.

        Parameters
        ----------
        model : str
            Its name.

        Returns
        -------
        counts : int64 ndarray of shape (n_classes, n_classes)
            Rows are true classes, columns predicted ones, in the order of ``setting["labels"]``.

        Raises
        ------
        ValueError
            If no model of that name was measured.
        """
        matrices = [run["confusion"] for run in self.runs if run["model"] == model]
        if not matrices:
            names = [result.model for result in self.results]
            raise ValueError(f"Nothing was measured of {model!r}; there are {names}.")
        return np.sum(matrices, axis=0)

    def plot(self, ax=None, *, x="nbytes"):
        """Plot test error against a cost, both on logarithmic axes.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.
        x : str, default="nbytes"
            The cost: ``"nbytes"``, ``"fit_seconds"``, ``"one_us"``, ``"batch_us"``,
            ``"fit_peak_nbytes"``, ``"predict_peak_nbytes"``, ``"binary_ops"`` or ``"float_ops"``.

        Returns
        -------
        display : ComparisonDisplay
        """
        return ComparisonDisplay(self.results, n_test=self.setting["n_tested"]).plot(ax, x=x)

    def _cells(self):
        """Return the table's columns as text, the head first, without those that say nothing."""
        columns = {
            head: [text(result) for result in self.results] for head, text in _COLUMNS.items()
        }
        return {head: cells for head, cells in columns.items() if set(cells) != {"-"}}

    def _failure_lines(self):
        """Return a line for each fit that failed."""
        return [f"failed: {f['model']}, repeat {f['repeat']}: {f['error']}" for f in self.failures]

    def __str__(self):
        """Return the table as text."""
        columns = []
        for head, cells in self._cells().items():
            width = max(map(len, [head, *cells]))
            left = head in _TEXTS
            columns.append([c.ljust(width) if left else c.rjust(width) for c in [head, *cells]])
        lines = ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]
        return "\n".join([*lines, *self._failure_lines()])

    def __repr__(self):
        """Return the table, as ``print`` shows it."""
        return str(self)

    def _repr_html_(self):
        """Return the table as HTML, for notebooks and the gallery."""
        cells = self._cells()

        def line(tag, values):
            styled = (
                f'<{tag} style="text-align:{"left" if head in _TEXTS else "right"}">'
                f"{escape(value)}</{tag}>"
                for head, value in zip(cells, values, strict=True)
            )
            return f"<tr>{''.join(styled)}</tr>"

        body = "".join(line("td", row) for row in zip(*cells.values(), strict=True))
        table = f"<table><thead>{line('th', cells)}</thead><tbody>{body}</tbody></table>"
        return table + "".join(f"<p>{escape(text)}</p>" for text in self._failure_lines())
