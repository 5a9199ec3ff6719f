"""Start-up time and memory of a process that serves one model: packed bits against float peers.

Each process imports its library, loads a network of 784 features, three hidden layers of 1024 and
ten classes from a file, and classifies one row. Time is from the start of the process to its end,
memory is the most that it ever held. Processes of all peers run in turn::

    taskset -c 0 python examples/benchmarks/bench_serving.py

Packed models need no compiler, and with ``backend="numpy"`` no Numba either; with Numba the
kernels come from its cache, which a first run fills.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from pairing import in_turn, ratio, table, write

HIDDEN, N_FEATURES, N_CLASSES = (1024, 1024, 1024), 784, 10
HEAD = "import numpy as np\nx = np.zeros((1, 784), np.{dtype})\n"
TAIL = """
with open("/proc/self/status") as file:
    print(next(line.split()[1] for line in file if line.startswith("VmHWM")))
"""
SCRIPTS = {
    "skbnn, NumPy": HEAD.format(dtype="uint8")
    + "import skbnn\nskbnn.load('bits.skbnn', backend='numpy').predict(x)",
    "skbnn, Numba": HEAD.format(dtype="uint8")
    + "import skbnn\nskbnn.load('bits.skbnn', backend='numba').predict(x)",
    "skbnn, compiled C": HEAD.format(dtype="uint8")
    + "import ctypes\nctypes.CDLL('./bits.so').bits_predict(ctypes.c_void_p(x.ctypes.data))",
    "torch": HEAD.format(dtype="float32")
    + "import torch\nnet = torch.jit.load('net.pt')\nnet(torch.from_numpy(x)).argmax(1)",
    "onnxruntime": HEAD.format(dtype="float32")
    + "import onnxruntime\nnet = onnxruntime.InferenceSession('net.onnx')\nnet.run(None, {'x': x})",
    "Python and NumPy alone": HEAD.format(dtype="float32"),
}


def write_bits(folder):
    """Write the packed network, as a file and as a shared library of C."""
    from skbnn import BinaryMLPClassifier
    from skbnn.export import to_c_files

    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (200, N_FEATURES), np.uint8)
    net = BinaryMLPClassifier(HIDDEN, max_iter=1, random_state=0)
    model = net.fit(X, np.arange(200) % N_CLASSES).packed_
    model.save(folder / "bits.skbnn")
    header, source = to_c_files(model, "bits")
    (folder / "bits.h").write_text(header)
    (folder / "bits.c").write_text(source)
    command = ["cc", "-std=c99", "-O3", "-shared", "-fPIC", "-o", "bits.so", "bits.c"]
    subprocess.run(command, cwd=folder, check=True)


def write_peers(folder):
    """Write float networks of the same shape for torch and onnxruntime."""
    import torch
    from onnx import TensorProto, helper, numpy_helper, save

    widths = (N_FEATURES, *HIDDEN, N_CLASSES)
    layers, nodes, constants, here = [], [], [], "x"
    for k, (n_in, n_out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        linear = torch.nn.Linear(n_in, n_out)
        layers += [linear, torch.nn.ReLU()]
        weight, bias = (p.detach().numpy() for p in (linear.weight, linear.bias))
        constants += [
            numpy_helper.from_array(weight, f"w{k}"),
            numpy_helper.from_array(bias, f"b{k}"),
        ]
        nodes.append(helper.make_node("Gemm", [here, f"w{k}", f"b{k}"], [f"z{k}"], transB=1))
        here = f"z{k}"
        if k < len(HIDDEN):
            nodes.append(helper.make_node("Relu", [here], [f"a{k}"]))
            here = f"a{k}"
    net = torch.nn.Sequential(*layers[:-1]).eval()
    torch.jit.trace(net, torch.zeros(1, N_FEATURES)).save(folder / "net.pt")
    ends = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])
        for name, width in (("x", N_FEATURES), (here, N_CLASSES))
    )
    first, last = ends
    graph = helper.make_graph(nodes, "net", [first], [last], constants)
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "net.onnx")


class Process:
    """A process that serves one row; calling it runs it once."""

    def __init__(self, script, folder):
        self.command = [sys.executable, "-c", script + TAIL]
        self.folder, self.memory = folder, 0

    def __call__(self):
        """Run the process, and note the most memory that it held."""
        done = subprocess.run(self.command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        self.memory = 1024 * int(done.stdout)


def main():
    """Time all peers and print their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bits(folder)
        write_peers(folder)
        peers = {name: Process(script, folder) for name, script in SCRIPTS.items()}
        times = in_turn(peers, 0.0, least=arguments.rounds)
        sizes = {"skbnn": "bits.skbnn", "torch": "net.pt", "onnxruntime": "net.onnx"}
        rows = [
            {
                "peer": peer,
                "ms": 1000 * float(np.median(times[peer])),
                "torch's time over it": ratio(times, "torch", peer),
                "MiB": peers[peer].memory / 2**20,
                "torch's memory over it": peers["torch"].memory / peers[peer].memory,
                "file, KiB": next(
                    (
                        (folder / file).stat().st_size / 1024
                        for start, file in sizes.items()
                        if peer.startswith(start)
                    ),
                    None,
                ),
            }
            for peer in peers
        ]
    print(table(rows))
    write(arguments.json, "A process that serves one row", rows)


if __name__ == "__main__":
    main()
