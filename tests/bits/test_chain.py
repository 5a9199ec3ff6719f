"""The chain kernel, against its parts in floating point."""

import numpy as np
import pytest

from skbnn.bits import aligned, comparison_layout, interleave, pack_bits, threshold_layout


def signs(bits):
    return np.where(bits, 1.0, -1.0)


@pytest.mark.parametrize("n_rows", [0, 1, 3, 64, 300])
@pytest.mark.parametrize(
    ("dtype", "widths"),
    [
        (np.float32, (65, 10)),
        (np.uint8, (63, 64, 17)),
        (np.float64, (100, 70, 130, 3)),
        pytest.param(np.uint8, (784, 300, 70, 10), id="compact"),
        pytest.param(np.uint8, (70, 800, 257, 40), id="compact-many-classes"),
    ],
)
def test_run_chain(kernels, rng, random_bits, guarded, frozen, n_rows, dtype, widths):
    n_features, n_classes = widths[0], widths[-1]
    X = rng.integers(0, 9, (n_rows, n_features)).astype(dtype)
    thresholds = rng.integers(0, 9, n_features).astype(np.uint8 if dtype == np.uint8 else "f4")
    layout = threshold_layout(np.ones(n_features, np.uint8), thresholds)
    bits = X >= thresholds
    units, limits = [], []
    for n_in, n_units in zip(widths[:-2], widths[1:-1], strict=True):
        weights, limit = random_bits(n_units, n_in), rng.integers(-1, n_in + 1, n_units)
        blocks, padded = comparison_layout(pack_bits(weights), limit)
        units.append(blocks)
        limits.append(padded)
        bits = (n_in - signs(bits) @ signs(weights).T) / 2 <= limit
    weights = random_bits(n_classes, widths[-2])
    units.append(interleave(pack_bits(weights), 16))
    shapes = np.array([part.shape for part in units])
    words = np.concatenate([part.ravel() for part in units])
    factors, bases = (rng.integers(-99, 99, n_classes).astype(np.int32) for _ in range(2))
    out = guarded((n_rows, n_classes), np.int32)
    limits = np.concatenate([np.empty(0, np.int64), *limits])
    frozen(X, *layout, shapes, words, limits, factors, bases)
    status = kernels.run_chain(X, *layout, shapes, words, limits, factors, bases, out)
    assert status == 0
    counts = (widths[-2] - signs(bits) @ signs(weights).T) / 2
    np.testing.assert_array_equal(out, bases + factors * counts)


def test_values_that_are_not_finite_end_the_chain(kernels, random_bits, guarded):
    layout = threshold_layout(np.ones(5, np.uint8), np.zeros(5, np.float32))
    units = interleave(pack_bits(random_bits(2, 5)), 16)
    X = np.zeros((400, 5), np.float32)
    shapes = np.array([units.shape])
    none, ones = np.empty(0, np.int64), np.ones(2, np.int32)
    for value, status in [(0, 0), (np.nan, 1), (np.inf, 2)]:
        X[399, 4] = value
        out = guarded((400, 2), np.int32)
        found = kernels.run_chain(X, *layout, shapes, units.ravel(), none, ones, ones, out)
        assert found == status


def test_units_begin_at_a_cache_line(random_bits):
    for n_units in (1, 10, 100):
        assert interleave(pack_bits(random_bits(n_units, 70)), 32).ctypes.data % 64 == 0
    for shape in ((3,), (2, 5, 32)):
        words = aligned(shape, np.uint64)
        assert words.shape == shape and words.dtype == np.uint64
        assert words.ctypes.data % 64 == 0 and words.flags.c_contiguous


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (50, 2), (300, 11)])
def test_first_largest(kernels, rng, guarded, frozen, shape):
    # Few different scores: most rows have several of the largest.
    scores = rng.integers(-2, 3, shape).astype(np.int32)
    scores[:1] = np.iinfo(np.int32).min
    scores[1:2] = np.iinfo(np.int32).max
    out = guarded(shape[:1], np.intp)
    kernels.first_largest(frozen(scores), out)
    np.testing.assert_array_equal(out, scores.argmax(1))
