"""
===========================
Reading a model's summary
===========================

Where do a model's bytes and operations go? A packed model knows the cost of each of its layers,
before anything is measured.
"""

# %%
# What ``fit`` leaves behind is a :class:`~skbnn.PackedModel`. Its summary has a line for each
# operation: bits of a weight, bytes as stored and as they would be in float32, operations for one
# row, and the bytes of the result.

from sklearn.datasets import load_digits

from skbnn import BinaryCNNClassifier, BinaryMLPClassifier, load

X, y = load_digits(return_X_y=True)
net = BinaryMLPClassifier((256, 256), random_state=0, max_iter=10).fit(X, y)
print(net.packed_.summary())

# %%
# The first line turns pixels into bits and has thresholds to store, one for each bit. The layers of
# weights follow: a bit a weight, plus a threshold for each hidden unit, or a multiplier and an
# offset for each class. So a wide layer comes close to a 32nd of float32, and a narrow one does
# not:

import matplotlib.pyplot as plt

from skbnn.inspection import LayerBytesDisplay

cnn = BinaryCNNClassifier(random_state=0, max_iter=3).fit(X, y)
figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
for ax, (name, model) in zip(axes, {"MLP": net, "CNN": cnn}.items(), strict=True):
    LayerBytesDisplay.from_estimator(model, ax=ax)
    ax.set_title(f"{name}: {model.packed_.nbytes:,} bytes")
plt.show()

# %%
# The summary is plain data as well, and the file is hardly longer than the arrays in it:

import tempfile
from pathlib import Path

summary = cnn.packed_.summary().to_dict()
print({name: value for name, value in summary.items() if name != "layers"})
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "digits.skbnn"
    cnn.packed_.save(path)
    print(f"the file: {path.stat().st_size:,} bytes")
    print("read again, it is the same model:", load(path) == cnn.packed_)
