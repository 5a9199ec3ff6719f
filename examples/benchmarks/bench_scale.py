"""What one core does in a second: images packed, predicted and trained, and what a start costs.

The constants from which the guide's page *From one core to a cluster* counts up. Seconds are those
that the processor spends on this process, with one thread, so other programs disturb them little;
what is one-off, imports and compiled kernels, is called once before. Images are MNIST's, as bytes;
networks are fitted to a few of them, because time does not depend on what they learn::

    taskset -c 0 python examples/benchmarks/bench_scale.py
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Before torch is loaded, and handed down to the processes that are started.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from pairing import table, write

from skbnn import BinaryCNNClassifier, BinaryMLPClassifier
from skbnn.datasets import fetch_mnist
from skbnn.nn.inputs import make_input

NETWORKS = {
    "mlp 256-256, 1 bit a pixel": BinaryMLPClassifier((256, 256), n_thresholds=1),
    "mlp 256-256, 3 bits a pixel": BinaryMLPClassifier((256, 256)),
    "mlp 1024-1024-1024, 3 bits a pixel": BinaryMLPClassifier((1024, 1024, 1024)),
    "cnn 32-64, 3 bits a pixel": BinaryCNNClassifier((32, 64)),
}
ROWS, BATCH = 12_800, 256
STARTS = {
    "a process that loads a model and predicts": "import skbnn; skbnn.load({model!r}).predict(X)",
    "a process that fits": (
        "from skbnn import BinaryMLPClassifier as M; M((16,), max_iter=1).fit(X, X[:, 0] > 0)"
    ),
}


def core_seconds(call, seconds):
    """Return the median of the core-seconds of some calls, after one that does not count."""
    call()
    found, start = [], time.process_time()
    while len(found) < 3 or time.process_time() - start < seconds:
        before = time.process_time()
        call()
        found.append(time.process_time() - before)
    return float(np.median(found))


def rates(name, net, X, y, seconds):
    """Return the rates of a network's work, and what an image and the model take."""
    net.set_params(max_iter=1, batch_size=BATCH, random_state=0).fit(X[:2_000], y[:2_000])
    model = net.packed_
    inputs = make_input(model.operations[0])
    taken = {
        "packed/s": core_seconds(lambda: inputs.rows(X), seconds),
        "predicted/s": core_seconds(lambda: model.predict(X), seconds),
        "trained/s": core_seconds(lambda: net.fit(X, y), 3 * seconds),
    }
    return {
        "network": name,
        **{what: round(len(X) / each) for what, each in taken.items()},
        "bytes an image": inputs.rows(X[:1]).data.nbytes,
        "model, bytes": model.nbytes,
        "latent weights": sum(array.size for array in net.state_.values()),
    }


def starts(model):
    """Measure the core-seconds of processes from their start to their end."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.skbnn")
        model.save(path)
        for name, work in STARTS.items():
            code = f"import numpy; X = numpy.eye(64, 784, dtype='u1'); {work.format(model=path)}"
            found = []
            for _ in range(4):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run([sys.executable, "-c", code], check=True)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                found.append(sum(after[:2]) - sum(before[:2]))
            # The first start may compile kernels.
            rows.append({"start of": name, "core-seconds": float(np.median(found[1:]))})
    return rows


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each rate")
    parser.add_argument("--rows", type=int, default=ROWS, help="images")
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    bunch = fetch_mnist()
    X, y = bunch.data[: arguments.rows], bunch.target[: arguments.rows]
    rows = []
    for name, net in NETWORKS.items():
        rows.append(rates(name, net, X, y, arguments.seconds))
        print(table(rows[-1:]), flush=True)
    rows += starts(next(iter(NETWORKS.values())).packed_)
    print(f"\n{table(rows[: len(NETWORKS)])}\n\n{table(rows[len(NETWORKS) :])}")
    write(arguments.json, "scale", rows)


if __name__ == "__main__":
    main()
