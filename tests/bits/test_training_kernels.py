"""Kernels of training, against their definitions in NumPy."""

import numpy as np
import pytest

from skbnn.bits import magnitude_steps

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


@pytest.mark.parametrize("shape", SHAPES)
def test_scale_sums(kernels, rng, guarded, frozen, shape):
    given = rng.integers(-(2**31), 2**31, shape, dtype=np.int32)
    sums = guarded(shape, np.int32)
    sums[...] = given
    scales = rng.normal(size=shape[0]).astype(np.float32)
    kernels.scale_sums(sums, frozen(scales))
    np.testing.assert_array_equal(sums.view(np.float32), given.astype(np.float32) * scales[:, None])


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


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_pools_of_no_finite_sum(kernels, guarded, frozen, value):
    sums = frozen(np.full((1, 2, 4, 3), value, np.float32))
    out, winners = guarded((1, 1, 2, 3), np.float32), guarded((1, 1, 2, 3), np.uint16)
    kernels.pool_sums(sums, 2, 2, out, winners)
    np.testing.assert_array_equal(out, np.full(out.shape, value))
    assert not winners.any()


@pytest.mark.parametrize("n_rows", [1, 2, 63, 64, 200])
def test_moments_do_not_suffer_from_a_large_mean(kernels, rng, guarded, frozen, n_rows):
    x = rng.normal(size=(n_rows, 37)).astype(np.float32) + np.float32(10_000)
    x[:, 3] = 7
    means, variances = guarded((37,), np.float64), guarded((37,), np.float64)
    kernels.column_moments(*frozen(x, np.ones(n_rows, np.float32)), means, variances)
    np.testing.assert_allclose(means, x.mean(0, dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(variances, x.var(0, dtype=np.float64), rtol=1e-5, atol=1e-12)
    assert variances[3] == 0
    weights = (np.arange(n_rows) % 4 + 1).astype(np.float32)
    kernels.column_moments(*frozen(x, weights / 8), means, variances)
    repeated = np.repeat(x, weights.astype(int), 0)
    np.testing.assert_allclose(means, repeated.mean(0, dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(variances, repeated.var(0, dtype=np.float64), rtol=1e-5, atol=1e-12)


def test_signs_of_an_affine_map(kernels, rng, guarded, frozen):
    # Whole and half numbers, so that float32 is exact whatever is fused: many are 0, which is +1.
    x = rng.integers(-3, 4, (70, 33)).astype(np.float32)
    means, shifts = (rng.integers(-2, 3, 33).astype(np.float32) for _ in range(2))
    slopes = rng.choice([-1.5, -0.5, 0, 1, 2], 33).astype(np.float32)
    out = guarded(x.shape, np.float32)
    kernels.normalize_signs(*frozen(x, means, slopes, shifts), out)
    y = (x - means) * slopes + shifts
    np.testing.assert_array_equal(out, np.where(y >= 0, 1, -1))
    assert (y == 0).any()


def test_gradient_of_a_clipped_sign(kernels, rng, guarded, frozen):
    x = rng.integers(-3, 4, (70, 33)).astype(np.float32)
    grad = rng.integers(-9, 10, x.shape).astype(np.float32)
    means, shifts = (rng.integers(-2, 3, 33).astype(np.float32) for _ in range(2))
    slopes = rng.choice([-1.5, -0.5, 1, 2], 33).astype(np.float32)
    constants, parts = (rng.integers(-4, 5, 33).astype(np.float32) for _ in range(2))
    sums, products = guarded((33,), np.float64), guarded((33,), np.float64)
    out, bound = guarded(x.shape, np.float32), np.float32(2)
    weights = rng.integers(1, 5, 70).astype(np.float32) / 2
    batch, norm = frozen(x, grad), (*frozen(means, slopes, shifts), bound)
    kernels.clipped_moments(*batch, *norm, sums, products)
    kernels.clipped_gradient(*batch, frozen(weights), *norm, *frozen(constants, parts), out)
    y = (x - means) * slopes + shifts
    passed = np.where(np.abs(y) <= 2, grad, 0)
    assert (np.abs(y) == 2).any()
    np.testing.assert_array_equal(sums, passed.sum(0))
    np.testing.assert_array_equal(products, (passed * (x - means)).sum(0))
    of_batch = weights[:, None] * (constants + parts * (x - means))
    np.testing.assert_array_equal(out, slopes * passed - of_batch)


def test_gradient_by_a_table(kernels, rng, guarded, frozen):
    steps = magnitude_steps()
    x = rng.normal(size=(70, 33)).astype(np.float32)
    # Around every power of two that begins or ends the table, and where it has no step.
    x[0, :12] = [2**-9, 2**-8, -(2**-8), 0, 1, -1, 512, -1024, 1e30, -np.inf, 1e-40, 1023]
    grad = rng.normal(size=x.shape).astype(np.float32)
    means, shifts = np.zeros(33, np.float32), np.zeros(33, np.float32)
    slopes = rng.choice([-1, 1], 33).astype(np.float32)
    out = guarded(x.shape, np.float32)
    norm = frozen(means, slopes, shifts)
    kernels.tabulated_gradient(*frozen(x, grad), *norm, frozen(steps), out)
    sizes = np.abs(x).clip(steps[0], steps[-1])
    np.testing.assert_allclose(out / grad, sizes, rtol=2**-9 + 1e-6)
    assert out[0, 4] / grad[0, 4] == pytest.approx(1 + 2**-9)
    # No more than a step between what is next to each other.
    assert (np.diff(steps) / steps[:-1]).max() < 2**-7.9
    norm = frozen(means + 1, slopes * 2, shifts + 3)
    kernels.tabulated_gradient(*frozen(x, grad), *norm, frozen(steps), out)
    found = np.abs((x - 1) * (slopes * 2) + 3).clip(steps[0], steps[-1])
    np.testing.assert_allclose(out / grad, found, rtol=2**-9 + 1e-6)


@pytest.mark.parametrize("window", [(1, 1), (3, 3), (5, 3), (7, 1)])
@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 1, 1, 1), (3, 2, 4, 64)])
def test_windows_of_images(kernels, rng, guarded, frozen, shape, window):
    images = rng.integers(-1, 2, shape).astype(np.int8)
    n, n_lines, n_columns, n_channels = shape
    out = guarded((n, n_lines, n_columns, window[0], window[1] * n_channels), np.int8)
    kernels.unfold_images(frozen(images), *window, -3, out)
    spans = out.reshape(n, n_lines, n_columns, *window, n_channels)
    for y, x, i, j in np.ndindex(n_lines, n_columns, *window):
        line, column = y + i - window[0] // 2, x + j - window[1] // 2
        is_inside = 0 <= line < n_lines and 0 <= column < n_columns
        expected = images[:, line, column] if is_inside else -3
        np.testing.assert_array_equal(
            spans[:, y, x, i, j], np.broadcast_to(expected, (n, n_channels))
        )
