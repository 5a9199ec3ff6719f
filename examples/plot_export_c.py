"""
======================
A classifier in C code
======================

A trained network leaves as one C99 header: tables of bits and a few loops over integers, for a
microcontroller; :func:`~skbnn.export.to_c_files` makes a header and a source file. This example
exports classifiers of digits, compiles one, compares it with Python, and shows what fits on which
device.
"""

# %%
# Devices read bytes, so the rows are bytes when the network is fitted; then no float is left
# anywhere in the program.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skbnn import BinaryCNNClassifier, BinaryLogisticRegression, BinaryMLPClassifier
from skbnn.export import CompiledModel, to_c

X, y = load_digits(return_X_y=True)
X = X.astype(np.uint8)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
net = BinaryCNNClassifier((16, 32), max_iter=10, random_state=0).fit(X_train, y_train)
header = to_c(net.packed_, "digits")
print(f"{len(header.splitlines())} lines of C")
print(header[header.index("/* The index") :][:400])

# %%
# ``CompiledModel`` runs the same text from Python, if there is a C compiler. Scores are integers,
# and they are the same ones.

try:
    compiled = CompiledModel(net.packed_)
except RuntimeError as error:
    print(error)
else:
    equal = (compiled.scores(X_test) == net.packed_.scores(X_test)).all()
    print(f"equal scores on {len(X_test)} images: {bool(equal)}")

# %%
# What a model takes on a device, its :class:`~skbnn.export.Footprint`, is known before anything is
# flashed. Tables and memory are exact, and code is an estimate, usually within a few percent;
# :func:`~skbnn.export.measure` asks the device's compiler, where there is one.

models = {
    "logistic": BinaryLogisticRegression(random_state=0),
    "MLP 32": BinaryMLPClassifier((32,), max_iter=20, random_state=0),
    "MLP 128": BinaryMLPClassifier((128,), max_iter=20, random_state=0),
    "CNN 8-16": BinaryCNNClassifier((8, 16), max_iter=10, random_state=0),
}
fitted = {name: model.fit(X_train, y_train) for name, model in models.items()} | {"CNN 16-32": net}
for name, model in fitted.items():
    print(f"{name:9s} {model.packed_.footprint('cortex-m0plus')}")

# %%
# A search can keep to a budget: beyond it, ``AccuracyWithin`` gives less than any accuracy. Here is
# what the budget of each model buys.

figure, ax = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
for target, marker in (("cortex-m0plus", "o"), ("avr", "s")):
    sizes = [model.packed_.footprint(target).flash_nbytes / 1024 for model in fitted.values()]
    errors = [100 * (1 - model.score(X_test, y_test)) for model in fitted.values()]
    ax.plot(sizes, errors, marker, label=target)
    for name, size, error in zip(fitted, sizes, errors, strict=True):
        ax.annotate(name, (size, error), xytext=(5, 5), textcoords="offset points", fontsize=8)
ax.set_xlabel("flash, KiB")
ax.set_ylabel("test error, %")
# Room for the names, and the legend where errors would be nearest to 0.
ax.margins(0.15)
ax.set_ylim(0)
ax.legend(loc="lower left")
plt.show()
