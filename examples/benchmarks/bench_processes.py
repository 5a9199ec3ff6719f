"""Two processes that train one network, against one: accuracy and speed, on MNIST.

For every seed a network is trained alone and by two processes, with the same global batches and one
thread for each process, and alone with two threads, which is what one would do on one machine
anyway. Each fit is a launch of its own; its time is that of ``fit``, without start and imports. The
order of the three changes from seed to seed. Two processes want two cores; some minutes::

    python examples/benchmarks/bench_processes.py --json examples/benchmarks/results/processes.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
from pairing import table, write

HOW = {
    "1 process, 1 thread": (1, 1),
    "2 processes, 1 thread each": (2, 1),
    "1 process, 2 threads": (1, 2),
}
NETWORKS = ("mlp 512-512", "cnn 32-64")


def estimator(network, epochs, seed):
    """Return an unfitted network."""
    from skbnn import BinaryCNNClassifier, BinaryMLPClassifier

    settings = {"n_thresholds": 1, "batch_size": 256, "max_iter": epochs, "random_state": seed}
    settings["device"] = "accelerate"
    if network.startswith("mlp"):
        return BinaryMLPClassifier((512, 512), **settings)
    return BinaryCNNClassifier((32, 64), **settings)


def fit(arguments):
    """Fit one network, and write what came out of it in the first process."""
    from accelerate import PartialState

    from skbnn.datasets import fetch_mnist

    bunch = fetch_mnist()
    X, y = bunch.data[: arguments.rows], bunch.target[: arguments.rows]
    network, seed = arguments.networks[0], arguments.seeds[0]
    # What loads and compiles once is not part of the time.
    estimator(network, 1, seed).fit(X[:512], y[:512])
    net = estimator(network, arguments.epochs, seed)
    start = time.perf_counter()
    net.fit(X, y)
    seconds = time.perf_counter() - start
    state = PartialState()
    if state.is_main_process:
        score = net.score(bunch.data[bunch.test], bunch.target[bunch.test])
        found = {"accuracy": score, "seconds": seconds, "processes": state.num_processes}
        Path(arguments.fit).write_text(json.dumps(found))


def launched(network, seed, n_processes, n_threads, arguments):
    """Return what a fit in processes of its own found."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        command = [__file__, "--fit", path, "--networks", network, "--seeds", seed]
        command += ["--rows", arguments.rows, "--epochs", arguments.epochs]
        launcher = ["accelerate.commands.launch", "--num_processes", n_processes]
        launcher += ["--num_machines", 1, "--mixed_precision", "no", "--dynamo_backend", "no"]
        launcher += ["--multi_gpu"] if n_processes > 1 else []
        environment = {**os.environ, "OMP_NUM_THREADS": str(n_threads)}
        subprocess.run(
            [sys.executable, "-m", *map(str, launcher + command)], env=environment, check=True
        )
        found = json.loads(path.read_text())
    if found["processes"] != n_processes:
        raise RuntimeError(f"{n_processes} processes were launched as {found['processes']}.")
    return found


def main():
    """Fit everything in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=60_000, help="training images")
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--fit", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fit:
        return fit(arguments)
    rows = []
    for network in arguments.networks:
        found = {how: [] for how in HOW}
        for turn, (seed, k) in enumerate(product(arguments.seeds, range(len(HOW)))):
            how = list(HOW)[(k + turn // len(HOW)) % len(HOW)]
            found[how].append(launched(network, seed, *HOW[how], arguments))
            print(network, how, f"seed {seed}:", found[how][-1], flush=True)
        alone = found["1 process, 1 thread"]
        for how, fits in found.items():
            scores = 100 * np.array([one["accuracy"] for one in fits])
            times = np.array([one["seconds"] for one in fits])
            ratios = np.array([one["seconds"] for one in alone]) / times
            rows.append(
                {
                    "network": f"{network}, {how}",
                    "accuracy, %": round(float(scores.mean()), 2),
                    "of each seed": " / ".join(f"{score:.2f}" for score in scores),
                    "s an epoch": float(np.median(times)) / arguments.epochs,
                    "x one process": {
                        "median": float(np.median(ratios)),
                        "low": float(ratios.min()),
                        "high": float(ratios.max()),
                    },
                }
            )
    print(f"\n{table(rows)}")
    write(arguments.json, "processes", rows)


if __name__ == "__main__":
    main()
