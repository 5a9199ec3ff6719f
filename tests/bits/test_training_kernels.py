"""Rounding to 8-bit levels, against the definition in NumPy."""

import numpy as np
import pytest

SHAPES = [(0, 3), (1, 1), (3, 17), (65, 100), (7, 1), (5, 0)]


def rounded(x):
    """Return levels and scales of rows."""
    scales = np.maximum(np.abs(x).max(1, initial=0) / np.float32(127), np.float32(1.1754944e-38))
    return np.rint(x / scales[:, None]), scales


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("shape", SHAPES)
def test_round(kernels, rng, guarded, frozen, shape, size):
    x = rng.normal(size=shape).astype(np.float32) * np.float32(size)
    x *= np.logspace(-2, 0, shape[1], dtype=np.float32)
    x[:1] = 0
    for kernel, rows in ((kernels.round_rows, x), (kernels.round_columns, x.T)):
        levels = guarded(shape, np.int8)
        scales = guarded((len(rows),), np.float32)
        kernel(frozen(x), levels, scales)
        expected, steps = rounded(rows)
        found = levels if rows is x else levels.T
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(scales, steps)
        assert np.abs(levels.astype(int)).max(initial=0) <= 127


def test_ties_go_to_even(kernels, guarded, frozen):
    x = np.array([[127.0, 0.5, 1.5, -0.5, -1.5, 2.5]], np.float32)
    for kernel, values in ((kernels.round_rows, x), (kernels.round_columns, x.T.copy())):
        levels, scales = guarded(values.shape, np.int8), guarded((1,), np.float32)
        kernel(frozen(values), levels, scales)
        assert levels.ravel().tolist() == [127, 0, 2, 0, -2, 2]


@pytest.mark.parametrize("pool", [(1, 1), (2, 2), (3, 2), (5, 7)])
@pytest.mark.parametrize("n_units", [1, 33, 64])
def test_pool_and_spread(kernels, rng, guarded, frozen, pool, n_units):
    # Few different sums: most windows have several of the largest.
    sums = rng.integers(-2, 3, (3, 5, 7, n_units)).astype(np.float32)
    pooled = (3, 5 // pool[0], 7 // pool[1], n_units)
    out, winners = guarded(pooled, np.float32), guarded(pooled, np.uint16)
    kernels.pool_sums(frozen(sums), *pool, out, winners)
    levels = rng.integers(-127, 128, pooled).astype(np.int8)
    places = guarded(sums.shape, np.int8)
    kernels.spread_levels(frozen(levels), winners, *pool, places)
    expected = np.zeros(sums.shape, np.int8)
    for n, line, column, unit in np.ndindex(pooled):
        top, left = line * pool[0], column * pool[1]
        window = sums[n, top : top + pool[0], left : left + pool[1], unit].ravel()
        dy, dx = divmod(int(window.argmax()), pool[1])
        assert out[n, line, column, unit] == window.max()
        assert winners[n, line, column, unit] == dy * pool[1] + dx
        expected[n, top + dy, left + dx, unit] = levels[n, line, column, unit]
    np.testing.assert_array_equal(places, expected)
