"""
=====================================
All techniques in one grid search
=====================================

``technique`` is a parameter as any other, so one grid search compares the methods of the papers:
the same network, the same data, the same number of epochs.
"""

# %%
# The grid is the list of all names. ``"float"`` is the control, with real weights and activations;
# ``"posttraining"`` is what happens without any of the papers: real training, then signs.

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skbnn import BinaryMLPClassifier
from skbnn.techniques import get_technique, list_techniques

X, y = load_digits(return_X_y=True)
net = BinaryMLPClassifier((48, 48), n_thresholds=1, max_iter=6, random_state=0)
search = GridSearchCV(net, {"technique": list_techniques()}, cv=3, refit=False)
search.fit(X[:400], y[:400])

# %%
# ``cv_results_`` is the comparison. With one bit for each pixel and a tenth of a second of training
# for some of them, differences of a point mean little here: the benchmarks of the package have the
# figures of MNIST.

import matplotlib.pyplot as plt
import numpy as np

results = search.cv_results_
mean, spread = results["mean_test_score"], results["std_test_score"]
names = np.array(results["param_technique"])
order = np.argsort(mean)

figure, axes = plt.subplots(1, 2, figsize=(9, 5), sharey=True, layout="constrained")
places = np.arange(len(names))
control = mean[list(names).index("float")]
axes[0].errorbar(100 * mean[order], places, xerr=100 * spread[order], fmt="o", capsize=2)
axes[0].axvline(100 * control, color="0.7", zorder=0)
axes[0].set(xlabel="accuracy, % (mean and deviation of 3 folds)", yticks=places)
axes[0].set_yticklabels(names[order])
axes[1].barh(places, results["mean_fit_time"][order], color="0.7")
axes[1].set(xlabel="seconds for a fit")
plt.show()

# %%
# Each technique is data: what it does on each axis can be read off, and changed.

for name in names[order][::-1]:
    technique = get_technique(name)
    print(f"{name:25s} weights {technique.weights:13s} activations {technique.activations:11s}"
          f" {technique.reference.split(',')[0]}")  # fmt: skip
