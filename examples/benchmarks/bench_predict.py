"""Time to classify MNIST-sized rows: packed bits against scikit-learn and NumPy in float32.

All peers run in this process, one after another in every round, so that a ratio compares like with
like even where the machine's speed drifts; medians and the spread of the ratio are printed. The
networks are 784-1024-1024-1024-10 with weights from one short fit: speed does not depend on what
they have learned. Run it alone on the machine, and on one core to compare one core with another::

    taskset -c 0 python examples/benchmarks/bench_predict.py
"""

import argparse
import json
import warnings
from time import perf_counter

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from skbnn import BinaryMLPClassifier

HIDDEN = (1024, 1024, 1024)


def numpy_forward(net):
    """Return a bare float32 forward pass with the weights of a scikit-learn network."""
    weights, biases = net.coefs_, net.intercepts_

    def predict(X):
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            X = X @ w
            X += b
            np.maximum(X, 0, out=X)
        return (X @ weights[-1] + biases[-1]).argmax(1)

    return predict


def make_peers(rng):
    """Return the predict functions by name."""
    X = rng.integers(0, 256, (2000, 784), dtype=np.uint8)
    y = rng.integers(0, 10, 2000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        sklearn = MLPClassifier(HIDDEN, max_iter=1, random_state=0)
        sklearn.fit(X.astype(np.float32), y)
    peers = {"scikit-learn float32": sklearn.predict, "numpy float32": numpy_forward(sklearn)}
    for n in (1, 3):
        ours = BinaryMLPClassifier(HIDDEN, n_thresholds=n, max_iter=1, random_state=0).fit(X, y)
        peers[f"skbnn, {n} bits a feature"] = ours.predict
        peers[f"skbnn, {n} bits, packed_"] = ours.packed_.predict
    return peers


def main():
    """Time every peer for several numbers of rows and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 64, 10_000])
    parser.add_argument("--seconds", type=float, default=20.0, help="time for each row count")
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    peers = make_peers(rng)
    figures = []
    for n_rows in arguments.rows:
        X = rng.integers(0, 256, (n_rows, 784)).astype(np.float32)
        times = {name: [] for name in peers}
        start = perf_counter()
        while perf_counter() - start < arguments.seconds or len(times["numpy float32"]) < 5:
            for name, predict in peers.items():
                before = perf_counter()
                predict(X)
                times[name].append(perf_counter() - before)
        print(f"\n{n_rows:,} rows of float32, {len(times['numpy float32'])} rounds")
        print(f"{'':28}{'median':>12}{'per row':>12}   times faster than scikit-learn")
        reference = np.array(times["scikit-learn float32"])
        for name, measured in times.items():
            measured = np.array(measured)
            low, middle, high = np.quantile(reference / measured, (0.1, 0.5, 0.9))
            median = np.median(measured)
            print(
                f"{name:28}{1e3 * median:9.3f} ms{1e6 * median / n_rows:9.2f} us"
                f"   {middle:6.1f}  ({low:.1f} to {high:.1f})"
            )
            figures.append(
                {"rows": n_rows, "peer": name, "median_s": median, "faster": [low, middle, high]}
            )
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
