"""Load many mutated model files: ``python tests/packed/fuzz_format.py --files 200000``.

Every golden file is mutated again and again: bytes flipped, cut off, doubled or added, most of them
with a new checksum so that the mutation is seen by what lies behind it; numbers, texts and fields
of the JSON exchanged, removed and copied elsewhere; shapes and places of arrays changed; array
bytes overwritten. Each file must end in a ValueError with its name, or in a model whose scores can
be computed, within a second of processor time and in memory of twice the file and 64 MiB: the
process may not grow further. Anything else is printed with the seed that makes it again, and ends
in exit status 1.
"""

import argparse
import copy
import faulthandler
import hashlib
import json
import resource
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

import skbnn
from skbnn.packed import format

START = b'{"__metadata__":{"sha256":"'
PLACE = 8 + len(START)
NUMBERS = [0, 1, -1, 2, 3, 7, 8, 63, 64, 65, 255, 256, 1000, 2**15, 2**16, 2**20, 2**24, 2**31 - 1]
NUMBERS += [-(2**31), 2**31, 2**40, 2**63 - 1, 2**63, 2**64, 2**100, 0.5, -0.0, 1e308]
OTHERS = [None, True, False, "", "x", "thermometer", "bit-code", [], {}, [1], [[]], [1, 1, 1]]
MEMORY, SECONDS = 64 << 20, 1.0


def unpack(data):
    """Container header, our metadata and the arrays' bytes of a file."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = json.loads(header.pop("__metadata__")["skbnn"])
    return {"header": header, "metadata": metadata}, data[8 + length :]


def seal(data):
    """Give a file the right checksum, as far as it reaches."""
    data = data[:PLACE] + b"0" * 64 + data[PLACE + 64 :]
    digest = hashlib.sha256(data).hexdigest().encode()
    return data[:PLACE] + digest + data[PLACE + 64 :]


def pack(parts, body):
    """Write a file of these contents."""
    entries = {"sha256": "0" * 64, "skbnn": json.dumps(parts["metadata"])}
    head = json.dumps({"__metadata__": entries, **parts["header"]}, separators=(",", ":")).encode()
    return seal(len(head).to_bytes(8, "little") + head + body)


def places_in(value, path=()):
    """Every path into nested lists and dicts."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places_in(inner, (*path, key))


def at(parts, path):
    """Follow a path."""
    for step in path:
        parts = parts[step]
    return parts


def change_json(rng, parts):
    """Exchange, nudge, copy, remove or add something somewhere."""
    paths = list(places_in(parts))
    path = paths[rng.integers(len(paths))]
    outer, key = at(parts, path[:-1]), path[-1]
    kind = rng.integers(6)
    if kind == 0:
        outer[key] = NUMBERS[rng.integers(len(NUMBERS))]
    elif kind == 1:
        outer[key] = copy.deepcopy(OTHERS[rng.integers(len(OTHERS))])
    elif kind == 2 and type(outer[key]) is int:
        outer[key] += int(rng.integers(-3, 4))
    elif kind == 3:
        outer[key] = copy.deepcopy(at(parts, paths[rng.integers(len(paths))]))
    elif kind == 4:
        del outer[key]
    elif isinstance(outer, list):
        outer.insert(int(rng.integers(len(outer) + 1)), copy.deepcopy(outer[key]))
    else:
        outer[f"{key}x"] = outer[key]


def change_bytes(rng, data):
    """Flip, overwrite, cut, double or append bytes."""
    data, kind = bytearray(data), rng.integers(5)
    place = int(rng.integers(len(data) + 1))
    length = int(rng.integers(1, 9)) if rng.random() < 0.8 else int(rng.integers(1, 500))
    if kind == 0 and place < len(data):
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[place : place + length] = rng.bytes(len(data[place : place + length]))
    elif kind == 2:
        del data[place : place + length]
    elif kind == 3:
        data[place:place] = data[place : place + length]
    else:
        data += rng.bytes(length)
    return bytes(data)


def mutate(rng, data):
    """Return a mutated file."""
    kind = rng.random()
    if kind < 0.1:
        return change_bytes(rng, data)
    if kind < 0.3:
        return seal(change_bytes(rng, data))
    parts, body = unpack(data)
    for _ in range(rng.integers(1, 4)):
        if rng.random() < 0.3:
            body = change_bytes(rng, body)
        else:
            change_json(rng, parts)
    return pack(parts, body)


class File(type(Path())):
    """A path whose file is in memory, so that many of them take no time on a disk."""

    def read_bytes(self):
        """Return the bytes."""
        return self.data


def try_file(data):
    """Load a file and score rows with it; return what came of it."""
    path = File("hostile.skbnn")
    path.data = data
    try:
        model = load(path)
    except ValueError as error:
        return "refused" if path.name in str(error) else f"refused without its name: {error}"
    if model.n_features > 1 << 16:
        return "accepted"
    rows = np.full((2, model.n_features), 1, np.uint8)
    shape = model.scores(rows).shape
    return "accepted" if shape == (2, len(model.classes)) else f"scores of shape {shape}"


def load(path):
    """Load as :func:`skbnn.load` does, from a path that may be in memory."""
    known, format.Path = format.Path, lambda same: same
    try:
        return skbnn.load(path, backend="numpy")
    finally:
        format.Path = known


def limit_memory(golden):
    """Let the process grow by what a file may take, and no further."""
    for data in golden:
        try_file(data)
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    most = size + MEMORY + 2 * max(map(len, golden))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main():
    """Mutate and load files, count what came of them, and fail where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faulthandler.enable()
    warnings.simplefilter("ignore", RuntimeWarning)
    folder = Path(__file__).parent / "data"
    golden = [path.read_bytes() for path in sorted(folder.glob("golden-v*.skbnn"))]
    limit_memory(golden)
    counts, slowest = Counter(), 0.0
    for number in range(arguments.files):
        rng = np.random.default_rng([arguments.seed, number])
        data = golden[rng.integers(len(golden))]
        try:
            data = mutate(rng, data)
        except (IndexError, KeyError, TypeError, RecursionError):
            # One mutation has removed what the next one wanted to change.
            data = seal(change_bytes(rng, data))
        start = time.process_time()
        try:
            result = try_file(data)
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        seconds = time.process_time() - start
        slowest = max(slowest, seconds)
        if seconds > SECONDS:
            result = f"{seconds:.1f} seconds"
        if result not in ("refused", "accepted"):
            print(f"seed {arguments.seed}, file {number}: {result}", flush=True)
            result = "wrong"
        counts[result] += 1
    print(f"{dict(counts)}, slowest {slowest:.3f} s")
    sys.exit(1 if counts["wrong"] else 0)


if __name__ == "__main__":
    main()
