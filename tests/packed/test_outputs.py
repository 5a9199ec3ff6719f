"""Output transforms."""

import copy

import numpy as np
import pytest

from skbnn.packed.outputs import ClassScores, SignThreshold
from skbnn.packed.values import INT32_MAX, BitCode, Scores


def scores_of(multiplier, offset):
    """Class scores of one class."""
    return ClassScores(np.array([multiplier], np.int32), np.array([offset], np.int32))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
def test_thresholds_reach_one_beyond_the_sums(dtype):
    transform = SignThreshold(np.array([-7, 8, 0], dtype))
    transform.check(np.array([7, 7, 0]))
    assert (transform.n_units, transform.gives) == (3, BitCode(3))
    for thresholds in ([-8, 0, 0], [0, 9, 0], [0, 0, 2]):
        with pytest.raises(ValueError, match="reach"):
            SignThreshold(np.array(thresholds, dtype)).check(np.array([7, 7, 0]))


@pytest.mark.parametrize("thresholds", [[1], np.array([1.0]), np.array([[1]]), np.array([1], "u1")])
def test_ill_formed_thresholds_are_refused(thresholds):
    with pytest.raises(ValueError, match="thresholds"):
        SignThreshold(thresholds)


@pytest.mark.parametrize(
    ("multiplier", "offset", "largest"),
    [
        (1, 0, INT32_MAX),
        (-1, 0, INT32_MAX),
        (3, 1, (INT32_MAX - 1) // 3),
        (3, -2, (INT32_MAX - 2) // 3),
        (0, INT32_MAX, 2**53),
        (INT32_MAX, 0, 1),
    ],
)
def test_scores_that_fit_int32_are_accepted_and_no_larger_ones(multiplier, offset, largest):
    scores_of(multiplier, offset).check(np.array([largest]))
    if multiplier:
        with pytest.raises(ValueError, match="int32"):
            scores_of(multiplier, offset).check(np.array([largest + 1]))


@pytest.mark.parametrize(
    ("multiplier", "offset", "largest"),
    [
        (2**24, 0, 2**40),
        (-(2**31), 0, 2**33),
        (0, -(2**31), 0),
        (1, -(2**31), 0),
        (1, 5, INT32_MAX),
    ],
)
def test_the_proof_itself_does_not_overflow(multiplier, offset, largest):
    with pytest.raises(ValueError, match="int32"):
        scores_of(multiplier, offset).check(np.array([largest]))


def test_one_class_too_large_is_enough():
    transform = ClassScores(np.array([1, 2], np.int32), np.array([0, 0], np.int32))
    transform.check(np.array([INT32_MAX, INT32_MAX // 2]))
    with pytest.raises(ValueError, match="int32"):
        transform.check(np.array([1, INT32_MAX // 2 + 1]))


def test_ill_formed_scores_are_refused():
    with pytest.raises(ValueError, match="multipliers has dtype"):
        ClassScores(np.array([1]), np.array([1], np.int32))
    with pytest.raises(ValueError, match="offsets has shape"):
        ClassScores(np.array([1], np.int32), np.array([1, 2], np.int32))


def test_scores_know_their_classes():
    transform = ClassScores(np.array([1, 2], np.int32), np.array([3, 4], np.int32))
    assert (transform.n_units, transform.gives) == (2, Scores(2))


def test_copies_are_read_only():
    for transform in (SignThreshold(np.array([3])), scores_of(1, 2)):
        for array in vars(copy.deepcopy(transform)).values():
            assert not array.flags.writeable
