"""
=======================================
Float against binary, family by family
=======================================

How much accuracy do bits cost, and how many bytes do they save? Each family of models is fitted
twice on scikit-learn's digits: as a float model and, with the same topology, in bits.
"""

# %%
# The float twin of an estimator is the same class with ``technique="float"``. All models are fitted
# and tested on the same rows. :func:`~skbnn.compare_models` returns a
# :class:`~skbnn.inspection.Comparison`, which prints and draws itself.

from sklearn.datasets import load_digits

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
    KMeansClassifier,
    compare_models,
)

X, y = load_digits(return_X_y=True)
families = {
    "K-means": KMeansClassifier(n_clusters=64),
    "logistic": BinaryLogisticRegression(),
    "MLP": BinaryMLPClassifier(),
    "CNN": BinaryCNNClassifier(channels=(16, 32), max_iter=8),
    "transformer": BinaryTransformerClassifier(d_model=64, n_layers=1, max_iter=10),
}
models, twins = {}, {}
for family, bits in families.items():
    float_twin = type(bits)(**{**bits.get_params(), "technique": "float"})
    models |= {f"{family}, float": float_twin, f"{family}, bits": bits}
    twins |= {f"{family}, float": f"{family}, float", f"{family}, bits": f"{family}, float"}
comparison = compare_models(models, X, y, reference=twins, random_state=0)
comparison

# %%
# Each row is a :class:`~skbnn.inspection.ModelResult`, and all of them are a data frame. What bits
# cost and what they save, family by family:

frame = comparison.to_frame()
for family in families:
    twin, bits = frame.loc[f"{family}, float"], frame.loc[f"{family}, bits"]
    points = 100 * (bits["accuracy"] - twin["accuracy"])
    print(f"{family:11}  {points:+5.1f} points, {bits['ratio']:4.1f} times smaller")

# %%
# On 450 test rows the confidence intervals are wide: a point of accuracy is within the noise, a
# factor of ten in bytes is not. The lower left is where one wants to be, and the grey line joins
# the models that no other one beats in both. The same picture against the time for one example:

import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
comparison.plot(left)
comparison.plot(right, x="one_us")
plt.show()

# %%
# Which digits does binarization lose? The confusion matrix of each binary model, minus that of its
# float twin: on the diagonal, orange are digits won and purple ones lost.

from skbnn.inspection import ConfusionChangeDisplay

figure, axes = plt.subplots(1, 5, figsize=(16, 3.6), layout="constrained")
for family, ax in zip(families, axes, strict=True):
    before, after = (comparison.confusion(f"{family}, {kind}") for kind in ("float", "bits"))
    display = ConfusionChangeDisplay(before, after, comparison.setting["labels"]).plot(ax)
    ax.set_title(f"{family}: {-display.lost.sum():+d} right")
plt.show()
