"""
=================================================
Exploring digits: clusters, and where they fail
=================================================

Before a network is trained, the data has things to say: what the classes look like, which of them
touch, and which examples a simple model takes for something else. The digits here are the small
ones that come with scikit-learn; :func:`~skbnn.datasets.fetch_mnist` and
:func:`~skbnn.datasets.fetch_fashion_mnist` fetch larger images, for which the rest stays as it is.
"""

# %%
# A few examples of each class
# ----------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

rng = np.random.default_rng(0)
figure, axes = plt.subplots(4, 10, figsize=(9, 3.8), layout="constrained")
for digit, column in enumerate(axes.T):
    for row, ax in zip(
        rng.choice(np.flatnonzero(y == digit), 4, replace=False), column, strict=True
    ):
        ax.imshow(X[row].reshape(8, 8), cmap="gray_r")
        ax.set_axis_off()
plt.show()

# %%
# A map
# -----
#
# t-SNE lays the rows out in two dimensions so that neighbours stay neighbours. What lies in another
# class's island will be hard for any model that looks at pixels.

from sklearn.manifold import TSNE

place = TSNE(init="pca", random_state=0).fit_transform(X_test)
figure, ax = plt.subplots(figsize=(7, 5.5), layout="constrained")
points = ax.scatter(*place.T, c=y_test, cmap="tab10", vmin=-0.5, vmax=9.5, s=14)
figure.colorbar(points, ticks=range(10), label="digit")
ax.set_axis_off()
plt.show()

# %%
# Ten clusters
# ------------
#
# :class:`~skbnn.KMeansClassifier` clusters the rows, here as bits, and names each cluster after the
# majority of its rows. With ten clusters for ten digits, some digits share one and others get two:

from sklearn.metrics import ConfusionMatrixDisplay

from skbnn import KMeansClassifier
from skbnn.inspection import WeightsDisplay

clusters = KMeansClassifier(n_clusters=10, random_state=0).fit(X_train, y_train)
print(f"accuracy of ten clusters: {clusters.score(X_test, y_test):.3f}")

figure = plt.figure(figsize=(11, 4.6), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1, 1.2])
ConfusionMatrixDisplay.from_estimator(
    clusters, X_test, y_test, ax=left.subplots(), colorbar=False, cmap="Blues"
)
right.suptitle("codewords, and the digit that each stands for")
WeightsDisplay.from_estimator(clusters, n_columns=5, figure=right)
plt.show()

# %%
# The log of what it struggles with
# ---------------------------------
#
# :func:`~skbnn.inspection.hard_examples` ranks examples by their margin: the score of the true
# class minus the best of the others. It returns :class:`~skbnn.inspection.HardExamples`, which
# print as a log and turn into a data frame.

from skbnn.inspection import hard_examples

print(hard_examples(clusters, X_test, y_test, n_examples=8))

# %%
# The pairs that it confuses most, in full: an example, what it was taken for and how many were, and
# beside it the nearest example of that other class. Each is a
# :class:`~skbnn.inspection.ConfusedPair`.

from skbnn.inspection import ConfusedPairsDisplay

ConfusedPairsDisplay.from_estimator(clusters, X_test, y_test, n_pairs=6)
plt.show()

# %%
# More clusters tell the digits apart, and the binary network below mistakes few of them. What is
# left are the examples that lie at the borders of the map:

from skbnn import BinaryMLPClassifier

many = KMeansClassifier(n_clusters=128, random_state=0).fit(X_train, y_train)
net = BinaryMLPClassifier(random_state=0).fit(X_train, y_train)
figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
for ax, (name, model) in zip(
    axes, {"10 clusters": clusters, "128 clusters": many, "MLP of bits": net}.items(), strict=True
):
    wrong = model.predict(X_test) != y_test
    ax.scatter(*place.T, c=y_test, cmap="tab10", vmin=-0.5, vmax=9.5, s=5, alpha=0.5)
    ax.scatter(*place[wrong].T, facecolor="none", edgecolor="black", s=40, lw=0.8)
    ax.set_title(f"{name}: {wrong.sum()} of {len(wrong)} wrong")
    ax.set_axis_off()
plt.show()
