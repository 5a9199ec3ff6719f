"""Flash and memory of exported models: what is estimated, and what a compiler makes of them.

Networks of every family, fitted for one epoch, are exported and built for every target whose
compiler is installed. The table shows the estimate of ``model.footprint`` beside what ``size``
reports, and the difference in flash::

    python examples/benchmarks/bench_footprint.py

``--fit`` prints the bytes for each feature of the code that fit these programs best, which is where
the numbers in ``skbnn/export/footprints.py`` come from.
"""

import argparse

import numpy as np
from pairing import table, write
from sklearn.datasets import load_digits

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
    KMeansClassifier,
)
from skbnn.export.c_source import Source
from skbnn.export.footprints import TARGETS, features, footprint, measure


def estimators():
    """Return unfitted estimators by name."""
    once = {"max_iter": 1, "random_state": 0}
    return {
        "logistic": BinaryLogisticRegression(**once),
        "logistic, 5 thresholds": BinaryLogisticRegression(n_thresholds=5, **once),
        "k-means 50": KMeansClassifier(technique="binary", n_clusters=50, random_state=0),
        "MLP 16": BinaryMLPClassifier((16,), **once),
        "MLP 64": BinaryMLPClassifier((64,), n_thresholds=1, **once),
        "MLP 100-100-100": BinaryMLPClassifier((100,) * 3, n_thresholds=1, **once),
        "MLP 64-64-64-64": BinaryMLPClassifier((64,) * 4, **once),
        "CNN 12": BinaryCNNClassifier((12,), **once),
        "CNN 16-32": BinaryCNNClassifier((16, 32), n_thresholds=1, **once),
        "CNN 16-32, zeros": BinaryCNNClassifier((16, 32), padding_value=0, **once),
        "CNN 16-32, 5 x 5": BinaryCNNClassifier((16, 32), kernel_size=5, **once),
        "CNN 16-16-16": BinaryCNNClassifier((16,) * 3, pool_size=1, **once),
        "CNN 8-9, residual": BinaryCNNClassifier((8, 9), residual=True, **once),
        "CNN 16-16-16, residual": BinaryCNNClassifier((16,) * 3, residual=True, **once),
        "transformer 16": BinaryTransformerClassifier(16, n_layers=1, n_heads=2, **once),
        "transformer 64": BinaryTransformerClassifier(64, n_layers=3, attention="row-max", **once),
        "transformer 32": BinaryTransformerClassifier(32, attention="softmax", **once),
    }


def models():
    """Yield names and packed models, behind bytes and behind floats."""
    X, y = load_digits(return_X_y=True)
    for dtype, kind in ((np.uint8, "bytes"), (np.float64, "floats")):
        for name, estimator in estimators().items():
            yield f"{name}, {kind}", estimator.fit(X[:300].astype(dtype), y[:300]).packed_


def main():
    """Print the table, and the fit if asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", action="store_true", help="print bytes for each feature of code")
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    arguments = parser.parse_args()
    rows, found = [], {target: [] for target in TARGETS}
    for name, model in models():
        for target in TARGETS:
            try:
                measured = measure(model, target)
            except RuntimeError as error:
                print(f"{target}: {error}")
                continue
            found[target].append((features(Source(model, "net")), measured))
            estimated = footprint(model, target)
            difference = estimated.flash_nbytes / measured.flash_nbytes - 1
            rows.append(
                {
                    "model": name,
                    "target": target,
                    "flash, estimated": estimated.flash_nbytes,
                    "flash, measured": measured.flash_nbytes,
                    "off by, %": round(100 * difference, 1),
                    "RAM, estimated": estimated.ram_nbytes,
                    "RAM, measured": measured.ram_nbytes,
                }
            )
    for target, pairs in found.items():
        if arguments.fit and pairs:
            weights = np.array([1 / m.flash_nbytes for _, m in pairs])
            counts = np.array([counts for counts, _ in pairs]) * weights[:, None]
            code = np.array([m.code_nbytes for _, m in pairs]) * weights
            factors, *_ = np.linalg.lstsq(counts, code)
            worst = np.abs(counts @ factors - code).max()
            print(f"{target}: {factors.round(2).tolist()}, worst {100 * worst:.1f} %")
    print(table(rows))
    write(arguments.json, "Flash and RAM of exported models", rows)


if __name__ == "__main__":
    main()
