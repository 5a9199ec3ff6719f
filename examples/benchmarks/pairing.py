"""What the benchmarks share: peers timed in turn, the machine they ran on, the limit of its core.

Absolute times move with the machine and with what else runs on it. So every peer is called in turn,
round after round, in one process, and what counts is a peer's time divided by ours in the same
round; tables print the median of those ratios and their spread.
"""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from time import perf_counter

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from threadpoolctl import threadpool_info

PACKAGES = ("skbnn", "numpy", "numba", "scikit-learn", "torch", "onnxruntime", "numkong")
_CHAINS = 10


def in_turn(peers, seconds, *, calls=1, least=5):
    """Time functions in turn.

    Parameters
    ----------
    peers : dict of str to callable
        What to time.
    seconds : float
        Time for all rounds together.
    calls : int, default=1
        Consecutive calls that count as one measurement.
    least : int, default=5
        Rounds at least.

    Returns
    -------
    times : dict of str to float64 ndarray of shape (n_rounds,)
        Seconds per call of each round.
    """
    for peer in peers.values():
        peer()
    times = {name: [] for name in peers}
    start = perf_counter()
    while perf_counter() - start < seconds or len(times[next(iter(peers))]) < least:
        for name, peer in peers.items():
            before = perf_counter()
            for _ in range(calls):
                peer()
            times[name].append((perf_counter() - before) / calls)
    return {name: np.array(found) for name, found in times.items()}


def ratio(times, of, to):
    """Return the median and the 10 % and 90 % quantiles of one peer's time over another's."""
    low, middle, high = np.quantile(times[of] / times[to], (0.1, 0.5, 0.9))
    return {"low": low, "median": middle, "high": high}


def machine():
    """Return what the times depend on: processor, versions, kernels of the BLAS libraries."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines()
                 if line.startswith("model name")]  # fmt: skip
        model = names[0] if names else model
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    blas = sorted({f"{i['internal_api']} {i.get('architecture', '')}" for i in threadpool_info()})
    return {"processor": model, "versions": versions, "threadpools": blas}


@intrinsic
def _chains(typing, words, fixed, n_rounds):
    """Emit xor, popcount and add on ten vectors for each vector loaded, and nothing else."""

    def emit(context, builder, signature, arguments):
        int64 = ir.IntType(64)
        vector = ir.VectorType(int64, 8)
        sources, fixed = (
            context.make_array(signature.args[k])(context, builder, arguments[k]).data
            for k in (0, 1)
        )
        popcount = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector]), "llvm.ctpop.v8i64"
        )

        def load(start, offset):
            place = builder.bitcast(builder.gep(start, [offset]), vector.as_pointer())
            return builder.load(place, align=8)

        constants = [load(fixed, int64(8 * k)) for k in range(_CHAINS)]
        sums = [cgutils.alloca_once_value(builder, vector(None)) for _ in constants]
        with cgutils.for_range(builder, arguments[2]) as loop:
            offset = builder.mul(builder.and_(loop.index, int64(63)), int64(8))
            word = load(sources, offset)
            for total, constant in zip(sums, constants, strict=True):
                ones = builder.call(popcount, [builder.xor(word, constant)])
                builder.store(builder.add(builder.load(total), ones), total)
        total = builder.load(sums[0])
        for other in sums[1:]:
            total = builder.add(total, builder.load(other))
        return builder.extract_element(total, ir.IntType(32)(0))

    return types.int64(words, fixed, types.int64), emit


@njit
def _count(words, fixed, n_rounds):
    return _chains(words, fixed, n_rounds)


class Peak:
    """The core's own limit: xor, popcount and add on registers, as fast as it retires them.

    Attributes
    ----------
    multiply_adds : int
        Products of two bits that one call counts.
    """

    n_rounds = 50_000

    def __init__(self):
        rng = np.random.default_rng(0)
        self.words = rng.integers(0, 2**63, 64 * 8, np.uint64)
        self.fixed = rng.integers(0, 2**63, 8 * _CHAINS, np.uint64)
        self.multiply_adds = self.n_rounds * _CHAINS * 512

    def __call__(self):
        """Run for about a millisecond."""
        return _count(self.words, self.fixed, self.n_rounds)


def table(rows):
    """Return dicts with the same keys as an aligned text table; numbers stand to the right."""
    head = list(rows[0])
    cells = [[_cell(row[key]) for key in head] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    left = [isinstance(rows[0][key], str) for key in head]

    def line(values):
        parts = zip(values, widths, left, strict=True)
        return "  ".join(v.ljust(w) if is_left else v.rjust(w) for v, w, is_left in parts).rstrip()

    return "\n".join([line(head), *(line(row) for row in cells)])


def _cell(value):
    """Return a value as a table shows it: three digits that count."""
    if value is None:
        return "-"
    if isinstance(value, dict):
        return f"{value['median']:.3g} ({value['low']:.3g}-{value['high']:.3g})"
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def write(path, title, rows):
    """Write rows with the machine they were measured on, unless there is no path.

    As JSON, and beside it as the text that the documentation shows: a table for each run of rows
    with the same columns.
    """
    if not path:
        return
    where = machine()
    content = json.dumps({"benchmark": title, **where, "rows": rows}, indent=1, default=float)
    Path(path).write_text(content + "\n")
    tables = [table(list(group)) for _, group in groupby(rows, key=list)]
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    head = f"{where['processor']}\n{versions}\n{', '.join(where['threadpools'])}"
    Path(path).with_suffix(".txt").write_text("\n\n".join([head, *tables]) + "\n")
