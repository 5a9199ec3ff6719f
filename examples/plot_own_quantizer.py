"""
=========================
A quantizer of your own
=========================

A new way to quantize is one class. What it gets for nothing: training with batch normalisation and
dropout, integer packing that equals the trained network bit for bit, files, and grid search.
"""

# %%
# Weights
# -------
#
# This quantizer keeps the sign of a weight and one bit of its size: a weight is *small*, worth a
# third of the unit's mean absolute value, or *large*, worth five thirds of it. As planes of signs,
# that is a sign times one scale, plus a second sign times another. ``planes`` says which bits and
# scales; the gradient goes to the latent weight unchanged, because we do not say otherwise.

import torch

from skbnn.nn.quantizers import LevelActivations, Planes, PlaneWeights, Staircase, surrogate_sign


class SmallOrLarge(PlaneWeights):
    """``w_q = m (sign(w) + (2 / 3) b)``, m the mean of abs(w), b = +1 for the large weights."""

    def planes(self, w):
        mean = w.abs().mean(1, keepdim=True)
        positive, large = w >= 0, w.abs() >= mean
        # The second plane carries the sign too: away from 0 where the weight is large.
        bits = torch.stack([positive, positive == large])
        return Planes(bits, torch.cat([mean.T, 2 / 3 * mean.T]))


# %%
# The base class makes a `~skbnn.nn.quantizers.Code` of it, which is what will be packed. Its scales
# are whole numbers, because a packed network computes with nothing else:

code = SmallOrLarge().encode(torch.tensor([[0.9, -0.1, 0.3, -0.7]]))
print("planes:", code.bits[:, 0].int().tolist())
print("scales:", code.scales[:, 0].tolist(), "times", float(code.unit))
print("weights:", code.decode()[0].tolist())

# %%
# Activations
# -----------
#
# Activations are steps of the pre-activation. ``staircase`` lists the thresholds, the bits of each
# level, and what a bit is worth; ``learn`` is the same function with a gradient. Where it says what
# its results are few whole multiples of, as ``grain``, products in training are of 8-bit integers.
# This one is -1, 0 or +1, with a dead zone of half a standard deviation around 0.


class DeadZone(LevelActivations):
    """``x_q = (sign(x - 1/2) + sign(x + 1/2)) / 2``."""

    def staircase(self):
        thresholds = torch.tensor([[-0.5], [0.5]])
        codes = torch.tensor([[False, False], [True, False], [True, True]])
        return Staircase(thresholds, codes, torch.tensor([1, 1]), torch.tensor(0), 0.5)

    def learn(self, x):
        self.grain = 1.0
        low, high = (surrogate_sign(x + t, self.surrogate, self.progress) for t in (0.5, -0.5))
        return (low + high) / 2


# %%
# A technique is a choice on each axis, so ours is a known one with other quantizers. Nothing has
# to be registered: techniques are values, and a grid takes names and values alike.

from dataclasses import replace

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

from skbnn import BinaryMLPClassifier
from skbnn.techniques import get_technique

bnn = get_technique("bnn")
small_or_large = replace(bnn, name="small-or-large", weights=SmallOrLarge)
both = replace(small_or_large, name="both", activations=DeadZone)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
net = BinaryMLPClassifier((64,), n_thresholds=1, max_iter=20, random_state=0)
search = GridSearchCV(net, {"technique": ["float", "bnn", small_or_large, both]}, cv=3)
search.fit(X_train, y_train)

names = [getattr(t, "name", t) for t in search.cv_results_["param_technique"]]
for name, score in zip(names, search.cv_results_["mean_test_score"], strict=True):
    print(f"{name:15s} {score:.3f}")

# %%
# The packed network computes the same integers as the trained one, on every row.

fitted = net.set_params(technique=both).fit(X_train, y_train)
frozen = fitted.to_torch()(torch.from_numpy(X_test)).numpy()
print("equal on every row:", bool((frozen == fitted.packed_.scores(X_test)).all()))
print(fitted.packed_.summary())

# %%
# What the two quantizers do to a number:

import matplotlib.pyplot as plt

x = torch.linspace(-2, 2, 801)[None]
figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for ax, made, title in zip(
    axes, (SmallOrLarge()(x), DeadZone().eval()(x)), ("weights", "activations"), strict=True
):
    ax.plot(x[0], made[0])
    ax.set(title=title, xlabel="latent number", ylabel="quantized")
plt.show()
