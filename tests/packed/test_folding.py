"""Folding, against the float64 chain on every reachable sum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbnn.packed.folding import fold, fold_levels

SHAPES = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "shifted relu": lambda x: np.maximum(x, 0) - 0.25,
    "prelu": lambda x: np.where(x < 0, 0.1 * x, x) - 0.05,
    "hard tanh": lambda x: np.clip(x, -1, 1),
    "steps": lambda x: np.floor(x),
    "falling": lambda x: 0.3 - x,
    "always on": lambda x: np.zeros_like(x),
    "always off": lambda x: np.full_like(x, -1.0),
}

slopes = st.one_of(
    st.floats(-3, 3), st.sampled_from([0.0, -0.0, 1e-300, -1e-300, 5e-324, 1e-8, 1e8, -1e8])
)
shifts = st.one_of(
    st.floats(-50, 50), st.integers(-20, 20).map(float), st.sampled_from([0.0, -0.0, 1e-300])
)
unit = st.tuples(slopes, shifts, st.floats(1e-6, 1e4), shifts, st.integers(0, 300))


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(units=st.lists(unit, min_size=1, max_size=8))
def test_folded_units_equal_the_chain_for_every_sum(shape, units):
    slope, mean, variance, shift, largest = (
        np.array(column) for column in zip(*units, strict=True)
    )

    def decide(z):
        normal = (z - mean) / np.sqrt(variance + 1e-5) * slope + shift
        return SHAPES[shape](normal) >= 0

    folded = fold(decide, largest)
    assert folded.thresholds.dtype == np.int64
    assert (folded.thresholds >= -largest).all()
    assert (folded.thresholds <= largest + 1).all()
    for z in range(-int(largest.max()), int(largest.max()) + 1):
        reachable = np.abs(z) <= largest
        seen = np.where(folded.negated, -z, z)
        expected = decide(np.full(len(units), float(z)))
        np.testing.assert_array_equal((seen >= folded.thresholds)[reachable], expected[reachable])


@settings(max_examples=50, deadline=None, derandomize=True)
@given(units=st.lists(unit, min_size=1, max_size=8), n_levels=st.integers(1, 6))
def test_folded_levels_equal_the_chain_for_every_sum(units, n_levels):
    slope, mean, variance, shift, largest = (
        np.array(column) for column in zip(*units, strict=True)
    )

    def decide(z):
        normal = (z - mean) / np.sqrt(variance + 1e-5) * slope + shift
        return np.clip(np.floor(normal), 0, n_levels - 1).astype(np.int64)

    thresholds, negated = fold_levels(decide, largest, n_levels)
    assert thresholds.shape == (n_levels - 1, len(units))
    assert (np.diff(thresholds, axis=0) >= 0).all()
    for z in range(-int(largest.max()), int(largest.max()) + 1):
        reachable = np.abs(z) <= largest
        level = (np.where(negated, -z, z) >= thresholds).sum(0)
        expected = decide(np.full(len(units), float(z)))
        np.testing.assert_array_equal(level[reachable], expected[reachable])


@pytest.mark.parametrize(("value", "threshold"), [(True, -9), (False, 10)])
def test_a_unit_that_never_changes_has_its_threshold_at_an_end(value, threshold):
    folded = fold(lambda z: np.full(z.shape, value), np.array([9]))
    assert (folded.thresholds.tolist(), folded.negated.tolist()) == ([threshold], [False])


def test_negative_slope_negates_and_keeps_the_sign_of_zero_positive():
    folded = fold(lambda z: -z >= 0, np.array([4]))
    assert folded.negated.tolist() == [True]
    assert folded.thresholds.tolist() == [0]


def test_the_chain_is_only_asked_about_sums_in_reach():
    largest = np.array([0, 3, 1000, 5])

    def decide(z):
        assert (np.abs(z) <= largest).all()
        assert not np.signbit(z[0])
        return z >= np.array([0, 2, -7, 99])

    assert fold(decide, largest).thresholds.tolist() == [0, 2, -7, 6]


def test_sums_far_beyond_int32():
    largest = np.full(4, 2**53)
    steps = np.array([2**40 + 1, -(2**45), 2**53, -(2**53) + 1])
    assert fold(lambda z: z >= steps, largest).thresholds.tolist() == steps.tolist()
