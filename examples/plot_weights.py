"""
===================
Weights as images
===================

What does a model of bits look for? A weight of the first layer belongs to a pixel, so the weights
of a unit are an image: blue where the unit wants ink, red where it wants none.
"""

# %%
# One layer
# ---------
#
# Logistic regression has one image for each class. In float its weights have all shades. With
# ``technique="bnn"`` every weight is a sign; a pixel is seen as up to seven thermometer bits, each
# with a weight of its own, and what is drawn is their mean.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skbnn import BinaryCNNClassifier, BinaryLogisticRegression, BinaryMLPClassifier
from skbnn.inspection import WeightsDisplay

X, y = load_digits(return_X_y=True)
for technique in ("float", "bnn"):
    model = BinaryLogisticRegression(technique=technique, random_state=0).fit(X, y)
    display = WeightsDisplay.from_estimator(model)
    display.figure_.suptitle(f"logistic regression, {technique}")
    plt.show()

# %%
# One bit a pixel
# ---------------
#
# Under ``n_thresholds=1`` a pixel is one bit, and a weight one sign: nothing but agreement and
# disagreement is left. Pixels that are the same in all images have no weight at all.

model = BinaryLogisticRegression(n_thresholds=1, random_state=0).fit(X, y)
display = WeightsDisplay.from_estimator(model)
display.figure_.suptitle(f"one bit a pixel: accuracy in training {model.score(X, y):.3f}")
plt.show()

# %%
# Hidden units, and windows
# -------------------------
#
# The hidden units of a perceptron look for parts; those of a convolution see three by three pixels.

figure = plt.figure(figsize=(9, 5), layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=[2, 1.2])
net = BinaryMLPClassifier(random_state=0, max_iter=15).fit(X, y)
WeightsDisplay.from_estimator(net, n_units=20, figure=above)
above.suptitle("20 of 256 hidden units")
cnn = BinaryCNNClassifier(random_state=0, max_iter=3, channels=(16, 16)).fit(X, y)
WeightsDisplay.from_estimator(cnn, n_units=10, figure=below)
below.suptitle("10 of 16 windows")
plt.show()
