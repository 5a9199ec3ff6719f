"""What the long benchmarks share: one stored record for each fit, so that a run can go on."""

import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

from skbnn.packed.format import to_bytes

FOLDER = Path(__file__).parent / "results"


class Results:
    """Records in a JSON file, written as soon as there is a new one.

    Parameters
    ----------
    path : Path
        The file.
    keys : tuple of str
        Fields by which a record is known.
    """

    def __init__(self, path, keys):
        self.path, self.keys = Path(path), keys
        self.records = json.loads(self.path.read_text()) if self.path.exists() else []

    def has(self, **values):
        """Whether there is a record with these values of the keys."""
        return any(all(record[key] == values[key] for key in self.keys) for record in self.records)

    def add(self, record):
        """Keep a record."""
        self.records.append(record)
        self.path.parent.mkdir(exist_ok=True, parents=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.records, indent=1) + "\n")
        new.replace(self.path)


def machine():
    """Return the processor's name and the threads that torch may use."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.machine()
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def fit_record(estimator, data):
    """Fit an estimator, score it once on test rows, and return what is worth keeping.

    Parameters
    ----------
    estimator : NetworkClassifier
        Unfitted.
    data : tuple of ndarray
        Training rows and labels, test rows and labels.

    Returns
    -------
    record : dict
    """
    X, y, X_test, y_test = data
    start, cpu_start = time.perf_counter(), time.process_time()
    estimator.fit(X, y)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    model = estimator.packed_
    model.predict(X_test)
    start = time.perf_counter()
    wrong = int((model.predict(X_test) != y_test).sum())
    each = (time.perf_counter() - start) / len(X_test)
    curves = {
        name: [round(float(value), 6) for value in getattr(estimator, f"{name}_")]
        for name in ("loss_curve", "validation_scores")
        if hasattr(estimator, f"{name}_")
    }
    return {
        "test_errors": wrong,
        "n_test": len(y_test),
        "n_train": len(y),
        "fit_seconds": round(seconds, 1),
        "fit_cpu_seconds": round(cpu_seconds, 1),
        "microseconds_a_row": round(1e6 * each, 3),
        "nbytes": len(to_bytes(model)),
        "epochs_run": int(estimator.n_iter_),
        "params": {k: str(v) for k, v in estimator.get_params().items() if v is not None},
        **curves,
        "versions": {p: version(p) for p in ("skbnn", "torch", "scikit-learn", "numba", "numpy")},
        "machine": machine(),
    }


def of_mnist(bunch, n_rows=None):
    """Return training rows and labels, test rows and labels of MNIST or Fashion-MNIST.

    Parameters
    ----------
    bunch : Bunch
        The data set.
    n_rows : int, default=None
        Training rows, the first ones; all by default. A tenth as many test rows, or all.
    """
    X, y = bunch.data, bunch.target
    train, test = (X[bunch.train], y[bunch.train]), (X[bunch.test], y[bunch.test])
    if n_rows is None:
        return *train, *test
    few = max(1, n_rows // 10)
    return train[0][:n_rows], train[1][:n_rows], test[0][:few], test[1][:few]
