"""Kernels of products, against products of +-1 matrices in floating point."""

import numpy as np
import pytest

from skbnn.bits import interleave, lanes_for, n_words, pack_bits, unpack_bits

WIDTHS = [1, 63, 64, 65, 130, 784]
BATCHES = [0, 1, 3, 64, 65]
UNITS = [1, 10, 16, 17, 32, 33, 100]
SHAPES = [(n_bits, n, m) for n_bits in WIDTHS for n in BATCHES for m in UNITS]
COMPACT = [pytest.param(784, 71, 100, id="compact"), pytest.param(130, 5, 10, id="compact-few")]
COMPACT.append(pytest.param(4100, 6, 40, id="compact-many-words"))
shapes = pytest.mark.parametrize(("n_bits", "n_rows", "n_units"), SHAPES + COMPACT)


def mismatches(rows, units):
    """Count mismatches of bits by way of a product of signs."""
    a, w = (np.where(bits, 1.0, -1.0) for bits in (rows, units))
    return ((rows.shape[1] - a @ w.T) / 2).astype(np.int64)


@shapes
def test_count_mismatches(kernels, random_bits, guarded, frozen, n_bits, n_rows, n_units):
    rows, units = random_bits(n_rows, n_bits), random_bits(n_units, n_bits)
    blocks = interleave(pack_bits(units), lanes_for(n_units))
    out = guarded((n_rows, n_units), np.int32)
    kernels.count_mismatches(*frozen(pack_bits(rows), blocks), out)
    np.testing.assert_array_equal(out, mismatches(rows, units))


@pytest.mark.parametrize(("n_units", "n_counted"), [(100, 70), (64, 10), (16, 3)])
def test_count_mismatches_of_the_first_units(
    kernels, random_bits, guarded, frozen, n_units, n_counted
):
    rows, units = random_bits(9, 130), random_bits(n_units, 130)
    blocks = interleave(pack_bits(units), lanes_for(n_units))
    out = guarded((9, n_counted), np.int32)
    kernels.count_mismatches(*frozen(pack_bits(rows), blocks), out)
    np.testing.assert_array_equal(out, mismatches(rows, units[:n_counted]))


@shapes
def test_compare_mismatches(kernels, rng, random_bits, guarded, frozen, n_bits, n_rows, n_units):
    rows, units = random_bits(n_rows, n_bits), random_bits(n_units, n_bits)
    expected = mismatches(rows, units)
    width = n_words(n_units)
    words = np.zeros((64 * width, n_words(n_bits)), np.uint64)
    words[:n_units] = pack_bits(units)
    limits = np.full(64 * width, -1)
    limits[:n_units] = rng.integers(-1, n_bits + 1, n_units)
    if n_rows:
        limits[:n_units:2] = expected[n_rows // 2, ::2]
    out = guarded((n_rows, width), np.uint64)
    kernels.compare_mismatches(*frozen(pack_bits(rows), interleave(words, 32), limits), out)
    np.testing.assert_array_equal(out, pack_bits(expected <= limits[:n_units]))


def test_compare_mismatches_with_limits_of_any_size(kernels, random_bits, guarded, frozen):
    rows, words = random_bits(5, 70), pack_bits(random_bits(64, 70))
    limits = np.resize([-1, 70, -(1 << 40), 1 << 40], 64)
    out = guarded((5, 1), np.uint64)
    kernels.compare_mismatches(*frozen(pack_bits(rows), interleave(words, 32), limits), out)
    np.testing.assert_array_equal(unpack_bits(out, 64), np.tile(limits > 0, (5, 1)))


@shapes
def test_nearest_units(kernels, random_bits, guarded, frozen, n_bits, n_rows, n_units):
    rows, units = random_bits(n_rows, n_bits), random_bits(n_units, n_bits)
    expected = mismatches(rows, units)
    blocks = interleave(pack_bits(units), lanes_for(n_units))
    index, distance = (guarded((n_rows,), np.int32) for _ in range(2))
    kernels.nearest_units(*frozen(pack_bits(rows), blocks), n_units, index, distance)
    np.testing.assert_array_equal(index, expected.argmin(1))
    np.testing.assert_array_equal(distance, expected.min(1))


@pytest.mark.parametrize("n_units", [3, 50, 200])
def test_nearest_unit_is_the_first_of_equals(kernels, random_bits, guarded, frozen, n_units):
    rows = random_bits(7, 90)
    units = np.tile(random_bits(1, 90), (n_units, 1))
    blocks = interleave(pack_bits(units), 32)
    index, distance = (guarded((7,), np.int32) for _ in range(2))
    kernels.nearest_units(*frozen(pack_bits(rows), blocks), n_units, index, distance)
    assert not index.any()
    # Rows that are all ones are nearer to the padding than to any unit.
    units[:] = True
    blocks = interleave(pack_bits(units), 32)
    none = np.zeros((7, 2), np.uint64)
    kernels.nearest_units(*frozen(none, blocks), n_units, index, distance)
    assert not index.any()
    assert (distance == 90).all()


def test_rows_without_bits(kernels, guarded):
    rows, units = np.empty((3, 0), np.uint64), np.empty((2, 0, 32), np.uint64)
    counts, bits = guarded((3, 40), np.int32), guarded((3, 1), np.uint64)
    kernels.count_mismatches(rows, units, counts)
    assert not counts.any()
    kernels.compare_mismatches(rows, units, np.resize([0, -1], 64), bits)
    assert (bits == 0x5555555555555555).all()
