"""What was measured of one model, over all its fits."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["ModelResult", "summarise"]

_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """What was measured of one model, over all its fits.

    Parameters
    ----------
    model : str
        Its name.
    n_runs : int
        Fits that it stands for.
    accuracy : float
        Mean test accuracy.
    accuracy_low, accuracy_high : float
        Confidence interval of 95 %.
    stderr : float
        Standard error of the accuracy: the binomial one of the test rows, or that over the
        runs, whichever is larger.
    nbytes : int
        Bytes of the saved model.
    size : {"packed", "pickle", "pickle + packed"}
        What those bytes are: the packed model's file, the estimator's pickle, or both.
    ratio : float or None
        Bytes of the reference divided by these.
    fit_seconds, fit_seconds_low, fit_seconds_high : float
        Time to fit: the median, least and greatest of the runs.
    fit_cpu_seconds : float
        Median processor time to fit.
    fit_peak_nbytes : int or None
        By how much the memory of the process grew at most in a fit; None where the operating
        system does not tell.
    one_us, one_us_low, one_us_high : float
        Time to predict one row in microseconds: the median and the quantiles of 10 and 90 %.
    batch_us, batch_us_low, batch_us_high : float
        The same per row when all test rows are predicted at once.
    float32_one_us, float32_us : float or None
        ``one_us`` and ``batch_us`` of a packed model with real activations when it computes in
        float32 instead of float64: the honest speed of float. None for others.
    predict_peak_nbytes : int or None
        Memory that Python and NumPy allocate at most while all test rows are predicted at once;
        None where fits share a process in threads.
    binary_ops, float_ops : int or None
        Operations for one row: pairs of bits compared and counted, and float multiply-adds. None
        where there is no packed model.
    """

    model: str
    n_runs: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    stderr: float
    nbytes: int
    size: str
    ratio: float | None
    fit_seconds: float
    fit_seconds_low: float
    fit_seconds_high: float
    fit_cpu_seconds: float
    fit_peak_nbytes: int | None
    one_us: float
    one_us_low: float
    one_us_high: float
    batch_us: float
    batch_us_low: float
    batch_us_high: float
    float32_one_us: float | None
    float32_us: float | None
    predict_peak_nbytes: int | None
    binary_ops: int | None
    float_ops: int | None


def summarise(name, runs, reference_nbytes, n_tested):
    """Return the result of a model's runs.

    Parameters
    ----------
    name : str
        The model's name.
    runs : list of dict
        Its records.
    reference_nbytes : int or None
        Bytes of its reference.
    n_tested : int
        Test rows that count as independent.

    Returns
    -------
    result : ModelResult
    """
    accuracies = np.array([run["accuracy"] for run in runs])
    accuracy = float(accuracies.mean())
    stderr, low, high = confidence(accuracies, n_tested)
    nbytes = int(_median(runs, "nbytes"))
    fits = [run["fit_seconds"] for run in runs]
    one, batch = (_quantiles(runs, key) for key in ("one_us", "batch_us"))
    fast = {key: _quantiles(runs, key) for key in ("float32_one_us", "float32_us")}
    whole = ("fit_peak_nbytes", "predict_peak_nbytes", "binary_ops", "float_ops")
    return ModelResult(
        model=name,
        n_runs=len(runs),
        accuracy=accuracy,
        accuracy_low=low,
        accuracy_high=high,
        stderr=stderr,
        nbytes=nbytes,
        size=runs[-1]["size"],
        ratio=None if reference_nbytes is None else reference_nbytes / nbytes,
        fit_seconds=_median(runs, "fit_seconds"),
        fit_seconds_low=min(fits),
        fit_seconds_high=max(fits),
        fit_cpu_seconds=_median(runs, "fit_cpu_seconds"),
        one_us=one[1],
        one_us_low=one[0],
        one_us_high=one[2],
        batch_us=batch[1],
        batch_us_low=batch[0],
        batch_us_high=batch[2],
        **{key: None if values is None else values[1] for key, values in fast.items()},
        **{key: _whole(_median(runs, key)) for key in whole},
    )


def _median(runs, key):
    """Return the median of a measurement over the runs that have it, or None."""
    values = [run[key] for run in runs if run[key] is not None]
    return float(np.median(values)) if values else None


def _quantiles(runs, key):
    """Return quantiles of times, each the median over the runs, or None."""
    values = [run[key] for run in runs if run.get(key) is not None]
    return [float(q) for q in np.median(values, axis=0)] if values else None


def _whole(value):
    return None if value is None else round(value)


def confidence(accuracies, n_tested):
    r"""Return standard error and confidence interval of a mean accuracy.

    Test rows alone give a binomial error :math:`\sqrt{p (1 - p) / n}`, which runs on the same
    test rows share. The spread over runs is a second estimate. The larger one counts. The
    interval is Wilson's, with as many rows as would give that error, which stays within 0 and 1
    and is not empty where no row is wrong.

    Parameters
    ----------
    accuracies : ndarray of shape (n_runs,)
        Test accuracy of each run.
    n_tested : int
        Test rows that count as independent.

    Returns
    -------
    stderr, low, high : float

    References
    ----------
    .. [1] E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
       JASA 22, 1927.
    """
    p, n_runs = float(accuracies.mean()), len(accuracies)
    binomial = np.sqrt(max(p * (1 - p), 0.0) / n_tested)
    spread = accuracies.std(ddof=1) / np.sqrt(n_runs) if n_runs > 1 else 0.0
    quantile = stats.norm.ppf(0.5 + _CONFIDENCE / 2)
    n = p * (1 - p) / spread**2 if spread > binomial else n_tested
    share = quantile**2 / n
    centre = (p + share / 2) / (1 + share)
    half = quantile / (1 + share) * np.sqrt(max(p * (1 - p), 0.0) / n + share / (4 * n))
    low, high = max(0.0, float(centre - half)), min(1.0, float(centre + half))
    return float(max(binomial, spread)), low, high
