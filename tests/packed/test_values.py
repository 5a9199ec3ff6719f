"""The values that flow, and matrices of bits."""

import copy
import pickle

import numpy as np
import pytest

from skbnn.bits import n_words, pack_bits
from skbnn.packed.checks import narrowest
from skbnn.packed.values import BitCode, BitMatrix, Raw, Reals, Scores


def random_matrix(n_planes=2, n_units=3, n_bits=70, seed=0):
    """A matrix with scales and offsets."""
    rng = np.random.default_rng(seed)
    return BitMatrix(
        pack_bits(rng.random((n_planes, n_units, n_bits)) < 0.5),
        n_bits,
        rng.integers(-9, 10, (n_planes, n_units)).astype(np.int32),
        rng.integers(-9, 10, n_units).astype(np.int32),
    )


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([], np.int16),
        ([-(2**15), 2**15 - 1], np.int16),
        ([2**15], np.int32),
        ([-(2**15) - 1], np.int32),
        ([-(2**31), 2**31 - 1], np.int32),
        ([2**31], np.int64),
        ([-(2**31) - 1], np.int64),
    ],
)
def test_narrowest_holds_all_values(values, dtype):
    values = np.array(values, np.int64)
    found = narrowest(values)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)


def test_values_of_different_meaning_differ():
    assert BitCode(5) == BitCode(5, (1,), 0)
    values = [BitCode(5), BitCode(5, (2,)), BitCode(5, (1,), 1), BitCode(6), BitCode(5, (1, 1))]
    values += [Raw(5), Reals(5), Reals(6), Scores(5), Scores(5, integer=False)]
    assert len(set(values)) == len(values)


def test_code_knows_its_range_and_size():
    code = BitCode(65, (1, -2, 4), -3)
    assert (code.width, code.largest, code.nbytes, code.is_sign) == (65, 10, 8 * 3 * 2, False)
    assert BitCode(65).is_sign
    assert not BitCode(65, (1,), 1).is_sign
    assert not BitCode(65, (-1,)).is_sign
    assert [v.nbytes for v in (Raw(3), Reals(3), Scores(3))] == [12, 12, 12]


@pytest.mark.parametrize(
    "fields", [(-1,), (2**30,), (5, ()), (5, (2**31,)), (5, (1,), -(2**31)), (5, (1, 10**30))]
)
def test_code_out_of_range_is_refused(fields):
    with pytest.raises(ValueError, match="code|bits"):
        BitCode(*fields)


def test_matrix_gives_defaults_and_range():
    plain = BitMatrix(pack_bits(np.ones((1, 4, 3), bool)), 3)
    assert (plain.n_planes, plain.n_units, plain.is_sign) == (1, 4, True)
    np.testing.assert_array_equal(plain.plane_scales, np.ones((1, 4)))
    np.testing.assert_array_equal(plain.unit_offsets, np.zeros(4))
    np.testing.assert_array_equal(plain.largest, np.ones(4))

    matrix = random_matrix()
    assert not matrix.is_sign
    np.testing.assert_array_equal(matrix.plane_scales, matrix.scales)
    expected = np.abs(matrix.scales).sum(0) + np.abs(matrix.offsets)
    np.testing.assert_array_equal(matrix.largest, expected)


def test_largest_is_right_at_the_ends_of_int32():
    least = np.full((1, 1), -(2**31), np.int32)
    matrix = BitMatrix(pack_bits(np.ones((1, 1, 3), bool)), 3, least, least[0])
    assert matrix.largest.tolist() == [2**32]


@pytest.mark.parametrize("n_bits", [1, 3, 63, 65, 100, 127, 130])
def test_every_padding_bit_must_be_zero(n_bits):
    for bit in range(n_bits, 64 * n_words(n_bits)):
        words = np.zeros((1, 2, n_words(n_bits)), np.uint64)
        words[0, 1, -1] = np.uint64(1) << np.uint64(bit % 64)
        with pytest.raises(ValueError, match="Padding"):
            BitMatrix(words, n_bits)


@pytest.mark.parametrize("n_bits", [0, 1, 64, 128, 130])
def test_all_valid_bits_may_be_set(n_bits):
    matrix = BitMatrix(pack_bits(np.ones((1, 2, n_bits), bool)), n_bits)
    assert int(np.bitwise_count(matrix.words).sum()) == 2 * n_bits


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((np.zeros((1, 2, 1), np.uint64), 65), "shape"),
        ((np.zeros((1, 2, 0), np.uint64), -5), "bits"),
        ((np.zeros((1, 2, 1), np.int64), 64), "dtype int64"),
        ((np.zeros((2, 1), np.uint64), 64), "shape"),
        (([[[0]]], 64), "NumPy array"),
        ((np.zeros((0, 2, 1), np.uint64), 64), "empty"),
        ((np.zeros((1, 0, 1), np.uint64), 64), "empty"),
        ((np.zeros((2, 2, 1), np.uint64), 64), "need their scales"),
        ((np.zeros((1, 2, 1), np.uint64), 64, np.ones((2, 1), np.int32)), "scales has shape"),
        ((np.zeros((1, 2, 1), np.uint64), 64, np.ones((1, 2))), "scales has dtype"),
        ((np.zeros((1, 2, 1), np.uint64), 64, None, np.ones(3, np.int32)), "offsets has shape"),
    ],
)
def test_ill_formed_matrix_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        BitMatrix(*fields)


def test_arrays_are_copied_unless_nobody_can_write_to_them():
    words = pack_bits(np.ones((1, 2, 3), bool))
    view = words[:]
    view.flags.writeable = False
    for given in (words, view, np.asfortranarray(np.zeros((1, 3, 2), np.uint64))):
        n_bits = 3 if given.shape[-1] == 1 else 128
        matrix = BitMatrix(given, n_bits)
        assert matrix.words.flags.c_contiguous
        assert not np.shares_memory(matrix.words, given)
        with pytest.raises(ValueError, match="read-only"):
            matrix.words[0, 0, 0] = 1
    again = BitMatrix(matrix.words, matrix.n_bits)
    assert again.words is matrix.words


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy]
    + [lambda m, p=p: pickle.loads(pickle.dumps(m, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)],
)
def test_copies_are_equal_and_read_only(duplicate):
    matrix = random_matrix()
    other = duplicate(matrix)
    for name in ("words", "scales", "offsets"):
        np.testing.assert_array_equal(getattr(other, name), getattr(matrix, name))
        assert not getattr(other, name).flags.writeable
    assert other.n_bits == matrix.n_bits
