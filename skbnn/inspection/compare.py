"""One honest table for several models on the same data."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from warnings import warn

import joblib
import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import StratifiedKFold, check_cv, train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples, check_consistent_length

from skbnn.inspection.comparison import Comparison
from skbnn.inspection.measure import Job, key_of, run

__all__ = ["compare_models"]


def compare_models(
    models,
    X,
    y,
    *,
    X_test=None,
    y_test=None,
    test_size=0.25,
    n_repeats=1,
    cv=None,
    reference=None,
    random_state=None,
    n_jobs=None,
    progress=None,
    resume_dir=None,
):
    """Fit models on the same rows and compare accuracy, size, time and memory.

    Parameters
    ----------
    models : dict of str to estimator
        Classifiers of any kind, pipelines and searches too; they are cloned, so that yours stay
        as they are.
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
    cv : int, cross-validation splitter, iterable of splits or None, default=None
        Cross-validate instead of setting one part aside, in each repeat. A number is that of
        stratified folds, shuffled anew in each repeat.
    reference : str or dict of str to str, default=None
        Name of the model that size ratios refer to, or one for each model, such as its float
        twin; models that the dict leaves out get no ratio. None is the first model.
    random_state : int, RandomState instance or None, default=None
        Source of splits and of the ``random_state`` of models that have one which is None.
    n_jobs : int, default=None
        Fits at a time, in joblib's backend (see `joblib.parallel_config`). Models then compete
        for the machine, and their times and memory with them: leave it at None where these
        matter.
    progress : callable, default=None
        Called with a line of text as each fit ends, where it ran.
    resume_dir : str or path-like, default=None
        Folder that keeps what was measured of each fit, as JSON, as soon as it ends. What is there
        is not fitted again, so that a comparison which was cut off goes on where it stopped. It
        needs a ``random_state`` that is a number.

    Returns
    -------
    comparison : Comparison
        ``print`` shows a table; ``to_frame()``, ``to_dict()`` and ``plot()`` give it in other
        forms.

    Raises
    ------
    TypeError
        If models is no dict of texts to estimators.
    ValueError
        If there is no model or no repeat, a reference is none of the models, y, or one of X_test
        and y_test, is missing or of another length, there is both a test set and ``cv``, or every
        fit failed.

    Warns
    -----
    FitFailedWarning
        If a fit raised. The others count, and ``comparison.failures`` says what happened.

    See Also
    --------
    skbnn.inspection.ComparisonDisplay : The picture.

    Notes
    -----
    Bytes are those of the file that :meth:`PackedModel.save` writes, where the fitted estimator
    has a ``packed_`` model, else of its pickle. Times are medians of several calls of the
    estimator's own ``predict``, validation included. Every fit follows a short one on a few rows,
    so that loading libraries counts for no model.

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
    if not (isinstance(models, Mapping) and all(isinstance(name, str) for name in models)):
        raise TypeError(
            "models must be a dict of names, which are texts, to estimators: "
            f'{{"bits": BinaryMLPClassifier()}}, got {type(models).__name__}.'
        )
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
    if X_test is not None and cv is not None:
        raise ValueError("Pass either a test set or cv, not both.")
    if y is None:
        raise ValueError("y is missing: it must be the class of each row of X.")
    check_consistent_length(X, y)
    check_consistent_length(X_test, y_test)
    if n_repeats < 1:
        raise ValueError(f"n_repeats must be at least 1, got {n_repeats}.")
    if resume_dir is not None and not isinstance(random_state, int | np.integer):
        raise ValueError(
            f"resume_dir needs a random_state that is a number, got {random_state!r}: other seeds "
            "are other fits, and none would be found again."
        )

    seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n_repeats)
    jobs = [
        Job(name, estimator, repeat, int(seed), train, test)
        for repeat, seed in enumerate(seeds)
        for train, test in _splits(X, y, X_test, test_size, cv, int(seed))
        for name, estimator in models.items()
    ]
    if resume_dir is not None:
        jobs = _with_paths(jobs, Path(resume_dir), (X, y, X_test, y_test))
    labels = np.unique(y if y_test is None else np.concatenate([y, y_test]))
    done = Parallel(n_jobs=n_jobs)(
        delayed(run)(job, X, y, X_test, y_test, labels, progress) for job in jobs
    )

    records = [record for record, _ in done]
    _report_failures(records)
    measured = [record for record in records if "error" not in record]
    setting = {
        "n_train": measured[0]["n_train"],
        "n_test": measured[0]["n_test"],
        "n_tested": _independent_rows(jobs, measured[0]["n_test"]),
        "n_features": _n_features(X),
        "n_classes": len(labels),
        "labels": labels.tolist(),
        "n_repeats": n_repeats,
        "test_set": _source_of_test_rows(X_test, cv),
    }
    fitted = {r["model"]: estimator for r, estimator in done if estimator is not None}
    return Comparison(records, reference, setting, fitted)


def _n_features(X):
    """Return the width of rows; None for texts, and for whatever else a pipeline begins with."""
    shape = getattr(X, "shape", None) or np.shape(X)
    return int(shape[1]) if len(shape) == 2 else None


def _splits(X, y, X_test, test_size, cv, seed):
    """Return the training and test rows of each fit of a repeat; None for a given test set."""
    if X_test is not None:
        return [(None, None)]
    if cv is None:
        rows = np.arange(_num_samples(X))
        return [train_test_split(rows, test_size=test_size, random_state=seed, stratify=y)]
    if isinstance(cv, int | np.integer):
        cv = StratifiedKFold(cv, shuffle=True, random_state=seed)
    return list(check_cv(cv, y, classifier=True).split(X, y))


def _source_of_test_rows(X_test, cv):
    if X_test is not None:
        return "given"
    return "split off" if cv is None else "cross-validated"


def _independent_rows(jobs, n_test):
    """Return how many test rows count: all of them where no row is tested twice."""
    tested = {(job.repeat, id(job.test)): job.test for job in jobs}.values()
    if any(test is None for test in tested):
        return n_test
    rows = np.concatenate(list(tested))
    return len(rows) if len(np.unique(rows)) == len(rows) else len(jobs[0].test)


def _with_paths(jobs, folder, data):
    """Return the jobs with the files that keep their records."""
    from skbnn import __version__

    folder.mkdir(parents=True, exist_ok=True)
    data_key = joblib.hash(data)
    keys = [key_of(job, data_key, __version__) for job in jobs]
    return [
        replace(job, path=folder / f"{_file_name(job.name)}-{job.repeat}-{key[:12]}.json")
        for job, key in zip(jobs, keys, strict=True)
    ]


def _file_name(name):
    """Return a model's name as a file can have it."""
    return re.sub(r"[^\w.]+", "-", name)


def _report_failures(records):
    """Warn of fits that failed; refuse where all did."""
    failures = [f"{r['model']}: {r['error']}" for r in records if "error" in r]
    text = "\n".join(dict.fromkeys(failures))
    if len(failures) == len(records):
        raise ValueError(f"Every fit failed:\n{text}")
    if failures:
        warn(f"{len(failures)} of {len(records)} fits failed:\n{text}", FitFailedWarning, 3)
