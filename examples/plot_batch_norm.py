"""
============================================
How batch normalisation becomes one integer
============================================

A hidden layer multiplies, normalises and takes the sign. Trained, nothing of the second step is
left: each unit compares its count with one whole number.
"""

# %%
# The chain of a unit
# -------------------
#
# A unit's sum :math:`s` of signs is a whole number. Batch normalisation and the sign make a bit of
# it, :math:`\gamma (s - \mu) / \sigma + \beta \ge 0`. As a function of :math:`s` that is a straight
# line and its sign, so it changes at one place, and because :math:`s` is whole, that place may as
# well be a whole number.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skbnn import BinaryMLPClassifier

X, y = load_digits(return_X_y=True)
net = BinaryMLPClassifier((32, 32), random_state=0).fit(X, y)
layer = net.packed_.operations[1]
n = layer.weights.n_bits
print(f"{layer.weights.n_units} units of {n} bits; their thresholds:")
print(layer.output.thresholds)

# %%
# The network as it was trained, in float64, gives the real number that each unit normalises to.
# Below, for four units: that number for every sum that can occur, and the whole number that the
# packed model compares with. Where the line falls, the packed unit has its weights negated, and the
# comparison is that of the mirrored sum.

import torch

block = net.to_torch().network.blocks[0]
sums = np.arange(-n, n + 1, 2)
with torch.no_grad():
    columns = torch.from_numpy(np.repeat(sums[:, None], layer.weights.n_units, 1)).double()
    normalised = block.normalizer(columns * block.unit).numpy()

figure, axes = plt.subplots(1, 4, figsize=(13, 3), sharey=True, layout="constrained")
for unit, ax in enumerate(axes):
    line = normalised[:, unit]
    rises, threshold = line[-1] > line[0], int(layer.output.thresholds[unit])
    at = threshold if rises else -threshold
    ax.plot(sums, line)
    ax.axhline(0, color="0.7", lw=1)
    ax.axvline(at, color="C1", ls="--")
    ax.set(title=f"unit {unit}: bit 1 if s {'≥' if rises else '≤'} {at}", xlabel="sum s")
    ax.set(xlim=(-60, 60), ylim=(-4, 4))
axes[0].set_ylabel("after batch normalisation")
plt.show()

# %%
# Nothing is lost
# ---------------
#
# The threshold is found by asking the trained chain itself, so the bits agree for every sum, not
# nearly, but all of them:

rises = normalised[-1] > normalised[0]
mirrored = np.where(rises, sums[:, None], -sums[:, None])
agree = (mirrored >= layer.output.thresholds) == (normalised >= 0)
print(f"{agree.sum():,} of {agree.size:,} pairs of a unit and a sum agree")

# %%
# And so do the scores of the whole network, row by row, with those of the packed integers:

scores = net.to_torch()(torch.from_numpy(X)).numpy()
print("scores equal:", bool((scores == net.packed_.scores(X)).all()))
