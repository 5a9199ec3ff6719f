"""
==================
Thermometer bits
==================

A network of signs reads signs. A thermometer code says of a number which of a few rising thresholds
it reaches. How many are enough? And what about a number's binary digits?
"""

# %%
# The code
# --------
#
# Each pixel of an 8 x 8 digit has a grey value from 0 to 16. :class:`~skbnn.ThermometerEncoder`
# chooses thresholds at quantiles of the distinct values of each pixel. Grey in the pictures of bits
# are pixels that take too few values to have such a threshold.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skbnn import ThermometerEncoder
from skbnn.inspection import ThermometerDisplay

X, y = load_digits(return_X_y=True)
encoder = ThermometerEncoder(n_thresholds=5).fit(X)
ThermometerDisplay.from_estimator(encoder, X[[0, 4, 8]])
plt.show()

# %%
# A pixel in the middle, its thresholds, and the codes of the grey values:

pixel = 36
print("thresholds:", encoder.thresholds_[pixel])
names = encoder.get_feature_names_out()
columns = [i for i, name in enumerate(names) if name.startswith(f"x{pixel}>=")]
for row in X[:4]:
    bits = encoder.transform(row[None])[0, columns]
    print(f"grey value {row[pixel]:4.0f}  ->  {' '.join(map(str, bits))}")

# %%
# Codes of near numbers are near: the bits in which they differ are the thresholds in between.
#
# How many thresholds?
# --------------------
#
# A single layer gains from fine inputs. A network with hidden layers can build steps of its own.

from sklearn.model_selection import ValidationCurveDisplay

from skbnn import BinaryLogisticRegression, BinaryMLPClassifier

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
models = {
    "logistic regression": BinaryLogisticRegression(max_iter=10, random_state=0),
    "perceptron, 64 hidden units": BinaryMLPClassifier((64,), max_iter=10, random_state=0),
}
for ax, (name, model) in zip(axes, models.items(), strict=True):
    ValidationCurveDisplay.from_estimator(
        model, X, y, param_name="n_thresholds", param_range=[1, 3, 7], cv=2, ax=ax
    )
    ax.set(title=name, ylabel="accuracy")
plt.show()

# %%
# Or binary digits
# ----------------
#
# ``encoding="planes"`` reads the eight binary digits of whole numbers from 0 to 255. The sum of a
# unit is then that of the numbers, exactly, with one weight for each; a thermometer has a weight
# for each of its bits. Fewer weights are a smaller model, and a less flexible one.

import numpy as np
from sklearn.model_selection import cross_val_score

choices = {f"thermometer, {n}": {"n_thresholds": n} for n in (1, 3, 7)}
choices["planes"] = {"encoding": "planes"}

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    for choice, params in choices.items():
        model.set_params(**{"n_thresholds": 7, "encoding": "thermometer", **params})
        errors = 1 - cross_val_score(model, X, y, cv=3)
        nbytes = model.fit(X, y).packed_.nbytes
        spread = np.array([[errors.mean() - errors.min()], [errors.max() - errors.mean()]])
        ax.errorbar(nbytes, errors.mean(), spread, fmt="o", capsize=3, label=choice)
    ax.set(title=name, xlabel="bytes of the packed model", ylabel="error", xlim=0)
    ax.legend(title="input bits")
plt.show()
