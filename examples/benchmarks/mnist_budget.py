"""How well can a microcontroller read digits, by the flash and the memory that it has?

Small networks are fitted to the first 50,000 training images of MNIST. For each budget of flash
and RAM on a Cortex-M0+, the one that fits and is best on the other 10,000 is fitted again to all
60,000 and scored once on the test images. Flash and RAM are measured on a linked program where
``arm-none-eabi-gcc`` is installed, else estimated; the input image is not counted. Each step is
stored as soon as it ends in ``results/mnist_budget.json``; a run that is cut off goes on where it
stopped::

    taskset -c 0 python examples/benchmarks/mnist_budget.py
"""

import argparse
import json
from pathlib import Path

from pairing import machine, table

from skbnn import BinaryCNNClassifier, BinaryLogisticRegression
from skbnn.datasets import fetch_mnist
from skbnn.export import footprint, measure

PATH = Path(__file__).parent / "results" / "mnist_budget.json"
TARGET = "cortex-m0plus"
KIB = 1024
BUDGETS = [(2, 0.5), (4, 1), (8, 1), (16, 2), (24, 2), (64, 8)]
"""Flash and RAM, KiB."""


def cnn(channels, pool_size, n_thresholds, **params):
    """Return an unfitted network on squares of four pixels."""
    return BinaryCNNClassifier(
        channels, pool_size=pool_size, n_thresholds=n_thresholds, random_state=0, **params
    )


CANDIDATES = {
    "logistic, 1 threshold": BinaryLogisticRegression(n_thresholds=1, random_state=0),
    "CNN 8-16": cnn((8, 16), (2, 2), 1),
    "CNN 16-20": cnn((16, 20), (2, 2), 2),
    "CNN 16-24": cnn((16, 24), (2, 2), 2),
    "CNN 32-40": cnn((32, 40), (2, 2), 2),
    "CNN 64-64": cnn((64, 64), (2, 2), 2),
    "CNN 48-48-64": cnn((48, 48, 64), (1, 2, 2), 2),
    "CNN 48-64-96": cnn((48, 64, 96), (1, 2, 2), 3),
    "CNN 48-48-96-96-256": cnn(
        (48, 48, 96, 96), (1, 2, 1, 2), 3, hidden_layer_sizes=(256,), hidden_dropout=0.1
    ),
}


def sizes(model):
    """Return flash and RAM, KiB, and how they were found."""
    try:
        found, how = measure(model, TARGET), "measured"
    except RuntimeError:
        found, how = footprint(model, TARGET), "estimated"
    return {
        "flash, KiB": round(found.flash_nbytes / KIB, 2),
        "RAM, KiB": round(found.ram_nbytes / KIB, 2),
        "sizes": how,
        "binary operations": found.binary_ops,
    }


def main():
    """Fit what is missing and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="candidates to consider")
    arguments = parser.parse_args()
    bunch = fetch_mnist()
    X, y = bunch.data[bunch.train], bunch.target[bunch.train]
    X_test, y_test = bunch.data[bunch.test], bunch.target[bunch.test]
    stored = json.loads(PATH.read_text()) if PATH.exists() else {"validation": [], "test": []}

    def keep(part, row):
        stored[part].append(row)
        stored["machine"] = machine()
        PATH.parent.mkdir(exist_ok=True)
        PATH.write_text(json.dumps(stored, indent=1) + "\n")

    def fit(name, rows):
        net = CANDIDATES[name].set_params(max_iter=arguments.epochs)
        return net.fit(X[:rows], y[:rows])

    done = {row["network"] for row in stored["validation"]}
    for name in arguments.only or CANDIDATES:
        if name in done:
            continue
        net = fit(name, 50_000)
        error = round(100 * (1 - net.score(X[50_000:], y[50_000:])), 2)
        row = {"network": name, "validation error, %": error, "epochs": arguments.epochs}
        keep("validation", row | sizes(net.packed_))
    fitted = {}
    for flash, ram in BUDGETS:
        fits = [r for r in stored["validation"]
                if r["flash, KiB"] <= flash and r["RAM, KiB"] <= ram]  # fmt: skip
        if not fits or (flash, ram) in {
            (r["<= KiB flash"], r["<= KiB RAM"]) for r in stored["test"]
        }:
            continue
        best = min(fits, key=lambda row: row["validation error, %"])
        name = best["network"]
        if name not in fitted:
            net = fit(name, 60_000)
            error = round(100 * (1 - net.score(X_test, y_test)), 2)
            fitted[name] = {"network": name, "test error, %": error} | sizes(net.packed_)
        keep("test", {"<= KiB flash": flash, "<= KiB RAM": ram} | fitted[name])
    # Without a network that fits a budget there is no second table.
    text = "\n\n".join(table(rows) for rows in (stored["validation"], stored["test"]) if rows)
    print(text)
    PATH.with_suffix(".txt").write_text(text + "\n")


if __name__ == "__main__":
    main()
