"""Data larger than memory: predict from disk, stream from disk, fit from disk.

Augmented MNIST, shifted and speckled, is written to one file of bytes, which the page cache then
forgets. One process each reads it as a memory map: all images are classified; some are the chunks
of a ``partial_fit`` stream; some are the training set of ``fit``. Each is timed in turn with the
same work on arrays in memory, and the process's resident memory is read from the system, mapped
pages included::

    taskset -c 0 python examples/benchmarks/out_of_core.py --images 20000000 --folder /tmp

The file takes 784 bytes an image and is removed at the end.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
from pairing import table, write

from skbnn import BinaryMLPClassifier, load
from skbnn.datasets import fetch_mnist

WIDTH, BLOCK = 784, 100_000
MIB = 1 << 20


def augmented(images, rng, n):
    """Return images shifted by up to two pixels, with eight pixels of noise, and their sources."""
    index = rng.integers(0, len(images), n)
    shifted = np.empty((n, 28, 28), np.uint8)
    places = rng.integers(-2, 3, (n, 2))
    for move in np.unique(places, axis=0):
        chosen = (places == move).all(1)
        shifted[chosen] = np.roll(images[index[chosen]].reshape(-1, 28, 28), move, (1, 2))
    rows = shifted.reshape(n, WIDTH)
    speckles = rng.integers(0, WIDTH, (n, 8))
    rows[np.arange(n)[:, None], speckles] = rng.integers(0, 256, (n, 8), np.uint8)
    return rows, index


def write_images(folder, n_images):
    """Write images and labels; return the rate of the disk while writing."""
    bunch = fetch_mnist()
    images, labels = bunch.data[bunch.train], bunch.target[bunch.train]
    rng = np.random.default_rng(0)
    y, seconds = np.empty(n_images, np.uint8), 0.0
    with open(folder / "X.npy", "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (n_images, WIDTH)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n_images, BLOCK):
            rows, index = augmented(images, rng, min(BLOCK, n_images - start))
            y[start : start + len(rows)] = labels[index]
            begin = time.perf_counter()
            file.write(rows)
            seconds += time.perf_counter() - begin
        begin = time.perf_counter()
        file.flush()
        os.fsync(file.fileno())
        seconds += time.perf_counter() - begin
    np.save(folder / "y.npy", y)
    return n_images * WIDTH / seconds


def forget(path):
    """Have the system drop a file from its page cache."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def resident(peak=False):
    """Return the bytes of memory that this process holds, or the most that it ever held."""
    name = "VmHWM" if peak else "VmRSS"
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


class Timer:
    """Seconds on the clock and of the processor that calls of a function take."""

    def __init__(self):
        self.clock, self.cpu = [], []

    def __call__(self, function, *arguments):
        clock, cpu = time.perf_counter(), time.process_time()
        result = function(*arguments)
        self.clock.append(time.perf_counter() - clock)
        self.cpu.append(time.process_time() - cpu)
        return result


def predict(folder, n_images, hidden, rounds=5):
    """Classify all images, a million a call; then compare rates in turn, from a cold file."""
    model = load(folder / f"{hidden}.skbnn")
    X, y = np.load(folder / "X.npy", mmap_mode="r"), np.load(folder / "y.npy", mmap_mode="r")
    model.predict(X[:BLOCK])
    size = min(10 * BLOCK, n_images)
    disk, memory, raw, right, labels = Timer(), Timer(), Timer(), 0, []
    start = time.perf_counter()
    for first in range(0, n_images, size):
        labels.append(model.predict(X[first : first + size]).astype(np.uint8))
        right += int((labels[-1] == y[first : first + size]).sum())
    seconds = time.perf_counter() - start
    held, equal = resident(peak=True), True
    labels = np.concatenate(labels)
    forget(folder / "X.npy")
    # What was freed is given to the host where the machine is a virtual one: as when it began.
    time.sleep(10)
    few = n_images // (4 * rounds)
    with open(folder / "X.npy", "rb", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)

        def read(first):
            """Read images through one small buffer, as the disk gives them."""
            buffer = bytearray(4 * MIB)
            file.seek(first * WIDTH - n_images * WIDTH + end)
            for _ in range(few * WIDTH // len(buffer)):
                file.readinto(buffer)

        for first in range(0, few * rounds * 4, few * 4):
            found = disk(model.predict, X[first : first + few])
            raw(read, first + few)
            rows = np.array(X[first + 2 * few : first + 3 * few])
            equal &= np.array_equal(found, labels[first : first + few])
            again = memory(model.predict, rows)
            equal &= np.array_equal(again, labels[first + 2 * few : first + 3 * few])
            del rows
    slower = np.maximum(memory.clock, raw.clock)
    return {
        "what": f"predict, {hidden}",
        "images": n_images,
        "GB": n_images * WIDTH / 1e9,
        "all, images/s": n_images / seconds,
        "from disk, images/s": few / np.median(disk.clock),
        "in memory, images/s": few / np.median(memory.clock),
        "disk alone, images/s": few / np.median(raw.clock),
        "of the lower, %": 100 * np.median(slower / disk.clock),
        "peak, MiB": held / MIB,
        "accuracy, %": 100 * right / n_images,
        "equal": bool(equal),
    }


def of_file(folder, start, n):
    """Return images in memory; read, since those that a map gave would count as held twice."""
    offset = os.path.getsize(folder / "X.npy") % WIDTH + start * WIDTH
    return np.fromfile(folder / "X.npy", np.uint8, n * WIDTH, offset=offset).reshape(-1, WIDTH)


def stream(folder, n_images, chunk=20_000):
    """Pass over images once by ``partial_fit``, and over the same ones in memory in turn."""
    X, y = np.load(folder / "X.npy", mmap_mode="r"), np.load(folder / "y.npy")
    first = BinaryMLPClassifier((64,), batch_size=1024, random_state=0)
    first.partial_fit(X[:1000], y[:1000], np.arange(10))
    nets = {"disk": first, "memory": deepcopy(first)}
    timers, held = {name: Timer() for name in nets}, []
    for start in range(0, n_images, chunk):
        rows, labels = X[start : start + chunk], y[start : start + chunk]
        # The disk first: the copy finds what it read in the page cache, not the other way round.
        for name, net in nets.items():
            taken = of_file(folder, start, chunk) if name == "memory" else rows
            timers[name](net.partial_fit, taken, labels)
        del rows, taken
        held.append(resident())
    late = held[len(held) // 10 :]
    clock, cpu = (
        {name: sum(getattr(timers[name], of)) for name in nets} for of in ("clock", "cpu")
    )
    return {
        "what": "partial_fit",
        "images": n_images,
        "calls": len(held),
        "from disk, images/s": n_images / clock["disk"],
        "in memory, images/s": n_images / clock["memory"],
        "of memory's rate, %": 100 * clock["memory"] / clock["disk"],
        "CPU time, ratio": cpu["disk"] / cpu["memory"],
        "growth, MiB": (max(late) - min(late)) / MIB,
        "equal": nets["disk"].packed_ == nets["memory"].packed_,
    }


def fit(folder, n_images, rounds=2):
    """Fit to a memory map, and to the same rows in memory, in turn."""
    X, y = np.load(folder / "X.npy", mmap_mode="r")[:n_images], np.load(folder / "y.npy")[:n_images]
    net = BinaryMLPClassifier((64,), n_thresholds=1, max_iter=1, batch_size=1024, random_state=0)
    net.fit(X[:1000], y[:1000])
    timers, held, models = {"disk": Timer(), "memory": Timer()}, 0, []
    for _ in range(rounds):
        for name, timer in timers.items():
            forget(folder / "X.npy")
            rows = np.array(X) if name == "memory" else X
            models.append(timer(net.fit, rows, y).packed_)
            del rows
            # Of the first fit, before anything was in memory that is on the disk.
            held = held or resident(peak=True)
    disk, memory = timers.values()
    return {
        "what": "fit",
        "images": n_images,
        "MB": n_images * WIDTH / 1e6,
        "from disk, s": np.median(disk.clock),
        "in memory, s": np.median(memory.clock),
        "ratio": np.median(np.array(disk.clock) / memory.clock),
        "CPU time, ratio": np.median(np.array(disk.cpu) / memory.cpu),
        "peak, MiB": held / MIB,
        "equal": all(model == models[0] for model in models),
    }


PARTS = {
    "small": partial(predict, hidden="256-256"),
    "large": partial(predict, hidden="1024-1024"),
    "stream": stream,
    "fit": fit,
}


def main():
    """Write the file, run each part in a process of its own, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000_000)
    parser.add_argument("--stream", type=int, default=2_000_000)
    parser.add_argument("--fit", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", default=None)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = {"images": arguments.images, "stream": arguments.stream, "fit": arguments.fit}
    if arguments.part:
        size = sizes.get(arguments.part, arguments.images)
        print(json.dumps(PARTS[arguments.part](arguments.folder, size), default=float))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        folder = Path(folder)
        rate = write_images(folder, max(sizes.values()))
        few = {name: np.load(folder / f"{name}.npy", mmap_mode="r")[:60_000] for name in "Xy"}
        for hidden in ((256, 256), (1024, 1024)) if arguments.images else ():
            net = BinaryMLPClassifier(hidden, max_iter=3, random_state=0).fit(few["X"], few["y"])
            net.packed_.save(folder / f"{'-'.join(map(str, hidden))}.skbnn")
        rows = []
        for part in PARTS:
            if not sizes.get(part, arguments.images):
                continue
            forget(folder / "X.npy")
            command = [sys.executable, __file__, "--part", part, "--folder", str(folder)]
            command += [f"--{name}={size}" for name, size in sizes.items()]
            result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(result.stdout.splitlines()[-1]))
            print(f"{table(rows[-1:])}\n", flush=True)
            write(arguments.json, "out of core", rows)
        print(f"written at {rate / 1e6:.0f} MB/s")


if __name__ == "__main__":
    main()
