"""Kernels of products of several planes, against sums over all pairs of planes in plain NumPy."""

import numpy as np
import pytest

from skbnn.bits import interleave, interleave_planes, lanes_for, n_words, pack_bits, unpack_bits

SIZES = [
    (1, 0, 1, 1, 3),
    (64, 1, 2, 1, 10),
    (65, 3, 1, 2, 17),
    (130, 64, 2, 2, 33),
    (130, 65, 8, 1, 10),
    (70, 40, 3, 3, 300),
    (2100, 5, 2, 1, 40),
    pytest.param((130, 9, 3, 2, 20), id="compact"),
]
"""Bits, rows, planes of the rows, planes of the units, units."""
sizes = pytest.mark.parametrize("size", SIZES, ids=str)
with_or_without_ones = pytest.mark.parametrize("with_ones", [False, True])


LARGEST = {np.int16: 2, np.int32: 1 << 12, np.int64: 1 << 40}
"""What counts are worth at most so that sums fit their type."""


def case(rng, random_bits, size, lanes, dtype, with_ones):
    """Return the inputs of a kernel and the sums of all units."""
    largest, kind = LARGEST[dtype], np.promote_types(dtype, np.int32)
    n_bits, n_rows, n_planes, n_unit_planes, n_units = size
    rows = random_bits(n_rows, n_planes, n_bits)
    planes = random_bits(n_unit_planes, n_units, n_bits)
    factors = rng.integers(-largest, largest, (n_planes * n_unit_planes, n_units))
    ones = rng.integers(-largest, largest, (n_planes if with_ones else 0, n_units))
    base = rng.integers(-largest, largest, n_units)
    counts = (rows[:, :, None, None] ^ planes).sum(-1)
    sums = base + np.einsum("nqm,qm->nm", counts.reshape(n_rows, len(factors), n_units), factors)
    if with_ones:
        sums += rows.sum(-1) @ ones
    worths = np.concatenate([factors, ones]).T.astype(kind)
    padding = -n_units % lanes
    return (
        pack_bits(rows),
        interleave_planes(pack_bits(planes), lanes),
        interleave(worths, lanes),
        np.pad(base.astype(kind), (0, padding)),
    ), sums


@pytest.mark.parametrize("dtype", LARGEST)
@with_or_without_ones
@sizes
def test_sum_products(kernels, rng, random_bits, guarded, frozen, size, with_ones, dtype):
    inputs, sums = case(rng, random_bits, size, lanes_for(size[-1]), dtype, with_ones)
    out = guarded(sums.shape, dtype)
    kernels.sum_products(*frozen(*inputs), out)
    np.testing.assert_array_equal(out, sums)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_sums_wrap_on_the_way(kernels, random_bits, guarded, frozen, dtype):
    factors = np.full((1, 2, 16), 1 << 30, dtype)
    factors[:, 1] *= -1
    rows, units = pack_bits(np.ones((1, 2, 8), bool)), np.zeros((1, 1, 16), np.uint64)
    out = guarded((1, 3), np.int32)
    kernels.sum_products(*frozen(rows, units, factors, np.full(16, 7, dtype)), out)
    assert (out == 7).all()


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@with_or_without_ones
@pytest.mark.parametrize("n_steps", [1, 3])
@sizes
def test_code_products(kernels, rng, random_bits, guarded, frozen, size, n_steps, with_ones, dtype):
    inputs, sums = case(rng, random_bits, size, 32, dtype, with_ones)
    (n_rows, n_units), n_codes = sums.shape, 2
    spread = int(np.abs(sums).max(initial=1))
    thresholds = np.sort(rng.integers(-spread, spread, (n_steps, n_units)), 0)
    if n_rows:
        thresholds[0] = sums[n_rows // 2]
    starts = random_bits(n_codes, n_units)
    changes = rng.random((n_steps, n_codes)) < 0.7
    limits = np.full((n_steps, len(inputs[3])), np.iinfo(dtype).max, dtype)
    limits[:, :n_units] = thresholds
    out = guarded((n_rows, n_codes, n_words(n_units)), np.uint64)
    kernels.code_products(*frozen(*inputs, limits, pack_bits(starts), changes), out)
    met = sums[:, None] >= thresholds
    turned = np.einsum("nsm,sk->nkm", met.astype(int), changes.astype(int)) % 2 == 1
    np.testing.assert_array_equal(out, pack_bits(turned ^ starts))
    np.testing.assert_array_equal(unpack_bits(out, n_units), turned ^ starts)


@pytest.mark.parametrize("n_rows", [0, 1, 3])
@pytest.mark.parametrize("factors", [(1, 1), (8, 1), (1, 4)])
@pytest.mark.parametrize(("dtype", "other", "result"), ["hhh", "hhi", "ihi", "hii", "iii"], ids=str)
def test_add_scaled(kernels, rng, guarded, frozen, n_rows, factors, dtype, other, result):
    most, others_most = (
        1 << (11 if result == "h" else 14 if t == "h" else 20) for t in (dtype, other)
    )
    sums = rng.integers(-most, most, (n_rows, 2, 3, 7)).astype(dtype)
    others = rng.integers(-others_most, others_most, (n_rows, 2, 3, 7)).astype(other)
    table = rng.integers(-others_most, others_most, (1, 2, 3, 7)).astype(other)
    for added in (others, table):
        out = guarded(sums.shape, result)
        kernels.add_scaled(*frozen(sums, added, np.array(factors, result)), out)
        expected = sums.astype(int) * factors[0] + added.astype(int) * factors[1]
        np.testing.assert_array_equal(out, expected)
