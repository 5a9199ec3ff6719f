"""Kernels that count ones, against plain NumPy."""

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
