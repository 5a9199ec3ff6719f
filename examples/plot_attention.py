"""
=================
Attention in bits
=================

A transformer whose weights, activations and attention are single bits, and a look at which parts of
a digit attend to which.
"""

# %%
# A digit of 8 x 8 pixels becomes 16 tokens, patches of 2 x 2 pixels. The network is small, so that
# this page is quick to build.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skbnn import BinaryTransformerClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
net = BinaryTransformerClassifier(
    32, n_layers=1, n_heads=2, patch_size=2, max_iter=25, random_state=0
)
net.fit(X_train, y_train)
print(f"accuracy on {len(X_test)} test images: {net.score(X_test, y_test):.3f}")

# %%
# Fitted, it is a program on integers: bits go to tokens, each token's stream begins with the sums
# of its bits, and every branch adds to it.

print(net.packed_.summary())

# %%
# Operations can be run one by one. Up to the attention of the first layer, they give queries, keys
# and values of every token as bits; the rule of the attention says which scores are enough.

import numpy as np

from skbnn.bits import backend, unpack_bits

kernels = backend()
rows = X_test
for operation in net.packed_.operations[:4]:
    rows = operation.prepare(kernels)(rows)
sign, project, attention, _ = net.packed_.operations[4].branch
for operation in (sign, project):
    rows = operation.prepare(kernels)(rows)

n_units, n_heads = len(attention.thresholds), attention.rule.n_heads
bits = unpack_bits(rows, 3 * n_units).reshape(len(X_test), 16, 3, n_heads, n_units // n_heads)
queries, keys, _ = np.moveaxis(bits, 2, 0)
differing = (queries[:, :, None] != keys[:, None]).sum(-1)
attended = differing <= attention.rule.limits
print(f"a token attends to {attended.sum(2).mean():.1f} of 16 tokens")

# %%
# Where the token in the middle of an image looks, in each of the two heads:

import matplotlib.pyplot as plt

figure, axes = plt.subplots(3, 6, figsize=(9, 4.6), layout="constrained")
for i, column in enumerate(axes.T):
    image = X_test[i].reshape(8, 8)
    column[0].imshow(image, cmap="gray_r")
    column[0].set_title(f"a {y_test[i]}", fontsize=9)
    for head, ax in enumerate(column[1:]):
        seen = attended[i, 5, :, head].reshape(4, 4).repeat(2, 0).repeat(2, 1)
        ax.imshow(image, cmap="gray_r", alpha=0.4)
        ax.imshow(seen, cmap="Oranges", alpha=0.6, vmin=0, vmax=1)
        ax.add_patch(plt.Rectangle((1.5, 1.5), 2, 2, fill=False, edgecolor="C0", linewidth=2))
for head in range(2):
    axes[head + 1, 0].set_ylabel(f"head {head + 1}")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.show()
