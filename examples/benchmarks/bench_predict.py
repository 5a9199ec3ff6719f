"""Time to classify MNIST-sized rows: packed bits against float and 8-bit peers.

All peers run in this process in turn, so that a ratio compares like with like even where the
machine's speed drifts. Weights come from one pass over random rows: speed does not depend on what
they have learned. ``% of limit`` is the share of the core's own limit for xor, popcount and add,
measured in the same rounds. Run it alone on the machine, on one core::

    taskset -c 0 python examples/benchmarks/bench_predict.py

and on two for the comparison of one thread with two, which it leaves out on one::

    python examples/benchmarks/bench_predict.py --only threads
"""

import argparse
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from pairing import Peak, in_turn, ratio, table, write
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from skbnn import BinaryLogisticRegression, BinaryMLPClassifier
from skbnn.bits import backend

N_FEATURES, N_CLASSES = 784, 10
CALLS = {10_000: 1, 64: 10, 1: 50}
SMALL, LARGE = (1024, 1024, 1024), (4096, 4096, 4096)


def training_rows(rng, n_rows=600):
    """Return random pixels and classes."""
    X = rng.integers(0, 256, (n_rows, N_FEATURES), np.uint8)
    return X, rng.integers(0, N_CLASSES, n_rows)


def ours(rng, hidden, n_thresholds):
    """Return a fitted binary network."""
    net = BinaryMLPClassifier(hidden, n_thresholds=n_thresholds, max_iter=1, random_state=0)
    return net.fit(*training_rows(rng))


def float_weights(rng, hidden):
    """Return random weight matrices (n_in, n_out) and biases in float32."""
    widths = (N_FEATURES, *hidden, N_CLASSES)
    pairs = zip(widths[:-1], widths[1:], strict=True)
    weights = [rng.normal(0, n_in**-0.5, (n_in, n_out)) for n_in, n_out in pairs]
    return [w.astype(np.float32) for w in weights], [np.zeros(n, np.float32) for n in widths[1:]]


def sklearn_peer(rng, hidden, weights, biases):
    """Return scikit-learn's network with these weights."""
    X, y = training_rows(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net = MLPClassifier(hidden, max_iter=1, random_state=0).fit(X.astype(np.float32), y)
    net.coefs_, net.intercepts_ = weights, biases
    return net.predict


def numpy_peer(weights, biases):
    """Return a bare forward pass."""

    def predict(X):
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            X = X @ w
            X += b
            np.maximum(X, 0, out=X)
        return (X @ weights[-1] + biases[-1]).argmax(1)

    return predict


def torch_peers(weights, biases):
    """Return eager torch in float32 and with dynamically quantized linear layers."""
    layers = []
    for w, b in zip(weights, biases, strict=True):
        linear = torch.nn.Linear(*w.shape)
        linear.weight.data, linear.bias.data = torch.from_numpy(w.T.copy()), torch.from_numpy(b)
        layers += [linear, torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1]).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        int8 = torch.ao.quantization.quantize_dynamic(net, {torch.nn.Linear}, torch.qint8)

    def predictor(net):
        def predict(X):
            with torch.inference_mode():
                return net(torch.from_numpy(X)).argmax(1)

        return predict

    return {"torch float32": predictor(net), "torch int8": predictor(int8)}


def onnx_peers(weights, biases, n_threads=1):
    """Return onnxruntime in float32 and 8 bits; nothing where it is not installed."""
    try:
        import onnx
        import onnxruntime
        from onnxruntime.quantization import quantize_dynamic
    except ImportError:
        return {}
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, here = [], [], "x"
    for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
        constants += [numpy_helper.from_array(w, f"w{k}"), numpy_helper.from_array(b, f"b{k}")]
        nodes.append(helper.make_node("MatMul", [here, f"w{k}"], [f"m{k}"]))
        nodes.append(helper.make_node("Add", [f"m{k}", f"b{k}"], [f"z{k}"]))
        if k < len(weights) - 1:
            nodes.append(helper.make_node("Relu", [f"z{k}"], [f"a{k}"]))
        here = f"a{k}"
    nodes.append(helper.make_node("ArgMax", [f"z{len(weights) - 1}"], ["y"], axis=1, keepdims=0))
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, N_FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [None])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.log_severity_level = 3
    peers = {}
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, plain)
        quantize_dynamic(plain, small)
        for name, path in (("ort float32", plain), ("ort int8", small)):
            session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
            peers[name] = lambda X, session=session: session.run(None, {"x": X})[0]
    return peers


def measure(name, nets, peers, X, seconds, *, calls=1, multiply_adds=None):
    """Return a table row for each of our predictors, with every peer's time over its own."""
    both = {**nets, **peers}
    timed = {key: lambda predict=predict: predict(X) for key, predict in both.items()}
    if multiply_adds:
        peak = timed["limit"] = Peak()
    times = in_turn(timed, seconds, calls=calls)
    rows = []
    for key in nets:
        median = float(np.median(times[key]))
        row = {"what": f"{name}: {key}", "us a row": 1e6 * median / len(X)}
        if multiply_adds:
            limit = np.median(times["limit"]) / peak.multiply_adds
            row["% of limit"] = 100 * limit * multiply_adds[key] * len(X) / median
        rows.append(row | {f"x {peer}": ratio(times, peer, key) for peer in peers})
    return rows


def networks(rng, seconds):
    """Measure whole networks, many rows and few."""
    rows = []
    for hidden, counts in ((SMALL, (1, 3)), (LARGE, (1,))):
        nets, work = {}, {}
        for n in counts:
            net = ours(rng, hidden, n)
            nets |= {f"{n} bits, predict": net.predict, f"{n} bits, packed_": net.packed_.predict}
            binary = net.packed_.summary().binary_ops
            work |= dict.fromkeys((f"{n} bits, predict", f"{n} bits, packed_"), binary)
        weights, biases = float_weights(rng, hidden)
        peers = {
            "scikit-learn": sklearn_peer(rng, hidden, weights, biases),
            "numpy": numpy_peer(weights, biases),
            **torch_peers(weights, biases),
            **onnx_peers(weights, biases),
        }
        for n_rows, calls in CALLS.items():
            X = rng.integers(0, 256, (n_rows, N_FEATURES)).astype(np.float32)
            name = f"{'-'.join(map(str, hidden))}, {n_rows} rows"
            made = measure(name, nets, peers, X, seconds, calls=calls, multiply_adds=work)
            print(f"\n{table(made)}", flush=True)
            rows += made
        pixels = rng.integers(0, 256, (10_000, N_FEATURES), np.uint8)
        floats = pixels.astype(np.float32)
        on_floats = {key: lambda _, p=peer, X=floats: p(X) for key, peer in peers.items()}
        made = measure(
            f"{'-'.join(map(str, hidden))}, 10000 rows of uint8", nets, on_floats, pixels, seconds
        )
        print(f"\n{table(made)}", flush=True)
        rows += made
    return rows


def logistic(rng, seconds):
    """Measure a single layer: against scikit-learn, and against reading and packing alone."""
    X, y = training_rows(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer = LogisticRegression(max_iter=1).fit(X.astype(np.float32), y)
    pixels = rng.integers(0, 256, (10_000, N_FEATURES), np.uint8)
    floats = pixels.astype(np.float32)
    rows = []
    for n in (1, 7):
        net = BinaryLogisticRegression(n_thresholds=n, max_iter=1, random_state=0).fit(X, y)
        encode = net.packed_.operations[0].prepare(backend("numba"))
        peers = {
            "scikit-learn": lambda _: peer.predict(floats),
            "packing alone": lambda X, encode=encode: [
                encode(X[k : k + 512]) for k in range(0, len(X), 512)
            ],
        }
        nets = {f"{n} bits, predict": net.predict}
        rows += measure("logistic, 10000 rows of uint8", nets, peers, pixels, seconds / 2)
    print(f"\n{table(rows)}", flush=True)
    return rows


def threads(rng, seconds):
    """Measure two threads against one, where there are two cores to run on."""
    rows = []
    if len(os.sched_getaffinity(0)) < 2:
        return rows
    for hidden in ((256, 256), SMALL, LARGE):
        packed = ours(rng, hidden, 1).packed_
        for n_rows in (10_000, 1024, 64):
            X = rng.integers(0, 256, (n_rows, N_FEATURES), np.uint8)
            nets = {"two threads": lambda X, packed=packed: packed.predict(X, n_jobs=2)}
            peers = {"one thread": packed.predict}
            name = f"{'-'.join(map(str, hidden))}, {n_rows} rows"
            rows += measure(name, nets, peers, X, seconds / 3)
    print(f"\n{table(rows)}", flush=True)
    return rows


START = """
import time, numpy as np, skbnn, numba, sklearn
X = np.zeros((1, 784), np.uint8)
before = time.perf_counter()
skbnn.load({path!r}).predict(X)
print(time.perf_counter() - before)
"""


def start(rng, seconds):
    """Measure load and first prediction of a new process, kernels compiled and cached."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "net.skbnn")
        ours(rng, SMALL, 1).packed_.save(path)
        for k in range(4):
            environment = {**os.environ, "NUMBA_CACHE_DIR": str(Path(folder) / "cache")}
            command = [sys.executable, "-c", START.format(path=path)]
            run = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            )
            kind = "cached kernels" if k else "nothing cached"
            rows.append({"what": f"first predict, {kind}", "seconds": float(run.stdout)})
    print(f"\n{table(rows)}", flush=True)
    return rows


PARTS = {"networks": networks, "logistic": logistic, "threads": threads, "start": start}


def main():
    """Measure every part and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=20.0, help="time for each table")
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    rows = [row for part in arguments.only for row in PARTS[part](rng, arguments.seconds)]
    print("\nx PEER: the peer's time divided by ours, median (10 % to 90 % of the rounds)")
    write(arguments.json, "predict", rows)


if __name__ == "__main__":
    main()
