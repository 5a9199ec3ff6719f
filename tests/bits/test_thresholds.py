"""The layouts of thresholds, against the bits that they stand for."""

import numpy as np
import pytest

from skbnn.bits import n_words, pack_bits, threshold_layout, token_layout, unpack_bits

WIDTHS = [0, 1, 63, 64, 65, 130, 784]


def compress(word, masks):
    """Close up the bits of a word that its masks keep, as the layout says."""
    word &= masks[0]
    for step, moves in enumerate(masks[1:]):
        moved = word & moves
        word = (word ^ moved) | (moved >> (1 << step))
    return word


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("n_features", WIDTHS)
def test_threshold_layout(rng, n_features, dtype):
    counts = rng.integers(0, 5, n_features).astype(np.uint8)
    thresholds = rng.integers(1, 255, counts.sum(dtype=int)).astype(dtype)
    order = [(p, f) for p in range(5) for f in range(n_features) if counts[f] > p]
    layout = threshold_layout(counts, thresholds)
    assert (layout.table.dtype, layout.masks.dtype) == (dtype, np.uint64)
    assert (np.diff(layout.firsts) >= 0).all()
    assert ((layout.firsts >= 0) & (layout.firsts <= max(0, n_features - 64))).all()
    found = {}
    for limits, first, start, masks in zip(*layout, strict=True):
        kept = np.flatnonzero(unpack_bits(masks[:1], 64))
        assert len(kept) > 0
        for place, lane in enumerate(kept, start):
            found[int(place)] = (first + lane, limits[lane])
        word, masks = int(rng.integers(0, 1 << 63)), [int(mask) for mask in masks]
        expected = sum(((word >> int(lane)) & 1) << i for i, lane in enumerate(kept))
        assert compress(word, masks) == expected
    assert found == {i: (f, thresholds[i]) for i, (_, f) in enumerate(order)}


@pytest.mark.parametrize("n_features", [1, 30, 64, 200])
def test_token_layout_puts_each_token_in_words_of_its_own(kernels, rng, n_features):
    X = rng.integers(0, 12, (40, n_features)).astype(np.uint8)
    counts = rng.integers(0, 4, n_features).astype(np.uint8)
    owners = np.where(counts, rng.integers(0, 3, n_features), 9)
    thresholds = rng.integers(0, 12, counts.sum(dtype=int)).astype(np.uint8)
    features = np.concatenate([np.flatnonzero(counts > plane) for plane in range(3)])
    bits = X[:, features] >= thresholds
    parts = [bits[:, owners[features] == token] for token in range(3)]
    width = n_words(max(part.shape[1] for part in parts))
    order, layout = token_layout(counts, thresholds, owners, width)
    assert sorted(order) == list(range(n_features))
    out = np.empty((40, 3 * width), np.uint64)
    kernels.encode_thresholds(X.take(order, 1), *layout, out)
    for token, part in enumerate(parts):
        words = out[:, token * width : (token + 1) * width]
        np.testing.assert_array_equal(words[:, : n_words(part.shape[1])], pack_bits(part))
        assert not words[:, n_words(part.shape[1]) :].any()
