"""How far can you go with 1s and 0s? The whole comparison on MNIST or Fashion-MNIST.

Every family is fitted on the 60,000 training images without augmentation, as a float model and in
bits, with several seeds, and scored on the 10,000 test images. What was measured of each fit is
stored as soon as it ends in ``results/study/<data>/``; a run that is cut off goes on where it
stopped, and more seeds or families are added to what is there. ``results/study/<data>.json`` holds
them all, and the page of the documentation is made from it::

    taskset -c 0 python examples/benchmarks/mnist_study.py                       # everything
    taskset -c 0 python examples/benchmarks/mnist_study.py --families logistic --seeds 5
    python examples/benchmarks/mnist_study.py --rows 1000 --epochs 1 --results trial

Times are only worth reporting from a machine that does nothing else, and the fits take hours. So
the times of predictions may be measured again in a quiet hour, all in turn, on networks of the same
shapes that were fitted for one epoch: they do not depend on what a network has learned::

    taskset -c 0 python examples/benchmarks/mnist_study.py --times
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from mnist_results import HINGE
from storing import machine

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
    KMeansClassifier,
    compare_models,
)
from skbnn.datasets import fetch_fashion_mnist, fetch_mnist
from skbnn.inspection import Comparison
from skbnn.inspection.measure import prediction_times
from skbnn.packed.format import to_bytes

FETCH = {"mnist": fetch_mnist, "fashion-mnist": fetch_fashion_mnist}
CLUSTERS = {"float": "float", "binary": "binary"}
NETWORK = {"float": "float", "binaryconnect": "binaryconnect", "bnn": "bnn"}
# The last entry of a family is the best technique found for it where it is not the plain "bnn": of
# the perceptron, among those of one bit, after a whole fit; of the others after a short one. All
# were judged on the last 10,000 training images.
FAMILIES = {
    "k-means 10": (KMeansClassifier(n_clusters=10), CLUSTERS),
    "k-means 256": (KMeansClassifier(n_clusters=256), CLUSTERS),
    "logistic": (BinaryLogisticRegression(), NETWORK),
    "MLP 3x1024": (
        BinaryMLPClassifier(hidden_layer_sizes=(1024, 1024, 1024), max_iter=24),
        {"float": "float", "binaryconnect": "binaryconnect", "bnn, squared hinge": HINGE},
    ),
    "CNN 32-64": (BinaryCNNClassifier(), NETWORK | {"dorefa": "dorefa"}),
    "transformer 128": (BinaryTransformerClassifier(), NETWORK | {"dorefa": "dorefa"}),
}
RESULTS = Path(__file__).parent / "results" / "study"


def models_of(family, epochs=None):
    """Return the models of a family by name, and the name of its float model."""
    estimator, techniques = FAMILIES[family]
    params = estimator.get_params()
    if epochs is not None:
        params["max_iter"] = epochs
    models = {
        f"{family}, {name}": type(estimator)(**{**params, "technique": technique})
        for name, technique in techniques.items()
    }
    return models, f"{family}, float"


def load(data, rows=None):
    """Return training and test rows and labels, the first ones for a trial, and class names."""
    bunch = FETCH[data]()
    X, y = bunch.data, bunch.target
    parts = tuple(a[part][:rows] for part in (bunch.train, bunch.test) for a in (X, y))
    return parts, bunch.target_names.tolist()


def a_pair(data, pair):
    """Return what 2 x 784 weights become: two classes, one layer, one bit a pixel.

    In float32 these weights are 50,176 bits, as signs 1,568.
    """
    X, y, X_test, y_test = data
    mine, theirs = (np.isin(labels, pair) for labels in (y, y_test))
    found = {"pair": list(pair)}
    for technique in ("float", "bnn"):
        model = BinaryLogisticRegression(technique=technique, n_thresholds=1, random_state=0)
        model.fit(X[mine], y[mine])
        used = model.packed_.operations[0].gives.width
        found[technique] = {
            "weights": 2 * used,
            "bits": 2 * used * (32 if technique == "float" else 1),
            "nbytes": model.packed_.nbytes,
            "file": len(to_bytes(model.packed_)),
            "accuracy": model.score(X_test[theirs], y_test[theirs]),
        }
    return found


def store(path, value):
    """Write plain data in one step, so that a file is never left half-written."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1) + "\n")
    part.replace(path)


def measure_times(family, data, folder):
    """Measure the times of predictions of a family's stored fits again.

    Parameters
    ----------
    family : str
        Its name.
    data : tuple of four ndarrays
        Rows and labels.
    folder : Path
        Where its fits are stored.
    """
    X, y, X_test, _ = data
    records = [(path, json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
    for name, model in models_of(family, epochs=1)[0].items():
        mine = [(path, record) for path, record in records if record["model"] == name]
        if not mine:
            continue
        times = prediction_times(model.set_params(random_state=0).fit(X, y), X_test)
        print(f"  {name}: {times['one_us'][1]:.1f} us, {times['batch_us'][1]:.3f} us", flush=True)
        for path, record in mine:
            store(path, {**record, **times})


def main(argv=None):
    """Fit what is missing and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=FETCH, default="mnist")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="training and test rows, for a trial")
    parser.add_argument("--epochs", type=int, help="epochs of every network, for a trial")
    parser.add_argument("--times", action="store_true", help="measure predictions again")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)

    data, names_of_classes = load(arguments.data, arguments.rows)
    X, y, X_test, y_test = data
    path = arguments.results / f"{arguments.data}.json"
    stored = json.loads(path.read_text()) if path.exists() else {"comparisons": {}}
    path.parent.mkdir(parents=True, exist_ok=True)

    def keep():
        stored["machine"] = machine()
        names = ("skbnn", "torch", "scikit-learn", "numba", "numpy")
        stored["versions"] = {name: version(name) for name in names}
        store(path, stored)

    stored["target_names"] = names_of_classes
    stored["pair"] = a_pair(data, (4, 9))
    keep()
    for family in arguments.families:
        if arguments.times:
            measure_times(family, data, arguments.results / arguments.data)
        models, reference = models_of(family, arguments.epochs)
        comparison = compare_models(
            models,
            X,
            y,
            X_test=X_test,
            y_test=y_test,
            n_repeats=arguments.seeds,
            reference=reference,
            random_state=0,
            progress=lambda line: print(f"  {line}", flush=True),
            resume_dir=arguments.results / arguments.data,
        )
        stored["comparisons"][family] = comparison.to_dict()
        keep()
    for comparison in stored["comparisons"].values():
        print(f"\n{Comparison.from_dict(comparison)}")


if __name__ == "__main__":
    main()
