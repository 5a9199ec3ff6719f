"""
====================
Float against binary
====================

How much accuracy do bits cost, and how many bytes do they save? Each family of models is fitted
twice on scikit-learn's digits: as a float network and, with the same topology, in bits.
"""

# %%
# The float twin of an estimator is the same class with ``technique="float"``. Every model is fitted
# and tested on the same rows, three times with different splits.

from sklearn.datasets import load_digits

from skbnn import BinaryLogisticRegression, BinaryMLPClassifier, KMeansClassifier, compare_models

X, y = load_digits(return_X_y=True)
models = {
    "K-means, float": KMeansClassifier(n_clusters=64, technique="float", random_state=0),
    "K-means, bits": KMeansClassifier(n_clusters=64, technique="binary", random_state=0),
    "logistic, float": BinaryLogisticRegression(technique="float", random_state=0),
    "logistic, bits": BinaryLogisticRegression(technique="bnn", random_state=0),
    "MLP, float": BinaryMLPClassifier(technique="float", random_state=0),
    "MLP, bits": BinaryMLPClassifier(technique="bnn", random_state=0),
}
twins = {name: f"{name.split(',')[0]}, float" for name in models}
comparison = compare_models(models, X, y, n_repeats=3, reference=twins, random_state=0)
print(comparison)

# %%
# The table is a :class:`pandas.DataFrame` too. What bits cost and what they save, family by family:

frame = comparison.to_frame()
for family in ("K-means", "logistic", "MLP"):
    twin, bits = frame.loc[f"{family}, float"], frame.loc[f"{family}, bits"]
    points = 100 * (bits["accuracy"] - twin["accuracy"])
    print(f"{family:8}  {points:+5.1f} points, {bits['ratio']:4.1f} times smaller")

# %%
# And it draws itself. The lower left is where one wants to be.

import matplotlib.pyplot as plt

comparison.plot()
plt.show()
