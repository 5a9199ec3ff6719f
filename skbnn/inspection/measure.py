"""Measuring one model: accuracy, bytes and times."""

import pickle
from copy import copy
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from skbnn.packed.format import to_bytes

__all__ = ["ModelResult", "measure", "split_rows", "summarise"]


@dataclass(frozen=True)
class ModelResult:
    """What was measured of one model.

    Attributes
    ----------
    model : str
        Its name.
    accuracy : float
        Mean test accuracy over the repeats.
    stderr : float
        Standard error of the accuracy: the binomial one of the test rows, or that over the
        repeats, whichever is larger.
    nbytes : int
        Bytes of the saved model.
    size : {"packed", "pickle"}
        What those bytes are: the packed model's file, or the estimator's pickle.
    ratio : float or None
        Bytes of the reference divided by these.
    fit_seconds : float
        Median time to fit.
    one_us : float
        Median time to predict one row, in microseconds.
    batch_us : float
        Median time to predict all test rows at once, in microseconds per row.
    float32_us : float or None
        The same for a packed model with real activations when it computes in float32 instead of
        float64: the honest speed of float. None for others.
    """

    model: str
    accuracy: float
    stderr: float
    nbytes: int
    size: str
    ratio: float | None
    fit_seconds: float
    one_us: float
    batch_us: float
    float32_us: float | None


def split_rows(X, y, X_test, y_test, test_size, seed):
    """Return training and test rows and labels."""
    if X_test is not None:
        return X, y, X_test, y_test
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=test_size, random_state=seed, stratify=y
    )
    return X, y, X_test, y_test


def measure(name, estimator, split, seed, progress):
    """Fit one model once and measure it."""
    X, y, X_test, y_test = split
    estimator = clone(estimator)
    params = estimator.get_params()
    unseeded = [p for p in params if p.split("__")[-1] == "random_state" and params[p] is None]
    estimator.set_params(**dict.fromkeys(unseeded, seed))
    start = perf_counter()
    estimator.fit(X, y)
    fit_seconds = perf_counter() - start
    accuracy = float(np.mean(estimator.predict(X_test) == np.asarray(y_test)))
    one = _safe_indexing(X_test, [0])
    packed = getattr(estimator, "packed_", None)
    is_real = packed is not None and not packed.operations[-1].gives.integer
    if is_real:
        fast = copy(estimator)
        fast.packed_ = replace(packed, precision="float32")
    result = {
        "model": name,
        "estimator": estimator,
        "accuracy": accuracy,
        "fit_seconds": fit_seconds,
        "nbytes": len(pickle.dumps(estimator) if packed is None else to_bytes(packed)),
        "size": "pickle" if packed is None else "packed",
        "one_us": 1e6 * _median_seconds(lambda: estimator.predict(one), 0.1),
        "batch_us": _us_per_row(estimator.predict, X_test, len(y_test)),
        "float32_us": _us_per_row(fast.predict, X_test, len(y_test)) if is_real else None,
    }
    if progress is not None:
        progress(f"{name}: accuracy {accuracy:.4f}, fitted in {fit_seconds:.1f} s")
    return result


def _us_per_row(predict, X, n_rows):
    """Return the median time to predict some rows at once, in microseconds per row."""
    return 1e6 * _median_seconds(lambda: predict(X), 0.5) / n_rows


def _median_seconds(call, budget):
    """Return the median time of a call, of 3 to 200 calls within a budget of seconds."""
    call()
    times = []
    while len(times) < 3 or (len(times) < 200 and sum(times) < budget):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return float(np.median(times))


def summarise(name, runs, reference_nbytes, n_test):
    """Return the result of a model's repeats."""
    accuracies = np.array([run["accuracy"] for run in runs])
    accuracy = float(accuracies.mean())
    # Repeats on one test set share its error; repeats alone would look too certain.
    binomial = np.sqrt(max(accuracy * (1 - accuracy), 0.0) / n_test)
    spread = accuracies.std(ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else 0.0

    def median(key):
        return float(np.median([run[key] for run in runs]))

    nbytes = int(median("nbytes"))
    return ModelResult(
        model=name,
        accuracy=accuracy,
        stderr=float(max(binomial, spread)),
        nbytes=nbytes,
        size=runs[-1]["size"],
        ratio=None if reference_nbytes is None else reference_nbytes / nbytes,
        fit_seconds=median("fit_seconds"),
        one_us=median("one_us"),
        batch_us=median("batch_us"),
        float32_us=None if runs[-1]["float32_us"] is None else median("float32_us"),
    )
