"""
=============================
A first classifier, in bits
=============================

A neural network whose weights and activations are single bits, trained on scikit-learn's digits and
used as any other classifier.
"""

# %%
# Each digit is an image of 8 x 8 pixels. The network sees every pixel as three bits, one for each
# of three grey values that it may reach, so nothing needs to be scaled.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skbnn import BinaryMLPClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
net = BinaryMLPClassifier(random_state=0).fit(X_train, y_train)
print(f"accuracy on {len(X_test)} test images: {net.score(X_test, y_test):.3f}")

# %%
# What has been learned is a short program on packed bits. Layer by layer:

print(net.packed_.summary())

# %%
# How training went, and what the network still gets wrong. The flip ratio is the share of weights
# that changed their sign in an epoch; it falls as they settle.

import matplotlib.pyplot as plt

from skbnn.inspection import TrainingCurveDisplay

predicted = net.predict(X_test)
wrong = (predicted != y_test).nonzero()[0]

figure = plt.figure(figsize=(9, 4.2), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1.1, 1])

TrainingCurveDisplay.from_estimator(net, name="Training", ax=left.subplots())

n_shown = min(len(wrong), 20)
right.suptitle(f"{n_shown} of {len(wrong)} mistakes: truth → prediction")
for i, ax in zip(wrong, right.subplots(4, 5).flat, strict=False):
    ax.imshow(X_test[i].reshape(8, 8), cmap="gray_r")
    ax.set_title(f"{y_test[i]} → {predicted[i]}", fontsize=9)
for ax in right.axes:
    ax.set_axis_off()
plt.show()
