"""Attention of bits and of reals, and the tokens that attend."""

import copy
import math

import numpy as np
import pytest

from skbnn.bits import pack_bits, unpack_bits
from skbnn.packed import (
    Attention,
    BitCode,
    BitImage,
    RealAttention,
    Reals,
    RowMaximum,
    ScoreThreshold,
    SoftmaxShare,
    TokenBits,
    TokenPlanes,
    TokenReals,
)


def chosen_by(rule, scores):
    """Which tokens are chosen, from scores (n_tokens, n_tokens) of one head, as the papers say."""
    name, parameter = rule
    size = parameter["size"]
    scaled = scores / math.sqrt(size)
    best = scaled.max(1, keepdims=True)
    if name == "threshold":
        return scores >= parameter["least"]
    if name == "row-max":
        return scores >= scores.max(1, keepdims=True) - parameter["margin"]
    shares = np.exp(scaled - best)
    return shares / shares.sum(1, keepdims=True) >= parameter["share"]


@pytest.mark.parametrize("name", ["threshold", "row-max", "softmax"])
@pytest.mark.parametrize(
    ("places", "n_heads", "size"), [((1, 1), 1, 8), ((1, 5), 2, 31), ((7, 7), 2, 64)]
)
def test_attention_is_what_the_papers_say(kernels, name, places, n_heads, size):
    rng = np.random.default_rng(size)
    n_tokens, n_units = math.prod(places), n_heads * size
    bits = rng.random((3, n_tokens, 3 * n_units)) < 0.5
    # In mismatches m, scores are size - 2 m.
    limits = np.full(n_heads, size // 2 - 2, np.int16)
    table = np.round(2**20 * np.exp(-2 * np.arange(size + 1) / math.sqrt(size))).astype(np.int32)
    share = min(2.03 / n_tokens, 0.6)
    rule, parameter = {
        "threshold": (ScoreThreshold(limits), {"least": size - 2 * limits[0]}),
        "row-max": (RowMaximum(limits // 3), {"margin": 2 * (limits[0] // 3)}),
        "softmax": (
            SoftmaxShare(table, np.full(n_heads, round(share * 2**16), np.int32)),
            {"share": share},
        ),
    }[name]
    parameter["size"] = size
    thresholds = rng.integers(-2, 3, n_units).astype(np.int16)
    flips = rng.random(n_units) < 0.5
    layer = Attention(places, rule, thresholds, pack_bits(flips))
    assert layer.takes == BitImage((*places, 3 * n_units))
    assert layer.gives == BitImage((*places, n_units))
    x = np.where(bits, 1, -1)
    sums = np.empty((3, n_tokens, n_units), int)
    for row in range(3):
        for head in range(n_heads):
            q, k, v = (x[row, :, i * n_units + head * size :][:, :size] for i in range(3))
            chosen = chosen_by((name, parameter), q @ k.T)
            sums[row, :, head * size : (head + 1) * size] = chosen.astype(int) @ v
    expected = (sums >= thresholds) != flips
    words = pack_bits(bits).reshape(3, 1, *places, -1)
    found = layer.prepare(kernels)(words)
    assert found.shape == (3, 1, *places, math.ceil(n_units / 64))
    np.testing.assert_array_equal(found.reshape(3, n_tokens, -1), pack_bits(expected))
    assert n_tokens == 1 or 0 < expected.mean() < 1


def test_real_attention_is_softmax():
    rng = np.random.default_rng(0)
    layer = RealAttention(5, 6, 2)
    assert (layer.takes, layer.gives) == (Reals(90), Reals(30))
    rows = rng.normal(size=(4, 90))
    found = layer.prepare(None)(rows)
    parts = rows.reshape(4, 5, 3, 2, 3)
    for row in range(4):
        for head in range(2):
            q, k, v = (parts[row, :, i, head] for i in range(3))
            weights = np.exp(q @ k.T / math.sqrt(3))
            expected = weights / weights.sum(1, keepdims=True) @ v
            part = found[row].reshape(5, 2, 3)[:, head]
            np.testing.assert_allclose(part, expected, rtol=1e-12, atol=1e-12)
    alone = np.concatenate([layer.prepare(None)(row[None]) for row in rows])
    np.testing.assert_array_equal(alone, found)
    huge = layer.prepare(None)(rows * 1e150)
    assert np.isfinite(huge).all()
    assert layer.prepare(None, np.float32)(rows.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_tokens_share_the_elements_of_a_row(kernels, dtype):
    rng = np.random.default_rng(0)
    owners = rng.permutation(np.repeat([0, 2, 3, 5], [70, 1, 64, 7])).astype(dtype)
    bits = rng.random((5, len(owners))) < 0.5
    layer = TokenBits(owners, (2, 3))
    assert (layer.takes, layer.gives) == (BitCode(142), BitImage((2, 3, 70)))
    found = unpack_bits(layer.prepare(kernels)(pack_bits(bits)[:, None])[:, 0], 70)
    expected = np.zeros((5, 6, 70), bool)
    for token in range(6):
        mine = bits[:, owners == token]
        expected[:, token, : mine.shape[1]] = mine
    np.testing.assert_array_equal(found.reshape(5, 6, 70), expected)

    layer, planes = TokenPlanes(owners, (2, 3)), rng.random((4, 8, len(owners))) < 0.5
    assert layer.takes.scales == layer.gives.scales == tuple(2**k for k in range(8))
    together = unpack_bits(layer.prepare(kernels)(pack_bits(planes)), 70)
    for k in range(8):
        apart = TokenBits(owners, (2, 3)).prepare(kernels)(pack_bits(planes[:, k])[:, None])
        np.testing.assert_array_equal(together[:, k], unpack_bits(apart, 70)[:, 0])

    layer = TokenReals(owners, (2, 3))
    assert (layer.takes, layer.gives) == (Reals(142), Reals(420))
    rows = rng.normal(size=(5, 142))
    found = layer.prepare(kernels)(rows).reshape(5, 6, 70)
    for token in range(6):
        mine = rows[:, owners == token]
        np.testing.assert_array_equal(found[:, token, : mine.shape[1]], mine)
        assert not found[:, token, mine.shape[1] :].any()


def test_tokens_without_elements(kernels):
    layer = TokenBits(np.empty(0, np.uint8), (1, 2))
    assert layer.gives == BitImage((1, 2, 0))
    assert layer.prepare(kernels)(np.empty((3, 1, 0), np.uint64)).shape == (3, 1, 1, 2, 0)


ONE = np.ones(1, np.uint64)


def attention(**changes):
    """A legal attention of two tokens, one head and four units, with changes."""
    parts = {
        "places": (1, 2),
        "rule": ScoreThreshold(np.array([2], np.int16)),
        "thresholds": np.zeros(4, np.int16),
        "flips": ONE,
    }
    return Attention(**{**parts, **changes})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"places": (2,)}, "tokens"),
        ({"places": (0, 2)}, "tokens"),
        ({"places": (1, 2**17)}, "tokens"),
        ({"rule": ScoreThreshold(np.zeros(3, np.int16))}, "4 units cannot be shared by 3 heads"),
        ({"rule": ScoreThreshold(np.zeros(0, np.int16))}, "shared by 0 heads"),
        (
            {"rule": SoftmaxShare(np.array([4, 2, 1], np.int32), np.ones(1, np.int32))},
            "another size",
        ),
        ({"thresholds": np.array([0, 0, 4, 0], np.int16)}, "reach"),
        ({"thresholds": np.zeros(4)}, "thresholds has dtype"),
        ({"flips": 16 * ONE}, "Padding"),
        ({"flips": np.zeros(2, np.uint64)}, "flips has shape"),
    ],
)
def test_ill_formed_attention_is_refused(change, message):
    attention()
    with pytest.raises(ValueError, match=message):
        attention(**change)


def test_ill_formed_rules_and_tokens_are_refused():
    shares = np.ones(1, np.int32)
    for table in ([], [2**20 + 1, 1], [3, 4], [3, -1], [0, 0]):
        with pytest.raises(ValueError, match="must fall"):
            SoftmaxShare(np.array(table, np.int32), shares)
    for share in (-1, 2**16 + 1):
        with pytest.raises(ValueError, match="share must lie"):
            SoftmaxShare(np.array([2, 1], np.int32), share * shares)
    for rule in (ScoreThreshold, RowMaximum):
        with pytest.raises(ValueError, match="limits has dtype"):
            rule(np.zeros(2))
    for kind in (TokenBits, TokenPlanes, TokenReals):
        for owner in (-1, 2):
            with pytest.raises(ValueError, match="does not exist"):
                kind(np.array([0, owner], np.int16), (1, 2))
        with pytest.raises(ValueError, match="too large"):
            kind(np.zeros(300, np.int16), (256, 256))
    for sizes in ((0, 4, 2), (2, 4, 3), (2, 4, 0), (2**17, 4, 2)):
        with pytest.raises(ValueError, match="tokens|heads"):
            RealAttention(*sizes)


def test_copies_are_read_only():
    clone = copy.deepcopy(attention())
    for array in (clone.thresholds, clone.flips, clone.rule.limits):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
