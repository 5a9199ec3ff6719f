"""``python -m skbnn``: float and binary models of every family, compared on real data.

``python -m skbnn export-c model.skbnn -o model.h`` writes a saved model as C instead.
"""

import argparse
import sys
from pathlib import Path

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
    KMeansClassifier,
    compare_models,
)
from skbnn import datasets as skbnn_datasets
from skbnn.export.command import export_c

_FETCH = {
    "mnist": skbnn_datasets.fetch_mnist,
    "fashion-mnist": skbnn_datasets.fetch_fashion_mnist,
}


def _digits():
    """Return scikit-learn's digits, split."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
    return X, y, X_test, y_test


def _images(name):
    """Return the standard split of an image data set."""
    bunch = _FETCH[name]()
    X, y = bunch.data, bunch.target
    return X[bunch.train], y[bunch.train], X[bunch.test], y[bunch.test]


def _models(hidden_layer_sizes, max_iter, random_state):
    """Return the models of every family and the float twin of each."""
    mlp = {"hidden_layer_sizes": hidden_layer_sizes, "max_iter": max_iter}
    families = {
        "k-means 10": (KMeansClassifier, {"n_clusters": 10}, ("float", "binary")),
        "k-means 256": (KMeansClassifier, {"n_clusters": 256}, ("float", "binary")),
        "logistic": (BinaryLogisticRegression, {"max_iter": max_iter}, ("float", "bnn")),
        "MLP " + "-".join(map(str, hidden_layer_sizes)): (
            BinaryMLPClassifier,
            mlp,
            ("float", "binaryconnect", "bnn"),
        ),
        # As with the defaults, half the epochs of the others.
        "CNN 32-64": (BinaryCNNClassifier, {"max_iter": (max_iter + 1) // 2}, ("float", "bnn")),
        "transformer 128": (
            BinaryTransformerClassifier,
            {"max_iter": (max_iter + 1) // 2},
            ("float", "bnn"),
        ),
    }
    models, twins = {}, {}
    for family, (estimator, params, techniques) in families.items():
        for technique in techniques:
            name = f"{family}, {technique}"
            models[name] = estimator(**params, technique=technique, random_state=random_state)
            twins[name] = f"{family}, float"
    return models, twins


def _positive(text):
    """Return a positive whole number of the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return int(text)


def main(argv=None):
    """Run the comparison from the command line, or the command that the first argument names.

    Parameters
    ----------
    argv : list of str, default=None
        Arguments; None takes those of the process.
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["export-c"]:
        return export_c(argv[1:])
    parser = argparse.ArgumentParser(
        prog="python -m skbnn",
        description="Compare float and binary models of every family on real data.",
        epilog="export-c as the first argument writes a saved model as C; see export-c --help.",
    )
    parser.add_argument(
        "--data", choices=["digits", *_FETCH], default="digits", help="data set (default: digits)"
    )
    parser.add_argument(
        "--hidden-layer-sizes",
        type=_positive,
        nargs="+",
        metavar="N",
        help="hidden layers of the MLPs (default: 256 256; for the images 1024 1024 1024)",
    )
    parser.add_argument(
        "--max-iter", type=_positive, default=30, metavar="N", help="epochs (default: 30)"
    )
    parser.add_argument(
        "--repeats", type=_positive, default=1, metavar="N", help="fits of each model (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the results as JSON")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="also write the table as CSV")
    arguments = parser.parse_args(argv)
    for path in (arguments.json, arguments.csv):
        if path is not None and not path.parent.is_dir():
            parser.error(f"there is no folder {path.parent} to write {path.name} in")

    is_images = arguments.data in _FETCH
    X, y, X_test, y_test = _images(arguments.data) if is_images else _digits()
    sizes = arguments.hidden_layer_sizes or ((1024,) * 3 if is_images else (256, 256))
    print(
        f"{arguments.data}: {len(y):,} training rows, {len(y_test):,} test rows, "
        f"{X.shape[1]} features",
        flush=True,
    )
    # With one seed for all, repeats would be the same fit again.
    seed = None if arguments.repeats > 1 else arguments.seed
    models, twins = _models(tuple(sizes), arguments.max_iter, seed)
    comparison = compare_models(
        models,
        X,
        y,
        X_test=X_test,
        y_test=y_test,
        n_repeats=arguments.repeats,
        reference=twins,
        random_state=arguments.seed,
        progress=lambda line: print(f"  {line}", flush=True),
    )
    print(f"\n{comparison}")
    if arguments.json is not None:
        arguments.json.write_text(comparison.to_json() + "\n")
    if arguments.csv is not None:
        arguments.csv.write_text(comparison.to_csv())


if __name__ == "__main__":
    sys.exit(main())
