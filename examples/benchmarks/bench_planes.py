"""What planes of bits cost: a layer of M planes of weights by N of activations over M N plain ones.

The plain layer compares its sums inside the product; a layer of planes adds integer sums of all
pairs of planes up, compares them with a threshold for each level and packs the code. All run in
turn in one process::

    taskset -c 0 python examples/benchmarks/bench_planes.py --json planes.json
"""

import argparse

import numpy as np
from pairing import in_turn, ratio, table, write

from skbnn.bits import backend, pack_bits
from skbnn.packed import BinaryLinear, BitCode, BitMatrix, LevelCodes, SignThreshold

PLANES = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3)]


def layer(rng, n_bits, n_units, n_weights, n_activations):
    """Return a layer of planes with codes of as many planes behind it."""
    words = pack_bits(rng.random((n_weights, n_units, n_bits)) < 0.5)
    scales = rng.integers(20, 60, (n_weights, n_units)).astype(np.int32)
    matrix = BitMatrix(words, n_bits, scales)
    code = BitCode(n_bits, tuple(range(1, n_activations + 1)))
    n_steps = n_activations
    steps = np.sort(rng.integers(-1000, 1000, (n_steps, n_units)), 0).astype(np.int16)
    codes = tuple((1 << level) - 1 for level in range(n_steps + 1))
    output = LevelCodes(steps, pack_bits(np.zeros(n_units, bool)), codes, code.scales, 0)
    return BinaryLinear(matrix, code, output)


def main():
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 512])
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    rng, kernels, width = np.random.default_rng(0), backend("numba"), arguments.width
    plain = BinaryLinear(
        BitMatrix(pack_bits(rng.random((1, width, width)) < 0.5), width),
        BitCode(width),
        SignThreshold(np.zeros(width, np.int16)),
    )
    found = []
    for n_rows in arguments.rows:
        for m, n in PLANES:
            peers = {}
            for name, operation, planes in (
                ("plain", plain, 1),
                ("planes", layer(rng, width, width, m, n), n),
            ):
                rows = pack_bits(rng.random((n_rows, planes, width)) < 0.5)
                run = operation.prepare(kernels)
                peers[name] = lambda run=run, rows=rows: run(rows)
            times = in_turn(peers, arguments.seconds)
            over = {k: v / (m * n) for k, v in ratio(times, "planes", "plain").items()}
            found.append(
                {
                    "planes": f"{m} x {n}",
                    "rows": n_rows,
                    "plain, us": 1e6 * float(np.median(times["plain"])),
                    "planes, us": 1e6 * float(np.median(times["planes"])),
                    "over M N plain": over,
                }
            )
    print(table(found))
    write(arguments.json, "planes", found)


if __name__ == "__main__":
    main()
