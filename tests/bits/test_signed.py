"""The kernel of real rows times signs, against a product in float64."""

import numpy as np
import pytest

from skbnn.bits import backend, pack_bits, unit_masks, unpack_bits

WIDTHS = [0, 1, 63, 64, 65, 130, 784]
SHAPES = [(n_bits, n, m) for n_bits in WIDTHS for n in (0, 1, 3, 66) for m in (1, 10, 32, 33)]
COMPACT = pytest.param(130, 300, 70, id="compact")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n_bits", "n_rows", "n_units"), [*SHAPES, COMPACT])
def test_signed_sums(kernels, rng, random_bits, guarded, frozen, n_bits, n_rows, n_units, dtype):
    rows = rng.normal(size=(n_rows, n_bits)).astype(dtype)
    units = random_bits(n_units, n_bits)
    out = guarded((n_rows, n_units), dtype)
    kernels.signed_sums(*frozen(rows, unit_masks(pack_bits(units), n_bits)), out)
    expected = rows.astype(np.float64) @ np.where(units, 1.0, -1.0).T
    bound = 4 * np.finfo(dtype).eps * n_bits * np.abs(rows).max(initial=0)
    np.testing.assert_allclose(out, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sums_of_a_row_do_not_depend_on_the_others(rng, random_bits, dtype):
    rows = rng.normal(size=(261, 100)).astype(dtype)
    masks = unit_masks(pack_bits(random_bits(40, 100)), 100)
    kernels = backend("numba")
    whole = np.empty((261, 40), dtype)
    kernels.signed_sums(rows, masks, whole)
    for start, size in [(0, 1), (3, 1), (258, 3), (5, 7), (255, 6)]:
        part = np.empty((size, 40), dtype)
        kernels.signed_sums(rows[start : start + size].copy(), masks, part)
        np.testing.assert_array_equal(part, whole[start : start + size])


@pytest.mark.parametrize("n_units", [1, 31, 32, 33, 100])
def test_unit_masks(random_bits, n_units):
    bits = random_bits(n_units, 70)
    masks = unit_masks(pack_bits(bits), 70)
    assert masks.shape == (-(-n_units // 32), 70)
    assert masks.dtype == np.uint32
    found = unpack_bits(masks.astype(np.uint64)[..., None], 32)
    found = found.transpose(0, 2, 1).reshape(-1, 70)
    np.testing.assert_array_equal(found[:n_units], bits)
    assert not found[n_units:].any()
