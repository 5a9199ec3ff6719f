"""What planes of bits cost: a layer of M planes of weights by N of activations over M N plain ones.

The plain layer compares its sums inside the product; a layer of planes adds integer sums of all
pairs of planes up, compares them with a threshold for each level and packs the code. The first line
is one plane of the numbers 0 and 1 times signs, for which others have a second kernel, AND. All run
in turn in one process::

    taskset -c 0 python examples/benchmarks/bench_planes.py --json planes.json
"""

import argparse

import numpy as np
from pairing import in_turn, ratio, table, write

from skbnn.bits import backend, pack_bits
from skbnn.packed import BinaryLinear, BitCode, BitMatrix, LevelCodes, SignThreshold

ZERO_ONE = "0 and 1"
PLANES = [ZERO_ONE, (1, 1), (1, 2), (2, 1), (2, 2), (3, 3)]


def layer(rng, n_bits, n_units, n_weights, n_activations):
    """Return a layer of planes with codes of as many planes behind it."""
    words = pack_bits(rng.random((n_weights, n_units, n_bits)) < 0.5)
    scales = rng.integers(20, 60, (n_weights, n_units)).astype(np.int32)
    matrix = BitMatrix(words, n_bits, scales)
    return coded(rng, matrix, BitCode(n_bits, tuple(range(1, n_activations + 1))))


def zero_one_layer(rng, n_bits, n_units):
    """Return a layer of plain signs that reads and gives 0 and 1, in halves."""
    matrix = BitMatrix(pack_bits(rng.random((1, n_units, n_bits)) < 0.5), n_bits)
    return coded(rng, matrix, BitCode(n_bits, (1,), 1))


def coded(rng, matrix, code):
    """Return a layer with a step for each plane of its code, which it also gives."""
    n_steps, n_units = len(code.scales), matrix.n_units
    steps = np.sort(rng.integers(-1000, 1000, (n_steps, n_units)), 0).astype(np.int16)
    codes = tuple((1 << level) - 1 for level in range(n_steps + 1))
    falls = pack_bits(np.zeros(n_units, bool))
    output = LevelCodes(steps, falls, codes, code.scales, code.offset)
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
        for planes in PLANES:
            peers, is_zero_one = {}, planes == ZERO_ONE
            m, n = (1, 1) if is_zero_one else planes
            found_layer = (
                zero_one_layer(rng, width, width) if is_zero_one else layer(rng, width, width, m, n)
            )
            for name, operation, n_given in (("plain", plain, 1), ("planes", found_layer, n)):
                rows = pack_bits(rng.random((n_rows, n_given, width)) < 0.5)
                run = operation.prepare(kernels)
                peers[name] = lambda run=run, rows=rows: run(rows)
            times = in_turn(peers, arguments.seconds)
            over = {k: v / (m * n) for k, v in ratio(times, "planes", "plain").items()}
            found.append(
                {
                    "planes": planes if is_zero_one else f"{m} x {n}",
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
