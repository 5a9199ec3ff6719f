"""Measuring one fit of one model: accuracy, bytes, times, memory and operations."""

import json
import os
import pickle
import warnings
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time

import joblib
import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import confusion_matrix
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from skbnn.inspection.memory import peak_growth, traced_peak
from skbnn.packed import PackedModel
from skbnn.packed.format import to_bytes

__all__ = ["Job", "packed_of", "prediction_times", "run", "saved_size"]

_WARM_UP_ROWS = 8
_SECONDS = 0.05, 0.2


@dataclass(frozen=True)
class Job:
    """One fit of one model.

    Parameters
    ----------
    name : str
        Name of the model.
    estimator : estimator
        To be cloned.
    repeat : int
        Number of the repeat.
    seed : int
        Its seed.
    train, test : ndarray of int or None
        Rows of X to fit and to test; None for all of X, and the given test set.
    path : Path or None
        Where the measurement is kept.
    """

    name: str
    estimator: BaseEstimator
    repeat: int
    seed: int
    train: np.ndarray | None
    test: np.ndarray | None
    path: Path | None = None

    def split(self, X, y, X_test, y_test):
        """Return training and test rows and labels."""
        if self.train is None:
            return X, y, X_test, y_test
        parts = (self.train, self.test)
        rows, labels = ([_safe_indexing(a, part) for part in parts] for a in (X, y))
        return rows[0], labels[0], rows[1], labels[1]


def run(job, X, y, X_test, y_test, labels, progress=None):
    """Do a job, or read what it gave before.

    Parameters
    ----------
    job : Job
        What to fit.
    X, y, X_test, y_test : array-like
        All rows and labels; a test set only where the job has no split of its own.
    labels : ndarray of shape (n_classes,)
        Classes, in the order of the confusion matrix.
    progress : callable or None
        Called with a line of text at the end.

    Returns
    -------
    record : dict
        Plain data. A fit that raised has an ``error`` instead of measurements.
    estimator : estimator or None
        Fitted; None where it failed or was done before.
    """
    if job.path is not None and job.path.exists():
        record, estimator = json.loads(job.path.read_text()), None
        line = f"accuracy {record['accuracy']:.4f}, measured before"
    else:
        try:
            record, estimator = _measure(job, job.split(X, y, X_test, y_test), labels)
            line = f"accuracy {record['accuracy']:.4f}, fitted in {record['fit_seconds']:.1f} s"
            if job.path is not None:
                _write(job.path, record)
        except Exception as error:
            record = {"model": job.name, "repeat": job.repeat}
            record["error"] = f"{type(error).__name__}: {error}"
            estimator, line = None, f"failed, {record['error']}"
    if progress is not None:
        progress(f"{job.name}: {line}")
    return record, estimator


def _write(path, record):
    """Write a record in one step, so that none is ever left half-written."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(record, indent=1) + "\n")
    part.replace(path)


def _measure(job, split, labels):
    """Fit a clone and return its record, and itself."""
    X, y, X_test, y_test = split
    estimator = clone(job.estimator)
    params = estimator.get_params()
    unseeded = [p for p in params if p.split("__")[-1] == "random_state" and params[p] is None]
    estimator.set_params(**dict.fromkeys(unseeded, job.seed))
    _warm_up(estimator, X, y)

    seconds = [0.0, 0.0]

    def fit():
        start, cpu_start = perf_counter(), process_time()
        estimator.fit(X, y)
        seconds[:] = perf_counter() - start, process_time() - cpu_start

    fit_peak = peak_growth(fit)
    predicted, truth = estimator.predict(X_test), np.asarray(y_test)
    nbytes, size = saved_size(estimator)
    packed = packed_of(estimator)
    cost = None if packed is None else packed.summary()
    record = {
        "model": job.name,
        "repeat": job.repeat,
        "seed": job.seed,
        "n_train": _num_samples(X),
        "n_test": _num_samples(X_test),
        "accuracy": float(np.mean(predicted == truth)),
        "confusion": confusion_matrix(truth, predicted, labels=labels).tolist(),
        "nbytes": nbytes,
        "size": size,
        "fit_seconds": seconds[0],
        "fit_cpu_seconds": seconds[1],
        "fit_peak_nbytes": fit_peak,
        **prediction_times(estimator, X_test),
        "predict_peak_nbytes": traced_peak(lambda: estimator.predict(X_test)),
        "binary_ops": None if cost is None else cost.binary_ops,
        "float_ops": None if cost is None else cost.float_ops,
        "loss_curve": [float(loss) for loss in getattr(estimator, "loss_curve_", [])],
    }
    return record, estimator


def prediction_times(estimator, X):
    """Measure how long predictions take.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : array-like
        Rows.

    Returns
    -------
    times : dict of str to list of three floats, or None
        Quantiles of 10 %, 50 % and 90 % of the microseconds for one row, and for a row where all
        are predicted together; both again where a packed model with real activations computes in
        float32, None for others.
    """
    one, n_rows = _safe_indexing(X, [0]), _num_samples(X)

    def times(estimator, name_one, name_batch):
        return {
            name_one: _microseconds(lambda: estimator.predict(one), _SECONDS[0]),
            name_batch: _microseconds(lambda: estimator.predict(X), _SECONDS[1], n_rows),
        }

    packed, fast = packed_of(estimator), {"float32_one_us": None, "float32_us": None}
    if packed is getattr(estimator, "packed_", None) and _is_real(packed):
        faster = copy(estimator)
        faster.packed_ = replace(packed, precision="float32")
        fast = times(faster, *fast)
    return {**times(estimator, "one_us", "batch_us"), **fast}


def _warm_up(estimator, X, y):
    """Let libraries load and kernels compile: that time and memory is no model's.

    A clone is fitted on a few rows of each class. What it says or how it fails does not matter;
    the fit that counts comes afterwards.
    """
    labels = np.asarray(y)
    rows = [np.flatnonzero(labels == label)[:_WARM_UP_ROWS] for label in np.unique(labels)]
    few = np.concatenate(rows)
    trial = clone(estimator)
    long = [p for p in trial.get_params() if p.split("__")[-1] == "max_iter"]
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")
        trial.set_params(**dict.fromkeys(long, 1))
        some = _safe_indexing(X, few)
        trial.fit(some, _safe_indexing(y, few)).predict(some)


def packed_of(estimator):
    """Return the packed model that an estimator predicts with in the end, or None.

    Parameters
    ----------
    estimator : estimator
        Fitted; of a pipeline the last step counts, of a search its best estimator.

    Returns
    -------
    packed : PackedModel or None
    """
    if isinstance(estimator, Pipeline):
        return packed_of(estimator[-1])
    if hasattr(estimator, "best_estimator_"):
        return packed_of(estimator.best_estimator_)
    packed = getattr(estimator, "packed_", None)
    return packed if isinstance(packed, PackedModel) else None


def saved_size(estimator):
    """Return the bytes of what has to be saved to predict, and what they are.

    Parameters
    ----------
    estimator : estimator
        Fitted.

    Returns
    -------
    nbytes : int
    size : {"packed", "pickle", "pickle + packed"}
        The packed model's file, the estimator's pickle, or both: the steps of a pipeline before
        an estimator that packs are pickled.
    """
    if hasattr(estimator, "best_estimator_"):
        return saved_size(estimator.best_estimator_)
    packed = packed_of(estimator)
    if packed is None:
        return len(pickle.dumps(estimator)), "pickle"
    if not isinstance(estimator, Pipeline):
        return len(to_bytes(packed)), "packed"
    *head, (_, last) = estimator.steps
    steps = [step for _, step in head if step not in (None, "passthrough")]
    nbytes, size = saved_size(last)
    return nbytes + sum(len(pickle.dumps(step)) for step in steps), (
        f"pickle + {size}" if steps and "pickle" not in size else size
    )


def _is_real(packed):
    """Whether the scores of a packed model are floats, computed in float64 unless told."""
    return packed is not None and not packed.operations[-1].gives.integer


def _microseconds(call, budget, n_rows=1):
    """Return quantiles of the time of a call, in microseconds a row.

    Parameters
    ----------
    call : callable
        Called once unmeasured, then 3 to 200 times within the budget.
    budget : float
        Seconds.
    n_rows : int, default=1
        Rows of a call.

    Returns
    -------
    quantiles : list of three floats
        Of 10 %, the median, of 90 %.
    """
    call()
    times = []
    while len(times) < 3 or (len(times) < 200 and sum(times) < budget):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return [float(t) for t in 1e6 * np.quantile(times, [0.1, 0.5, 0.9]) / n_rows]


def key_of(job, data_key, version):
    """Return the name under which a job's record is kept: all that its result depends on."""
    parts = [job.estimator, job.name, job.repeat, job.seed, job.train, job.test, data_key, version]
    return joblib.hash(parts)
