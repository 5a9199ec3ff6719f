"""Speed of the product kernels against the limit of the core and against other libraries.

The limit is measured in the same rounds: xor, popcount and add on registers, without a load that
waits. Wide layers count by pairs of words, five instructions instead of six, and may go beyond it.
``% of limit`` counts useful products only, not padding. Short calls are measured in blocks, ours
and the peers' alike: a single one times the caches that the peer before it left behind. Peers
multiply matrices of the same shape: in float32 with NumPy and torch, in bfloat16 and 8-bit integers
with torch, and on bits with numkong.
Run it on one core::

    taskset -c 0 python examples/benchmarks/bench_kernels.py
"""

import argparse

import numpy as np
import torch
from pairing import Peak, in_turn, ratio, table, write

from skbnn.bits import backend, comparison_layout, interleave, lanes_for, n_words

try:
    import numkong
except ImportError:
    numkong = None

KERNELS = backend("numba")
HIDDEN = [(784, 64), (1024, 64), (784, 1024), (1024, 1024), (784, 4096), (4096, 4096)]
LAST = [(784, 10), (1024, 10), (64, 10)]
MOST_CALLS, MEASURED = 50, 2**28


def random_words(rng, *shape):
    """Return words of random bits."""
    return rng.integers(0, 2**63, shape, np.uint64) * np.uint64(2) + np.uint64(1)


def float_peers(rng, n_rows, n_bits, n_units):
    """Return products of the same shape in other libraries."""
    x = rng.choice([-1, 1], (n_rows, n_bits)).astype(np.float32)
    w = rng.choice([-1, 1], (n_units, n_bits)).astype(np.float32)
    out = np.empty((n_rows, n_units), np.float32)
    tx, tw, tout = (torch.from_numpy(array) for array in (x, w, out))
    ix, iw = tx.to(torch.int8), tw.to(torch.int8)
    bx, bw = tx.bfloat16(), tw.bfloat16()
    return {
        "numpy float32": lambda: np.matmul(x, w.T, out=out),
        "torch float32": lambda: torch.mm(tx, tw.t(), out=tout),
        "torch bfloat16": lambda: torch.mm(bx, bw.t()),
        "torch int8": lambda: torch._int_mm(ix, iw.t()),
    }


def bit_peers(words, units):
    """Return the same count in other libraries that count bits."""
    if numkong is None:
        return {}
    packed = numkong.hammings_pack(units.view(np.uint8), dtype="uint1")
    rows = words.view(np.uint8)
    return {"numkong": lambda: numkong.hammings_packed(rows, packed)}


def measure(name, ours, peers, multiply_adds, seconds):
    """Return a table row of one kernel on one shape."""
    peak = Peak()
    calls = min(MOST_CALLS, max(1, MEASURED // multiply_adds))
    times = in_turn({"ours": ours, "limit": peak, **peers}, seconds, calls=calls)
    rate = multiply_adds / times["ours"] / 1e9
    limit = peak.multiply_adds / times["limit"] / 1e9
    row = {
        "kernel": name,
        "us": 1e6 * float(np.median(times["ours"])),
        "GMAC/s": float(np.median(rate)),
        "% of limit": 100 * float(np.median(rate / limit)),
    }
    return row | {f"x {peer}": ratio(times, peer, "ours") for peer in peers}


def fused(rng, n_rows, n_bits, n_units, seconds):
    """Measure a whole hidden layer: bits to bits."""
    words = random_words(rng, n_rows, n_words(n_bits))
    flat = random_words(rng, n_units, n_words(n_bits))
    units, limits = comparison_layout(flat, np.full(n_units, n_bits // 2))
    out = np.empty((n_rows, n_units // 64), np.uint64)
    return measure(
        f"fused {n_bits}x{n_units}, {n_rows} rows",
        lambda: KERNELS.compare_mismatches(words, units, limits, out),
        float_peers(rng, n_rows, n_bits, n_units) | bit_peers(words, flat),
        n_rows * n_bits * n_units,
        seconds,
    )


def counts(rng, n_rows, n_bits, n_units, seconds):
    """Measure an output layer: bits to counts."""
    words = random_words(rng, n_rows, n_words(n_bits))
    flat = random_words(rng, n_units, n_words(n_bits))
    units = interleave(flat, lanes_for(n_units))
    out = np.empty((n_rows, n_units), np.int32)
    return measure(
        f"counts {n_bits}x{n_units}, {n_rows} rows",
        lambda: KERNELS.count_mismatches(words, units, out),
        float_peers(rng, n_rows, n_bits, n_units) | bit_peers(words, flat),
        n_rows * n_bits * n_units,
        seconds,
    )


def main():
    """Measure every shape and print a table of each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 64, 1024, 10_000])
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each shape")
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    rows = []
    for kind, shapes in ((fused, HIDDEN), (counts, LAST)):
        made = [
            kind(rng, n_rows, *shape, arguments.seconds)
            for shape in shapes
            for n_rows in arguments.rows
        ]
        print(f"\n{table(made)}", flush=True)
        rows += made
    print("\nx PEER: the peer's time divided by ours, median (10 % to 90 % of the rounds)")
    write(arguments.json, "kernels", rows)


if __name__ == "__main__":
    main()
