"""Kernels that count and add up, against plain NumPy."""

import numpy as np
import pytest

from skbnn.bits import pack_bits

WIDTHS = [1, 63, 64, 65, 130, 784]
BATCHES = [0, 1, 3, 64, 65]


@pytest.mark.parametrize("n_rows", [*BATCHES, pytest.param(9, id="compact")])
@pytest.mark.parametrize("n_bits", WIDTHS)
def test_count_ones(kernels, random_bits, guarded, frozen, n_bits, n_rows):
    bits = random_bits(n_rows, n_bits)
    out = guarded((n_rows,), np.int32)
    kernels.count_ones(frozen(pack_bits(bits)), out)
    np.testing.assert_array_equal(out, bits.sum(1))


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("n_planes", [0, 1, 3])
@pytest.mark.parametrize(
    ("n_rows", "n_pairs", "n_units"),
    [(0, 2, 10), (1, 1, 1), (3, 2, 17), (65, 8, 100), pytest.param(5, 6, 33, id="compact")],
)
def test_combine_counts(kernels, rng, guarded, frozen, n_rows, n_pairs, n_units, n_planes, dtype):
    largest = 1 << (40 if dtype == np.int64 else 12)
    counts = rng.integers(0, 4096, (n_rows, n_pairs, n_units)).astype(np.int32)
    coefficients = rng.integers(-largest, largest, (n_pairs, n_units))
    ones = rng.integers(0, 4096, (n_rows, n_planes)).astype(np.int32)
    ones_coefficients = rng.integers(-largest, largest, (n_planes, n_units))
    base = rng.integers(-largest, largest, n_units)
    out = guarded((n_rows, n_units), dtype)
    inputs = frozen(counts, coefficients, ones, ones_coefficients, base)
    kernels.combine_counts(*inputs, out)
    expected = base + np.einsum("nqm,qm->nm", counts, coefficients) + ones @ ones_coefficients
    np.testing.assert_array_equal(out, expected)


def test_combine_counts_passes_its_dtype_on_the_way(kernels, guarded, frozen):
    counts = np.array([[[1 << 20], [1 << 20]]], np.int32)
    coefficients = np.array([[1 << 20], [-(1 << 20)]])
    out = guarded((1, 1), np.int32)
    inputs = frozen(counts, coefficients, np.empty((1, 0), np.int32), np.empty((0, 1), np.int64))
    kernels.combine_counts(*inputs, frozen(np.array([7])), out)
    assert out == 7


def clusters(rng, n_rows, n_clusters):
    """Split some of the rows into clusters, the first of them empty."""
    labels = rng.integers(1, n_clusters + 1, n_rows) % (n_clusters + 1)
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(n_clusters + 1))
    return order.astype(np.int64), starts.astype(np.int64)


@pytest.mark.parametrize("n_clusters", [1, 2, 7])
@pytest.mark.parametrize("n_rows", [*BATCHES, 1000, pytest.param(70, id="compact")])
@pytest.mark.parametrize("n_bits", WIDTHS)
def test_count_columns(kernels, rng, random_bits, guarded, frozen, n_bits, n_rows, n_clusters):
    words = pack_bits(random_bits(n_rows, n_bits))
    order, starts = clusters(rng, n_rows, n_clusters)
    out = guarded((n_clusters, 64 * words.shape[1]), np.int32)
    kernels.count_columns(*frozen(words, order, starts), out)
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    for k in range(n_clusters):
        members = order[starts[k] : starts[k + 1]]
        np.testing.assert_array_equal(out[k], bits[members].sum(0))


@pytest.mark.parametrize("n_rows", [255, 256, 257, 70000])
def test_count_columns_of_ones_does_not_overflow(kernels, guarded, frozen, n_rows):
    words = np.full((1, 1), (1 << 64) - 1, np.uint64)
    order, starts = np.zeros(n_rows, np.int64), np.array([0, n_rows])
    out = guarded((1, 64), np.int32)
    kernels.count_columns(*frozen(words, order, starts), out)
    assert (out == n_rows).all()
