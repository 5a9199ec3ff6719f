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


def case(rng, random_bits, size, lanes, largest, with_ones):
    """Return the inputs of a kernel and the sums of all units."""
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
    worths = np.ascontiguousarray(np.concatenate([factors, ones]).T).view(np.uint64)
    padding = -n_units % lanes
    return (
        pack_bits(rows),
        interleave_planes(pack_bits(planes), lanes),
        interleave(worths, lanes).view(np.int64),
        np.pad(base, (0, padding)),
    ), sums


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@with_or_without_ones
@sizes
def test_sum_products(kernels, rng, random_bits, guarded, frozen, size, with_ones, dtype):
    largest = 1 << (40 if dtype == np.int64 else 12)
    inputs, sums = case(rng, random_bits, size, lanes_for(size[-1]), largest, with_ones)
    out = guarded(sums.shape, dtype)
    kernels.sum_products(*frozen(*inputs), out)
    np.testing.assert_array_equal(out, sums)


def test_sums_wrap_on_the_way(kernels, random_bits, guarded, frozen):
    factors = np.full((1, 2, 16), 1 << 30)
    factors[:, 1] *= -1
    rows, units = pack_bits(np.ones((1, 2, 8), bool)), np.zeros((1, 1, 16), np.uint64)
    out = guarded((1, 3), np.int32)
    kernels.sum_products(*frozen(rows, units, factors, np.full(16, 7)), out)
    assert (out == 7).all()


@with_or_without_ones
@pytest.mark.parametrize("n_steps", [1, 3])
@sizes
def test_code_products(kernels, rng, random_bits, guarded, frozen, size, n_steps, with_ones):
    inputs, sums = case(rng, random_bits, size, 32, 1 << 30, with_ones)
    (n_rows, n_units), n_codes = sums.shape, 2
    spread = int(np.abs(sums).max(initial=1))
    thresholds = np.sort(rng.integers(-spread, spread, (n_steps, n_units)), 0)
    if n_rows:
        thresholds[0] = sums[n_rows // 2]
    starts = random_bits(n_codes, n_units)
    changes = rng.random((n_steps, n_codes)) < 0.7
    limits = np.full((n_steps, len(inputs[3])), np.iinfo(np.int64).max)
    limits[:, :n_units] = thresholds
    out = guarded((n_rows, n_codes, n_words(n_units)), np.uint64)
    kernels.code_products(*frozen(*inputs, limits, pack_bits(starts), changes), out)
    met = sums[:, None] >= thresholds
    turned = np.einsum("nsm,sk->nkm", met.astype(int), changes.astype(int)) % 2 == 1
    np.testing.assert_array_equal(out, pack_bits(turned ^ starts))
    np.testing.assert_array_equal(unpack_bits(out, n_units), turned ^ starts)


@pytest.mark.parametrize("n_rows", [0, 1, 3])
@pytest.mark.parametrize(("shift", "other_shift"), [(0, 0), (3, 0), (0, 2)])
def test_add_shifted(kernels, rng, guarded, frozen, n_rows, shift, other_shift):
    sums, others = rng.integers(-(1 << 20), 1 << 20, (2, n_rows, 2, 3, 7)).astype(np.int32)
    table = rng.integers(-99, 99, (1, 2, 3, 7)).astype(np.int32)
    for added in (others, table):
        out = guarded(sums.shape, np.int32)
        kernels.add_shifted(frozen(sums), shift, frozen(added), other_shift, out)
        np.testing.assert_array_equal(out, sums * 2**shift + added * 2**other_shift)
    out = sums.copy()
    kernels.add_shifted(out, shift, others, other_shift, out)
    np.testing.assert_array_equal(out, sums * 2**shift + others * 2**other_shift)
