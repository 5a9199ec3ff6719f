"""How many MNIST images a second can one core classify, and how well?

Networks of several sizes on one bit a pixel are fitted to the first 50,000 training images. For
each goal, the fastest one that reaches it on the other 10,000 is fitted again to all 60,000 images
and scored once on the test images; speed is that of ``packed_.predict`` on the test images as
uint8, in batches of 10,000, on one core. Each step is stored as soon as it ends in
``results/record.json``; a run that is cut off goes on where it stopped::

    taskset -c 0 python examples/benchmarks/record.py

Small networks learn 50,000 images by heart, so they see each one moved by a pixel in all eight
directions too, which helps them more than dropout. And they read few pixels: all but those that
are bright most often are blanked in training, where constant features take no bits.
"""

import argparse
import json
from pathlib import Path
from time import process_time

import numpy as np
from pairing import Peak, in_turn, machine, table

from skbnn import BinaryMLPClassifier
from skbnn.datasets import fetch_mnist

SIZES = [(192, 128), (384, 192)]
GOALS = (97.5, 98.0)
N_PIXELS = 512
MOVES = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
PATH = Path(__file__).parent / "results" / "record.json"


def network(sizes, epochs):
    """Return an unfitted network on one bit a pixel."""
    return BinaryMLPClassifier(
        sizes,
        n_thresholds=1,
        max_iter=epochs,
        input_dropout=0.0,
        hidden_dropout=0.0,
        random_state=0,
    )


def fitted(sizes, epochs, X, y):
    """Return a network fitted to moved images, and the processor's seconds."""
    rows, start = moved(X, y), process_time()
    return network(sizes, epochs).fit(*rows), process_time() - start


def moved(X, y):
    """Return images moved by a pixel or not at all, less the pixels that are seldom bright."""
    images = X.reshape(-1, 28, 28)
    rows = np.concatenate([np.roll(images, move, (1, 2)) for move in MOVES]).reshape(-1, 784)
    rows[:, np.argsort((X < 128).sum(0), kind="stable")[N_PIXELS:]] = 0
    return rows, np.tile(y, len(MOVES))


def speed(model, X, seconds=5.0):
    """Return images a second, the part of the core's limit, and binary operations an image."""
    peak = Peak()
    times = in_turn({"ours": lambda: model.predict(X), "limit": peak}, seconds)
    median = np.median(times["ours"])
    work = model.summary().binary_ops * len(X)
    limit = np.median(times["limit"]) / peak.multiply_adds
    return {
        "images a second": int(len(X) / median),
        "% of limit": round(100 * float(work * limit / median), 1),
        "binary operations": model.summary().binary_ops,
    }


def main():
    """Fit what is missing and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
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

    done = {row["network"] for row in stored["validation"]}
    for sizes in SIZES:
        name = "-".join(map(str, sizes))
        if name in done:
            continue
        net, seconds = fitted(sizes, arguments.epochs, X[:50_000], y[:50_000])
        accuracy = 100 * net.score(X[50_000:], y[50_000:])
        row = {"network": name, "validation accuracy, %": round(accuracy, 2)}
        row |= speed(net.packed_, X_test)
        keep("validation", row | {"epochs": arguments.epochs, "fit, s": seconds})
    for goal in GOALS:
        reach = [r for r in stored["validation"] if r["validation accuracy, %"] >= goal]
        if not reach or goal in {row["goal, %"] for row in stored["test"]}:
            continue
        best = max(reach, key=lambda row: row["images a second"])
        sizes = tuple(map(int, best["network"].split("-")))
        net, seconds = fitted(sizes, best["epochs"], X, y)
        accuracy = 100 * net.score(X_test, y_test)
        row = {"goal, %": goal, "network": best["network"]}
        row |= {"test accuracy, %": round(accuracy, 2), "bytes": net.packed_.nbytes}
        keep("test", row | speed(net.packed_, X_test) | {"fit, s": seconds})
    tables = [table(stored[part]) for part in ("validation", "test") if stored[part]]
    text = "\n\n".join([stored["machine"]["processor"], *tables])
    PATH.with_suffix(".txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
