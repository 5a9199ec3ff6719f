"""
=========================================
Larger than memory, longer than a process
=========================================

Rows in a file are classified in the memory of a few of them, and a fit that is killed goes on where
it was.
"""

# %%
# A file of half a million rows: handwritten digits, with noise. Nothing of it need be in memory,
# but a memory map can be passed as any array.

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skbnn import BinaryMLPClassifier, load

folder = Path(tempfile.mkdtemp())
X, y = load_digits(return_X_y=True)
X = X.astype(np.uint8)
rng = np.random.default_rng(0)
n_rows = 500_000
file = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.uint8, (n_rows, 64))
for start in range(0, n_rows, 50_000):
    rows = X[rng.integers(0, len(X), 50_000)]
    file[start : start + 50_000] = np.minimum(rows + rng.integers(0, 3, rows.shape), 16)
file.flush()
del file

rows = np.load(folder / "rows.npy", mmap_mode="r")
print(f"{rows.nbytes / 1e6:.0f} MB on the disk")

# %%
# How much of the file counts as memory of this process, while it is read? Linux tells it. A sum
# over a memory map leaves the pages that it has read in the process; predictions give them back.

model = BinaryMLPClassifier((64,), max_iter=10, random_state=0).fit(X, y).packed_


def megabytes_of_files():
    """Return how much of mapped files is resident, if the system tells."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if "RssFile" in line), 0.0)


def held_after(function):
    """Return the growth of resident memory, a tenth of the rows after the other."""
    before, held = megabytes_of_files(), [0.0]
    for part in np.array_split(np.arange(n_rows), 10):
        function(rows[part[0] : part[-1] + 1])
        held.append(megabytes_of_files() - before)
    return held


held = {"model.predict": held_after(model.predict), "np.sum": held_after(np.sum)}

# %%
# Now a fit in a process of its own. It names a file as its ``checkpoint``, which is replaced after
# every epoch. After the tenth epoch the process is killed, as an operating system without memory or
# a cluster without patience would do it.

program = """
from sklearn.datasets import load_digits
from skbnn import BinaryMLPClassifier

X, y = load_digits(return_X_y=True)
net = BinaryMLPClassifier((64,), max_iter=25, random_state=0, verbose=1, checkpoint={checkpoint!r})
net.fit(X.astype("uint8"), y).packed_.save({model!r})
"""


def run(checkpoint, model, kill_after=None):
    """Run the program; return epochs and losses as it prints them, and perhaps kill it."""
    code = program.format(checkpoint=checkpoint, model=str(folder / model))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    epochs, losses = [], []
    for line in process.stdout:
        if not line.startswith("epoch"):
            print(line.strip().replace(str(folder), "..."))
            continue
        epochs.append(int(line.split()[1].split("/")[0]))
        losses.append(float(line.split()[-1]))
        if epochs[-1] == kill_after:
            process.kill()
            break
    process.wait()
    process.stdout.close()
    return epochs, losses


whole = run(None, "whole.skbnn")
checkpoint = str(folder / "fit.ckpt")
killed = run(checkpoint, "resumed.skbnn", kill_after=10)
print("killed; the checkpoint is there:", Path(checkpoint).exists())
resumed = run(checkpoint, "resumed.skbnn")

# %%
# The same program, run again, found the checkpoint and went on after the last epoch that had been
# written. It ends with the model of the fit that nobody killed:

same = load(folder / "whole.skbnn") == load(folder / "resumed.skbnn")
print("the same model, bit for bit:", same)
print("the checkpoint is removed:", not Path(checkpoint).exists())

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
share = np.linspace(0, rows.nbytes / 1e6, 11)
for name, values in held.items():
    left.plot(share, values, "o-", label=name)
left.set(xlabel="read of the file, MB", ylabel="resident pages of files, MB")
left.legend()
right.plot(*whole, color="0.8", linewidth=6, label="never interrupted")
right.plot(*killed, "o-", label="killed")
right.plot(*resumed, "o-", label="gone on")
right.set(xlabel="epoch", ylabel="training loss", yscale="log")
right.legend()
plt.show()
