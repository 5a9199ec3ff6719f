"""Kernels of sequences, against attention of +-1 arrays, one pair of tokens after another."""

import numpy as np
import pytest

from skbnn.bits import n_words, pack_bits, unpack_bits

# Tokens, heads, size of a head.
SHAPES = [
    (1, 1, 1),
    (2, 3, 8),
    (5, 2, 31),
    (17, 1, 64),
    (16, 4, 32),
    (64, 2, 65),
    (65, 3, 8),
    pytest.param(49, 2, 65, id="compact"),
    pytest.param(5, 2, 31, id="compact-small"),
]
shapes = pytest.mark.parametrize(("n_tokens", "n_heads", "size"), SHAPES)


def rules(rng, n_heads, size):
    """The arguments of each kind of rule."""
    none, nothing = np.empty(0, np.int64), np.zeros(n_heads, np.int64)
    table = np.round(2**20 * np.exp(-2 * np.arange(size + 1) / size**0.5)).astype(np.int64)
    shares = rng.integers(0, 2**15, n_heads)
    shares[0] = 2**16
    return {
        "threshold": (False, rng.integers(-1, size + 1, n_heads), none, nothing),
        "row-max": (True, rng.integers(0, size // 4 + 1, n_heads), none, nothing),
        "softmax": (True, nothing, table, shares),
    }


def chosen_by(counts, from_least, limit, table, share):
    """Which tokens one token attends to."""
    if from_least:
        counts = counts - min(counts)
    if not len(table):
        return counts <= limit
    weights = np.array([int(table[count]) for count in counts])
    return weights * 2**16 >= int(share) * weights.sum()


def attention(bits, n_heads, rule):
    """Sums of one sequence of bits (n_tokens, 3 * n_units), straight from their definition."""
    from_least, limits, table, shares = rule
    x = np.where(bits, 1.0, -1.0)
    queries, keys, values = np.split(x, 3, axis=1)
    size = queries.shape[1] // n_heads
    sums = np.zeros_like(queries)
    for head in range(n_heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(len(x)):
            counts = np.array([(queries[i, part] != key).sum() for key in keys[:, part]])
            chosen = chosen_by(counts, from_least, limits[head], table, shares[head])
            sums[i, part] = values[chosen, part].sum(0)
    return sums


@pytest.mark.parametrize("n_rows", [0, 1, pytest.param(3, id="compact")])
@pytest.mark.parametrize("rule", ["threshold", "row-max", "softmax"])
@shapes
def test_attend(kernels, rng, random_bits, guarded, frozen, n_rows, rule, n_tokens, n_heads, size):
    n_units = n_heads * size
    bits = random_bits(n_rows, n_tokens, 3 * n_units)
    arguments = rules(rng, n_heads, size)[rule]
    reach, n_steps, n_codes = int(np.ceil(n_tokens / 3)), 1 + size % 3, 1 + n_heads % 2
    thresholds = rng.integers(-reach, reach + 2, (n_steps, n_units)).astype(np.int32)
    starts, changes = random_bits(n_codes, n_units), random_bits(n_steps, n_codes)
    sums = np.array([attention(row, n_heads, arguments) for row in bits])
    met = sums.reshape(n_rows, n_tokens, 1, n_units) >= thresholds
    turned = np.einsum("ntsm,sk->ntkm", met.astype(int), changes.astype(int)) % 2 == 1
    out = guarded((n_rows, n_tokens, n_codes, n_words(n_units)), np.uint64)
    inputs = frozen(pack_bits(bits), thresholds, pack_bits(starts), changes)
    kernels.attend(inputs[0], n_heads, *arguments, *inputs[1:], out)
    np.testing.assert_array_equal(out, pack_bits(turned ^ starts))


def test_scores_that_tie_with_a_limit_are_attended_to(kernels, guarded):
    """Two tokens, one head of four bits: mismatches 0 and 2 of the first query."""
    bits = np.array([[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]])
    one, none = np.ones(1, np.int64), np.empty(0, np.int64)
    table = np.array([2**20, 2**19, 2**18, 0, 0])
    for rule, n_chosen in [
        ((False, 2 * one, none, one), 2),
        ((False, one, none, one), 1),
        ((True, 2 * one, none, one), 2),
        ((True, one, none, one), 1),
        ((True, one, table, one * 2**16 // 5), 2),
        ((True, one, table, one * 2**16 // 5 + 1), 1),
        ((True, one, table, one * 2**16), 0),
    ]:
        # Values of the second token are -1: both attended to, the sum is 0; one alone, it is 1.
        goals = {0: [0, 1], 1: [1, 2], 2: [0, 1]}[n_chosen]
        for goal, expected in zip(goals, (True, False), strict=True):
            out = guarded((1, 2, 1, 1), np.uint64)
            steps = (
                np.full((1, 4), goal, np.int32),
                np.zeros((1, 1), np.uint64),
                np.ones((1, 1), bool),
            )
            kernels.attend(pack_bits(bits[None]), 1, *rule, *steps, out)
            assert unpack_bits(out[0, 0, 0], 4).tolist() == [expected] * 4, (rule, goal)


@pytest.mark.parametrize("n_rows", [0, 1, pytest.param(7, id="compact")])
@pytest.mark.parametrize(
    ("n_bits", "n_out"), [(1, 1), (64, 65), (130, 300), pytest.param(65, 130, id="compact")]
)
def test_gather_bits(kernels, rng, random_bits, guarded, frozen, n_rows, n_bits, n_out):
    bits = random_bits(n_rows, n_bits)
    order = np.full(64 * n_words(n_out), -1)
    order[:n_out] = rng.integers(-1, n_bits, n_out)
    expected = np.where(order >= 0, bits[:, order], False)
    out = guarded((n_rows, n_words(n_out)), np.uint64)
    kernels.gather_bits(frozen(pack_bits(bits)), frozen(order), out)
    np.testing.assert_array_equal(out, pack_bits(expected))
