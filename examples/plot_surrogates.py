"""
=============================
Surrogates and their curves
=============================

The derivative of the sign is zero wherever it exists. Training puts another one in its place: a
surrogate gradient. How much does the choice matter?
"""

# %%
# The derivatives
# ---------------
#
# A surrogate multiplies the gradient that comes from above by a function of the number that was
# binarized. ``"ede"`` and ``"power"`` change in the course of a fit: wide at first, so that all
# weights learn, and close to the sign in the end. The last one is none of the built-in ones: a
# `~skbnn.nn.surrogates.Surrogate` of your own is a class of one method.

import matplotlib.pyplot as plt
import torch

from skbnn.nn.surrogates import Surrogate, make_surrogate


class Parabola(Surrogate):
    """Derivative ``1 - x^2`` for ``abs(x) < 1``, else 0."""

    def backward(self, grad, x, progress):
        return grad * (1 - x * x).clamp(min=0)


x = torch.linspace(-2, 2, 401)
ones = torch.ones_like(x)
names = ["identity", "clipped", "approx_sign", "tanh", "ede"]
figure, axes = plt.subplots(1, 8, figsize=(17, 2.6), sharex=True, layout="constrained")
for name, ax in zip([*names, "power", "sign_swish", Parabola], axes, strict=True):
    surrogate = make_surrogate(name)
    changes = name in ("ede", "power")
    for progress in (0.3, 0.8, 1.0) if changes else (0.0,):
        label = f"{progress:.0%} of the fit" if changes else None
        ax.plot(x, surrogate.backward(ones, x, progress), label=label)
    ax.set(title=getattr(name, "__name__", name), xlabel="x", ylim=(0, None))
    if changes:
        ax.legend(fontsize="small")
plt.show()

# %%
# The same network with each of them
# ----------------------------------
#
# Five of them are tried here. A surrogate is one field of a :class:`~skbnn.Technique`. A technique
# is frozen data: a changed copy of a known one is another one.
# :func:`~skbnn.techniques.list_techniques` names those that are known. (Some train in stages, of
# which :func:`~skbnn.techniques.stages_of` tells the epochs; these do not.) The learning rate stays
# that of the family's :class:`~skbnn.techniques.Recipe`.

from dataclasses import replace

from sklearn.datasets import load_digits

from skbnn import BinaryMLPClassifier, compare_models
from skbnn.techniques import get_technique, list_techniques

print(", ".join(list_techniques()))
X, y = load_digits(return_X_y=True)
bnn = get_technique("bnn")
models = {
    name: BinaryMLPClassifier(
        (64, 64), technique=replace(bnn, name=f"bnn-{name}", surrogate=name), max_iter=10
    )
    for name in names
}
comparison = compare_models(models, X, y, n_repeats=2, random_state=0)
frame = comparison.to_frame()
print(frame[["accuracy", "accuracy_low", "accuracy_high", "ratio"]].round(3))

# %%
# The bytes are nearly the same: a surrogate leaves no trace in the packed model. How the fits went,
# and how many weights changed their sign in each epoch:

from skbnn.inspection import TrainingCurveDisplay

figure, axes = plt.subplots(1, 5, figsize=(15, 3), sharey=True, layout="constrained")
for name, ax in zip(names, axes, strict=True):
    display = TrainingCurveDisplay.from_estimator(comparison.estimators_[name], name=name, ax=ax)
    display.flip_ax_.set_ylim(1e-4, 0.5)
plt.show()
