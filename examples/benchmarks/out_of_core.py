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


def timed(function, *arguments):
    """Call a function; return its seconds and what it returns."""
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def predict(folder, n_images):
    """Classify all images, a million a call; in between some that are in memory."""
    X, model = np.load(folder / "X.npy", mmap_mode="r"), load(folder / "model.skbnn")
    y = np.load(folder / "y.npy", mmap_mode="r")
    some = np.array(X[:BLOCK])
    in_memory = model.predict(some)
    size = min(10 * BLOCK, n_images)
    disk, memory, raw, right, equal = [], [], [], 0, True
    for start in range(0, n_images, size):
        rows = X[start : start + size]
        seconds, labels = timed(model.predict, rows)
        disk.append(len(rows) / seconds)
        memory.append(BLOCK / timed(model.predict, some)[0])
        right += int((labels == y[start : start + size]).sum())
        if start == 0:
            equal = np.array_equal(labels[:BLOCK], in_memory)
    held = resident(peak=True)
    # The disk alone: as much as a call reads, from where it was not read for the longest time.
    forget(folder / "X.npy")
    with open(folder / "X.npy", "rb", buffering=0) as file:
        for _ in range(3):
            raw.append(size / timed(file.read, size * WIDTH)[0])
    goal = min(np.median(memory), np.median(raw))
    return {
        "what": "predict",
        "images": n_images,
        "GB": n_images * WIDTH / 1e9,
        "from disk, images/s": float(np.median(disk)),
        "in memory, images/s": float(np.median(memory)),
        "disk alone, images/s": float(np.median(raw)),
        "of the lower, %": 100 * float(np.median(disk) / goal),
        "peak, MiB": held / MIB,
        "accuracy, %": 100 * right / n_images,
        "equal": equal,
    }


def stream(folder, n_images, chunk=20_000):
    """Pass over images once by ``partial_fit``, and over the same ones in memory in turn."""
    X = np.load(folder / "X.npy", mmap_mode="r")
    y = np.load(folder / "y.npy")
    nets = {name: BinaryMLPClassifier((256, 256), random_state=0) for name in ("disk", "in memory")}
    seconds, held = dict.fromkeys(nets, 0.0), []
    for start in range(0, n_images, chunk):
        rows, labels = X[start : start + chunk], y[start : start + chunk]
        # The disk first: the copy finds what it read in the page cache, not the other way round.
        for name, net in nets.items():
            taken = np.array(rows) if name == "in memory" else rows
            seconds[name] += timed(net.partial_fit, taken, labels, np.arange(10))[0]
        del rows, taken
        held.append(resident())
    late = held[len(held) // 10 :]
    return {
        "what": "partial_fit",
        "images": n_images,
        "calls": len(held),
        "from disk, images/s": n_images / seconds["disk"],
        "in memory, images/s": n_images / seconds["in memory"],
        "of memory's rate, %": 100 * seconds["in memory"] / seconds["disk"],
        "growth, MiB": (max(late) - min(late)) / MIB,
        "equal": nets["disk"].packed_ == nets["in memory"].packed_,
    }


def fit(folder, n_images, rounds=2):
    """Fit to a memory map, and to the same rows in memory, in turn."""
    X = np.load(folder / "X.npy", mmap_mode="r")[:n_images]
    y = np.load(folder / "y.npy")[:n_images]
    times, held, models = {"disk": [], "in memory": []}, 0, []
    for _ in range(rounds):
        for name, take in (("disk", lambda: X), ("in memory", lambda: np.array(X))):
            forget(folder / "X.npy")
            rows = take()
            net = BinaryMLPClassifier((64,), n_thresholds=1, max_iter=2, random_state=0)
            times[name].append(timed(net.set_params(batch_size=1024).fit, rows, y)[0])
            del rows
            models.append(net.packed_)
            # Before anything is in memory that was not on the disk.
            held = held or resident(peak=True)
    ratios = np.array(times["disk"]) / np.array(times["in memory"])
    return {
        "what": "fit",
        "images": n_images,
        "MB": n_images * WIDTH / 1e6,
        "from disk, s": float(np.median(times["disk"])),
        "in memory, s": float(np.median(times["in memory"])),
        "ratio": float(np.median(ratios)),
        "peak, MiB": held / MIB,
        "equal": all(model == models[0] for model in models),
    }


PARTS = {"predict": predict, "stream": stream, "fit": fit}


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
    sizes = {"predict": arguments.images, "stream": arguments.stream, "fit": arguments.fit}
    if arguments.part:
        part = arguments.part
        print(json.dumps(PARTS[part](arguments.folder, sizes[part]), default=float))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        folder = Path(folder)
        rate = write_images(folder, max(sizes.values()))
        few = {name: np.load(folder / f"{name}.npy", mmap_mode="r")[:60_000] for name in "Xy"}
        net = BinaryMLPClassifier((256, 256), max_iter=5, random_state=0)
        net.fit(few["X"], few["y"]).packed_.save(folder / "model.skbnn")
        rows = []
        for part, size in sizes.items():
            if not size:
                continue
            forget(folder / "X.npy")
            command = [sys.executable, __file__, "--part", part, "--folder", str(folder)]
            command += [f"--{k if k != 'predict' else 'images'}={n}" for k, n in sizes.items()]
            result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(result.stdout.splitlines()[-1]))
            print(f"{table(rows[-1:])}\n", flush=True)
        print(f"written at {rate / 1e6:.0f} MB/s")
        write(arguments.json, "out of core", rows)


if __name__ == "__main__":
    main()
