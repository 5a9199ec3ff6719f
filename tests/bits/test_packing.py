"""The contract of packed bits, and the layouts derived from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from skbnn.bits import (
    complement,
    interleave,
    lanes_for,
    n_words,
    pack_bits,
    sign_bits,
    tail_mask,
    unpack_bits,
)

WIDTHS = [0, 1, 63, 64, 65, 130, 784]
seeded = settings(derandomize=True, deadline=None, database=None)
some_bits = arrays(np.bool_, array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=140))


@pytest.mark.parametrize(("n_bits", "expected"), [(0, 0), (1, 1), (64, 1), (65, 2), (784, 13)])
def test_n_words(n_bits, expected):
    assert n_words(n_bits) == expected


def test_sign_of_zero_is_plus_one():
    np.testing.assert_array_equal(sign_bits([-1.5, -0.0, 0.0, 2.0]), [False, True, True, True])
    np.testing.assert_array_equal(sign_bits(np.array([-1, 0, 1])), [False, True, True])


@pytest.mark.parametrize("bit", [0, 1, 63, 64, 100])
def test_place_of_a_bit(bit):
    bits = np.zeros(130, np.bool_)
    bits[bit] = True
    words = pack_bits(bits)
    assert words.dtype == np.uint64
    assert [int(word) for word in words] == [
        1 << (bit % 64) if i == bit // 64 else 0 for i in range(3)
    ]


@seeded
@given(some_bits)
def test_packing_round_trip(bits):
    words = pack_bits(bits)
    assert words.shape == (*bits.shape[:-1], n_words(bits.shape[-1]))
    assert words.dtype == np.uint64
    assert words.flags.c_contiguous
    np.testing.assert_array_equal(unpack_bits(words, bits.shape[-1]), bits)


@seeded
@given(some_bits)
def test_padding_is_zero(bits):
    words, n_bits = pack_bits(bits), bits.shape[-1]
    assert not unpack_bits(words, 64 * words.shape[-1])[..., n_bits:].any()
    assert not (complement(words, n_bits) & ~tail_mask(n_bits)).any()


@seeded
@given(some_bits)
def test_complement_negates(bits):
    words, n_bits = pack_bits(bits), bits.shape[-1]
    np.testing.assert_array_equal(complement(words, n_bits), pack_bits(~bits))


@seeded
@given(st.integers(0, 200).flatmap(lambda n: arrays(np.bool_, (2, n))))
def test_dot_counts_mismatches(bits):
    a, w = np.where(bits, 1, -1)
    words = pack_bits(bits)
    mismatches = int(np.bitwise_count(words[0] ^ words[1]).sum())
    assert a @ w == bits.shape[1] - 2 * mismatches


@seeded
@given(arrays(np.float64, 70, elements=st.floats(-2, 2)))
def test_signs_survive_packing(x):
    signs = np.where(unpack_bits(pack_bits(sign_bits(x)), 70), 1, -1)
    np.testing.assert_array_equal(signs, np.where(x < 0, -1, 1))


@pytest.mark.parametrize("n_bits", WIDTHS)
def test_tail_mask(n_bits):
    mask = tail_mask(n_bits)
    assert mask.shape == (n_words(n_bits),)
    assert sum(int(word) << (64 * i) for i, word in enumerate(mask)) == (1 << n_bits) - 1


def test_unpack_reads_strided_and_read_only_words(random_bits):
    bits = random_bits(6, 2, 130)
    words = pack_bits(bits)
    words.setflags(write=False)
    np.testing.assert_array_equal(unpack_bits(words[::2, 1], 130), bits[::2, 1])


@pytest.mark.parametrize(("n_units", "lanes"), [(1, 16), (16, 16), (17, 32), (1000, 32)])
def test_lanes_for(n_units, lanes):
    assert lanes_for(n_units) == lanes


@pytest.mark.parametrize("lanes", [16, 32])
@pytest.mark.parametrize("n_units", [0, 1, 16, 17, 32, 33, 100])
def test_interleave(rng, n_units, lanes):
    words = rng.integers(1, 1 << 63, (n_units, 3)).astype(np.uint64)
    units = interleave(words, lanes)
    assert units.shape == (-(-n_units // lanes), 3, lanes)
    assert units.flags.c_contiguous
    for j, w, lane in np.ndindex(units.shape):
        unit = j * lanes + lane
        assert units[j, w, lane] == (words[unit, w] if unit < n_units else 0)
