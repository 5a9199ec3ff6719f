"""Kernels of products, against products of +-1 matrices in floating point."""

import numpy as np
import pytest

from skbnn.bits import comparison_layout, interleave, lanes_for, n_words, pack_bits, unpack_bits

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


def laid_out(words, lanes):
    """Interleave words, or in blocks of 16 running parities."""
    return interleave(words if lanes == 32 else np.bitwise_xor.accumulate(words, 1), lanes)


@pytest.mark.parametrize("lanes", [16, 32])
@shapes
def test_compare_mismatches(
    kernels, rng, random_bits, guarded, frozen, n_bits, n_rows, n_units, lanes
):
    rows, units = random_bits(n_rows, n_bits), random_bits(n_units, n_bits)
    expected = mismatches(rows, units)
    words = laid_out(pack_bits(units), lanes)
    limits = np.full(len(words) * lanes, -1)
    limits[:n_units] = rng.integers(-1, n_bits + 1, n_units)
    if n_rows:
        limits[:n_units:2] = expected[n_rows // 2, ::2]
    out = guarded((n_rows, n_words(n_units)), np.uint64)
    kernels.compare_mismatches(*frozen(pack_bits(rows), words, limits), out)
    np.testing.assert_array_equal(out, pack_bits(expected <= limits[:n_units]))


@pytest.mark.parametrize("lanes", [16, 32])
def test_compare_mismatches_with_limits_of_any_size(kernels, random_bits, guarded, frozen, lanes):
    rows, words = random_bits(5, 70), pack_bits(random_bits(64, 70))
    limits = np.resize([-1, 70, -(1 << 40), 1 << 40], 64)
    out = guarded((5, 1), np.uint64)
    kernels.compare_mismatches(*frozen(pack_bits(rows), laid_out(words, lanes), limits), out)
    np.testing.assert_array_equal(unpack_bits(out, 64), np.tile(limits > 0, (5, 1)))


@pytest.mark.parametrize("lanes", [16, 32])
@pytest.mark.parametrize("n_bits", [64, 128, 4096, 8191])
def test_compare_mismatches_of_all_bits_and_of_none(kernels, n_bits, lanes):
    """The largest counts there are, for which a count of bytes overflows if it is put off."""
    rows = pack_bits(np.array([[True] * n_bits, [False] * n_bits] * 3))
    units = laid_out(pack_bits(np.zeros((64, n_bits), np.bool_)), lanes)
    for limit, expected in [(n_bits - 1, [0, 1]), (n_bits, [1, 1]), (0, [0, 1]), (-1, [0, 0])]:
        out = np.empty((6, 1), np.uint64)
        kernels.compare_mismatches(rows, units, np.full(64, limit), out)
        np.testing.assert_array_equal(out[:, 0], np.resize(expected, 6) * ~np.uint64(0))


@pytest.mark.parametrize(
    ("n_units", "width", "lanes"), [(256, 12, 16), (255, 12, 32), (256, 11, 32), (300, 13, 16)]
)
def test_layout_of_comparisons(kernels, rng, guarded, n_units, width, lanes):
    words = rng.integers(0, 1 << 63, (n_units, width), dtype=np.uint64)
    bounds = rng.integers(0, 64 * width, n_units)
    units, limits = comparison_layout(words, bounds)
    assert units.shape == (-(-n_units // lanes), width, lanes)
    assert units.ctypes.data % 64 == 0
    np.testing.assert_array_equal(limits[:n_units], bounds)
    assert (limits[n_units:] == -1).all()
    rows = rng.integers(0, 1 << 63, (3, width), dtype=np.uint64)
    out = guarded((3, n_words(n_units)), np.uint64)
    kernels.compare_mismatches(rows, units, limits, out)
    counts = np.bitwise_count(rows[:, None] ^ words).sum(-1)
    np.testing.assert_array_equal(out, pack_bits(counts <= bounds))


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
    for blocks in (units, np.empty((4, 0, 16), np.uint64)):
        bits[:] = 0
        kernels.compare_mismatches(rows, blocks, np.resize([0, -1], 64), bits)
        assert (bits == 0x5555555555555555).all()
