"""Kernels of activations in training, against their definitions in NumPy."""

import numpy as np
import pytest

SHAPES = [(0, 3), (1, 1), (3, 17), (65, 100), (200, 1), (5, 0)]


def whole(rng, low, high, *shape):
    """Return whole numbers as float32: sums are exact, and many are equal to others."""
    return rng.integers(low, high, shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_bend(kernels, rng, guarded, frozen, shape):
    x, grad = whole(rng, -4, 5, *shape), whole(rng, -9, 10, *shape)
    centers, shifts = (whole(rng, -2, 3, shape[1]) for _ in range(2))
    rises, falls = (whole(rng, 0, 5, shape[1]) / 4 for _ in range(2))
    moved = x - centers
    assert (moved == 0).any() or x.size < 50
    out = guarded(shape, np.float32)
    kernels.bend(*frozen(x, centers, rises, falls, shifts), out)
    np.testing.assert_array_equal(out, np.where(moved > 0, rises, falls) * moved + shifts)
    sums = guarded((4, shape[1]), np.float64)
    kernels.bend_moments(*frozen(x, grad, centers, rises, falls), out, sums)
    np.testing.assert_array_equal(out, np.where(moved > 0, rises, falls) * grad)
    above, below = grad * (moved > 0), grad * (moved <= 0)
    expected = [part.sum(0) for part in (above, below, above * moved, below * moved)]
    np.testing.assert_array_equal(sums, expected)


@pytest.mark.parametrize("n_steps", [0, 1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_levels(kernels, rng, guarded, frozen, shape, n_steps):
    x = whole(rng, -4, 5, *shape)
    thresholds = np.sort(whole(rng, -3, 4, n_steps, shape[1]), 0)
    values = rng.normal(size=n_steps + 1).astype(np.float32)
    out = guarded(shape, np.float32)
    kernels.quantize_levels(*frozen(x, thresholds, values), out)
    levels = (x >= thresholds[:, None]).sum(0)
    np.testing.assert_array_equal(out, values[levels])


@pytest.mark.parametrize("n_steps", [1, 3])
def test_numbers_that_are_none_are_on_the_lowest_level(kernels, guarded, frozen, n_steps):
    x = np.array([[np.nan, np.inf, -np.inf]], np.float32)
    values = np.arange(n_steps + 1, dtype=np.float32)
    out = guarded(x.shape, np.float32)
    kernels.quantize_levels(*frozen(x, np.zeros((n_steps, 3), np.float32), values), out)
    assert out.tolist() == [[0, n_steps, 0]]


@pytest.mark.parametrize("n_steps", [0, 1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_moments_of_levels(kernels, rng, guarded, frozen, shape, n_steps):
    x = whole(rng, -4, 5, *shape)
    thresholds = np.sort(whole(rng, -3, 4, n_steps))
    counts, sums = (guarded((n_steps + 1,), np.float64) for _ in range(2))
    kernels.level_moments(*frozen(x, thresholds), counts, sums)
    levels = (x[..., None] >= thresholds).sum(-1)
    assert counts.tolist() == [(levels == level).sum() for level in range(n_steps + 1)]
    assert sums.tolist() == [x[levels == level].sum() for level in range(n_steps + 1)]
