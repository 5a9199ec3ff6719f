"""Output transforms."""

import copy

import numpy as np
import pytest

from skbnn.bits import pack_bits, unpack_bits
from skbnn.packed.outputs import ClassScores, LevelCodes, ShiftedScores, SignThreshold
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


@pytest.mark.parametrize("n_units", [1, 63, 64, 130])
@pytest.mark.parametrize("codes", [(0, 1), (3, 0), (0, 2, 1, 3), (5, 4, 6, 1, 2), (7,)])
def test_level_codes_are_the_codes_of_the_levels(kernels, n_units, codes):
    rng = np.random.default_rng(0)
    steps = np.sort(rng.integers(-9, 10, (len(codes) - 1, n_units)), 0)
    falls = rng.random(n_units) < 0.5
    thresholds = np.where(falls, 1 - steps, steps).astype(np.int16)
    output = LevelCodes(thresholds, pack_bits(falls), codes, (1, 2, 4), 7)
    output.check(np.full(n_units, 9))
    sums = rng.integers(-9, 10, (50, n_units)).astype(np.int32)
    found = unpack_bits(output.prepare(kernels, np.int32)(sums), n_units)
    level = (np.where(falls, -sums, sums) >= steps[:, None]).sum(0)
    expected = np.array(codes)[level][:, None] >> np.arange(3)[:, None] & 1
    np.testing.assert_array_equal(found, expected)
    assert output.gives == BitCode(n_units, (1, 2, 4), 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": (0, 1)}, "Each level needs its code"),
        ({"codes": (0, 1, 4)}, "no plane"),
        ({"codes": (0, 1, -1)}, "no plane"),
        ({"scales": (1,) * 9}, "one to eight planes"),
        ({"flips": np.array([8], np.uint64)}, "Padding bits of flips"),
        ({"thresholds": np.zeros((2, 3))}, "thresholds has dtype"),
        ({"offset": 2**31}, "beyond int32"),
    ],
)
def test_ill_formed_levels_are_refused(change, message):
    fields = {
        "thresholds": np.zeros((2, 3), np.int16),
        "flips": np.zeros(1, np.uint64),
        "codes": (0, 1, 3),
        "scales": (1, 2),
        "offset": 0,
    }
    LevelCodes(**fields)
    with pytest.raises(ValueError, match=message):
        LevelCodes(**{**fields, **change})


def test_thresholds_of_levels_reach_one_beyond_the_sums():
    thresholds = np.array([[-4, 0], [5, 0]], np.int16)
    output = LevelCodes(thresholds, np.zeros(1, np.uint64), (0, 1, 3), (1, 1), 0)
    output.check(np.array([4, 0]))
    with pytest.raises(ValueError, match="can reach"):
        output.check(np.array([3, 0]))


def test_shifted_scores_round_down_and_fit():
    scores = ShiftedScores(np.array([5, -3], np.int32), np.array([1, -2]), 3)
    sums = np.arange(-40, 41)[:, None].repeat(2, 1).astype(np.int32)
    found = scores.prepare(None, np.int32)(sums)
    np.testing.assert_array_equal(found, np.floor((sums * [5, -3] + [1, -2]) / 8))
    assert found.dtype == np.int32
    large = ShiftedScores(np.array([2**20], np.int32), np.array([0]), 10)
    large.check(np.array([(INT32_MAX << 10) >> 20]))
    for most in (2**40, 2**60):
        with pytest.raises(ValueError, match="int32"):
            large.check(np.array([most]))
    # Beyond 2^53 the frozen network would compute other sums.
    with pytest.raises(ValueError, match="int32"):
        ShiftedScores(np.array([2**20], np.int32), np.array([0]), 40).check(np.array([2**34]))
    with pytest.raises(ValueError, match="shifted right by 53"):
        ShiftedScores(np.array([1], np.int32), np.array([0]), 53)
