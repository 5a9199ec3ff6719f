"""
========================
A convolution, in words
========================

A binary convolution sees an image as a few pictures of bits, and makes more of them. This example
trains a small network on scikit-learn's digits, shows what its layers see, and moves the digits
about to show what convolutions are for.
"""

# %%
# A row of 64 features is an image of 8 x 8 pixels. ``channels`` says how many pictures of bits each
# layer makes, and ``pool_size`` halves their height and width behind each.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skbnn import BinaryCNNClassifier, BinaryMLPClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
net = BinaryCNNClassifier(channels=(32, 64), n_thresholds=3, random_state=0).fit(X_train, y_train)
print(f"accuracy: {net.score(X_test, y_test):.3f}")
print(net.packed_.summary())

# %%
# The whole network is a list of operations, and each can be run by itself. Its values are packed
# pixels, here unpacked again for the eye: the three thresholds of a digit, then eight of the 32
# channels of the first layer, already pooled.

import matplotlib.pyplot as plt

from skbnn.bits import backend, unpack_bits

kernels = backend("auto")
encode, convolve = net.packed_.operations[:2]
bits = encode.prepare(kernels)(X_test[:4].copy())
made = convolve.prepare(kernels)(bits)
seen = unpack_bits(bits[:, 0], encode.gives.shape[2])
found = unpack_bits(made[:, 0], convolve.gives.shape[2])

figure, axes = plt.subplots(4, 12, figsize=(10, 3.6), layout="constrained")
for n, row in enumerate(axes):
    pictures = [X_test[n].reshape(8, 8), *np.moveaxis(seen[n], 2, 0), *np.moveaxis(found[n], 2, 0)]
    for ax, picture in zip(row, pictures, strict=False):
        ax.imshow(picture, cmap="gray_r")
        ax.set_axis_off()
for ax, title in zip(axes[0], ["digit", "dark", "darker", "darkest", "layer 1 ..."], strict=False):
    ax.set_title(title, fontsize=9)
plt.show()

# %%
# A pool looks at every place and keeps the best of four. A ``stride`` of 2 looks at one in four,
# for a quarter of the work of that layer.

halvings = {"pool": {"pool_size": 2}, "stride": {"pool_size": 1, "stride": 2}}
halvings["pool, then stride"] = {"pool_size": (2, 1), "stride": (1, 2)}
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for label, params in halvings.items():
    halved = BinaryCNNClassifier((32, 64), n_thresholds=3, random_state=0, **params)
    accuracy = halved.fit(X_train, y_train).score(X_test, y_test)
    operations = halved.packed_.summary().binary_ops
    ax.plot(operations / 1000, 100 * (1 - accuracy), "o")
    ax.annotate(
        label, (operations / 1000, 100 * (1 - accuracy)), (6, 4), textcoords="offset points"
    )
ax.set(xlabel="thousand binary operations an image", ylabel="test error, %")
ax.margins(0.25)
plt.show()

# %%
# A dense network learns places, a convolution learns neighbourhoods. Both are trained here on
# digits that stand anywhere on a field of 12 x 12 pixels, three times as many as before.


def scattered(X, rng):
    """Return each digit at a random place of a larger field."""
    fields = np.zeros((len(X), 12, 12))
    for field, image in zip(fields, X.reshape(-1, 8, 8), strict=True):
        line, column = rng.integers(0, 5, 2)
        field[line : line + 8, column : column + 8] = image
    return fields.reshape(len(X), -1)


rng = np.random.default_rng(0)
X_moved = np.concatenate([scattered(X_train, rng) for _ in range(3)])
y_moved = np.tile(y_train, 3)
X_moved_test = scattered(X_test, rng)
for model in (
    BinaryMLPClassifier(max_iter=15, random_state=0),
    BinaryCNNClassifier(channels=(32, 64), random_state=0),
):
    model.fit(X_moved, y_moved)
    accuracy, size = model.score(X_moved_test, y_test), model.packed_.nbytes
    print(f"{type(model).__name__:20s} accuracy {accuracy:.3f}, {size / 1024:5.1f} KiB")
