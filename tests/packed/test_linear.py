"""Products, against the plain matrix product of the decoded values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbnn.bits import backend, pack_bits, unpack_bits
from skbnn.packed.linear import BinaryLinear, MixedLinear, RealLinear, negate
from skbnn.packed.outputs import ClassScores, LevelCodes, SignThreshold
from skbnn.packed.values import INT32_MAX, BitCode, BitMatrix, Reals, Scores


def decode_matrix(matrix):
    """Weights of a bit matrix, int64 of shape (n_units, n_bits)."""
    signs = np.where(unpack_bits(matrix.words, matrix.n_bits), 1, -1)
    weights = np.einsum("kj,kji->ji", matrix.plane_scales, signs)
    return weights + matrix.unit_offsets[:, None]


def decode_rows(words, code):
    """Values of packed rows, int64 of shape (n_rows, n_bits)."""
    signs = np.where(unpack_bits(words, code.n_bits), 1, -1)
    return code.offset + np.einsum("k,nki->ni", np.array(code.scales, np.int64), signs)


def random_rows(rng, n_rows, code):
    """Packed rows of a code."""
    return pack_bits(rng.random((n_rows, len(code.scales), code.n_bits)) < 0.5)


def random_code(rng, n_bits, n_planes, reach=9):
    """A code with random worths, zero and negative ones among them."""
    scales = tuple(rng.integers(-reach, reach + 1, n_planes).tolist())
    return BitCode(n_bits, scales, int(rng.integers(-reach, reach + 1)))


def random_matrix(rng, n_bits, n_planes, n_units, reach=9, has_offsets=True):
    """A matrix with random worths."""
    return BitMatrix(
        pack_bits(rng.random((n_planes, n_units, n_bits)) < 0.5),
        n_bits,
        rng.integers(-reach, reach + 1, (n_planes, n_units)).astype(np.int32),
        rng.integers(-reach, reach + 1, n_units).astype(np.int32) if has_offsets else None,
    )


def plain_matrix(rng, n_bits, n_units):
    """A matrix of plain signs."""
    return BitMatrix(pack_bits(rng.random((1, n_units, n_bits)) < 0.5), n_bits)


def reachable_thresholds(rng, sums, largest):
    """A threshold for each unit: a sum that occurs, the one above it, or an end of the range."""
    picks = [-largest, largest + 1]
    if len(sums):
        rows = rng.integers(len(sums), size=len(largest))
        met = sums[rows, np.arange(len(largest))]
        picks += [met, met, met + 1, met + 1]
    return np.choose(rng.integers(len(picks), size=len(largest)), picks)


def check(weights, code, words, rng, kernels):
    """Compare both outputs of a product with the plain matrix product."""
    sums = decode_rows(words, code) @ decode_matrix(weights).T
    largest = code.n_bits * code.largest * weights.largest
    assert (np.abs(sums) <= largest).all()

    thresholds = reachable_thresholds(rng, sums, largest)
    layer = BinaryLinear(weights, code, SignThreshold(thresholds))
    np.testing.assert_array_equal(layer.largest, largest)
    assert layer.gives == BitCode(weights.n_units)
    found = layer.prepare(kernels)(words)
    assert found.shape[1] == 1
    np.testing.assert_array_equal(found[:, 0], pack_bits(sums >= thresholds))

    offsets = rng.integers(-1000, 1000, weights.n_units)
    room = (INT32_MAX - np.abs(offsets)) // np.maximum(largest, 1)
    multipliers = rng.integers(-np.minimum(room, 99), np.minimum(room, 99) + 1)
    output = ClassScores(multipliers.astype(np.int32), offsets.astype(np.int32))
    layer = BinaryLinear(weights, code, output)
    found = layer.prepare(kernels)(words)
    assert (found.dtype, layer.gives) == (np.int32, Scores(weights.n_units))
    np.testing.assert_array_equal(found, sums * multipliers + offsets)


shapes = st.fixed_dictionaries(
    {
        "n_bits": st.integers(1, 200) | st.sampled_from([1, 63, 64, 65, 128, 129]),
        "row_planes": st.integers(1, 3),
        "unit_planes": st.integers(1, 3),
        "n_units": st.integers(1, 40),
        "n_rows": st.integers(0, 70),
        "has_offsets": st.booleans(),
        "reach": st.sampled_from([1, 9, 300]),
        "seed": st.integers(0, 2**32 - 1),
    }
)


@pytest.mark.parametrize("backend_name", ["numpy", "numba"])
@settings(max_examples=120, deadline=None, derandomize=True)
@given(shape=shapes)
def test_coded_product_equals_the_product_of_the_decoded_values(backend_name, shape):
    rng = np.random.default_rng(shape["seed"])
    reach, n_bits = shape["reach"], shape["n_bits"]
    code = random_code(rng, n_bits, shape["row_planes"], reach)
    weights = random_matrix(
        rng, n_bits, shape["unit_planes"], shape["n_units"], reach, shape["has_offsets"]
    )
    check(weights, code, random_rows(rng, shape["n_rows"], code), rng, backend(backend_name))


@pytest.mark.parametrize("n_units", [1, 16, 17, 63, 64, 65, 130])
@pytest.mark.parametrize("n_bits", [1, 63, 64, 65, 130, 784])
def test_plain_signs_take_the_fused_path_and_agree_with_the_general_one(kernels, n_bits, n_units):
    rng = np.random.default_rng(n_bits * n_units)
    plain, code = plain_matrix(rng, n_bits, n_units), BitCode(n_bits)
    general = BitMatrix(plain.words, n_bits, np.ones((1, n_units), np.int32))
    assert plain.is_sign and not general.is_sign
    for n_rows in (0, 1, 3, 65):
        words = random_rows(rng, n_rows, code)
        check(plain, code, words, np.random.default_rng(n_rows), kernels)
        check(general, code, words, np.random.default_rng(n_rows), kernels)


@pytest.mark.parametrize("parity", [0, 1])
def test_fused_thresholds_are_exact_for_every_sum_and_threshold(kernels, parity):
    n_bits = 8 + parity
    rows = pack_bits(np.arange(n_bits) < np.arange(n_bits + 1)[:, None])[:, None]
    sums = 2 * np.arange(n_bits + 1) - n_bits
    thresholds = np.arange(-n_bits, n_bits + 2)
    ones = pack_bits(np.ones((1, len(thresholds), n_bits), bool))
    layer = BinaryLinear(BitMatrix(ones, n_bits), BitCode(n_bits), SignThreshold(thresholds))
    found = unpack_bits(layer.prepare(kernels)(rows)[:, 0], len(thresholds))
    np.testing.assert_array_equal(found, sums[:, None] >= thresholds)


@pytest.mark.parametrize("has_offsets", [False, True])
def test_sums_beyond_int32(kernels, has_offsets):
    rng = np.random.default_rng(3)
    code = BitCode(130, (2**20, -(2**19), 3), -(2**18) if has_offsets else 0)
    weights = random_matrix(rng, 130, 2, 70, 2**20, has_offsets)
    words = random_rows(rng, 20, code)
    sums = decode_rows(words, code) @ decode_matrix(weights).T
    assert np.abs(sums).max() > 2**40
    check(weights, code, words, rng, kernels)


def test_threshold_one_beyond_the_largest_int32(kernels):
    rows = pack_bits(np.ones((1, 1, 1), bool))
    weights = BitMatrix(pack_bits(np.ones((1, 2, 1), bool)), 1)
    output = SignThreshold(np.array([2**31, INT32_MAX]))
    layer = BinaryLinear(weights, BitCode(1, (INT32_MAX,)), output)
    assert unpack_bits(layer.prepare(kernels)(rows)[:, 0], 2).tolist() == [[False, True]]


def test_sums_that_float64_cannot_hold_are_refused():
    words = pack_bits(np.ones((1, 1, 1), bool))
    largest = np.full((1, 1), INT32_MAX, np.int32)
    output = SignThreshold(np.array([0]))
    matrix = BitMatrix(words, 1, largest)
    BinaryLinear(matrix, BitCode(1, (2**22,)), output)
    with pytest.raises(ValueError, match="float64"):
        BinaryLinear(matrix, BitCode(1, (2**22,), 2**8), output)
    with pytest.raises(ValueError, match="float64"):
        BinaryLinear(matrix, BitCode(1, (INT32_MAX,) * 9), output)


def test_rows_without_bits_have_sum_zero(kernels):
    rows = np.empty((3, 1, 0), np.uint64)
    weights = BitMatrix(np.empty((1, 2, 0), np.uint64), 0)
    layer = BinaryLinear(weights, BitCode(0), SignThreshold(np.array([0, 1])))
    assert unpack_bits(layer.prepare(kernels)(rows)[:, 0], 2).tolist() == [[True, False]] * 3
    scores = ClassScores(np.array([5, 6], np.int32), np.array([7, -8], np.int32))
    layer = BinaryLinear(weights, BitCode(0), scores)
    assert layer.prepare(kernels)(rows).tolist() == [[7, -8]] * 3


def test_ill_fitting_parts_are_refused():
    matrix = plain_matrix(np.random.default_rng(0), 10, 3)
    thresholds = SignThreshold(np.zeros(3, np.int16))
    with pytest.raises(ValueError, match="differ in width"):
        BinaryLinear(matrix, BitCode(11), thresholds)
    with pytest.raises(ValueError, match="differ in units"):
        BinaryLinear(matrix, BitCode(10), SignThreshold(np.zeros(4, np.int16)))
    with pytest.raises(ValueError, match="reach"):
        BinaryLinear(matrix, BitCode(10), SignThreshold(np.array([0, 12, 0], np.int16)))


@pytest.mark.parametrize("has_offsets", [False, True])
def test_negate_changes_the_sign_of_chosen_units(has_offsets):
    rng = np.random.default_rng(5)
    matrix = random_matrix(rng, 70, 3, 6, has_offsets=has_offsets)
    where = np.array([True, False, True, False, False, True])
    weights = decode_matrix(matrix)
    found = decode_matrix(negate(matrix, where))
    np.testing.assert_array_equal(found, np.where(where[:, None], -weights, weights))


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("is_last", [False, True])
def test_products_of_reals_equal_their_formula(kernels, rectify, is_last):
    rng = np.random.default_rng(6)
    rows = rng.normal(size=(20, 70))
    scales, biases = rng.standard_normal((2, 5), np.float32)
    reals = rng.standard_normal((5, 70), np.float32)
    bits = plain_matrix(rng, 70, 5)
    expected = {
        RealLinear(reals, biases, rectify, is_last): rows @ reals.astype(float).T + biases,
        MixedLinear(bits, scales, biases, rectify, is_last): (
            rows @ decode_matrix(bits).T.astype(float) * scales + biases
        ),
    }
    for layer, values in expected.items():
        assert layer.takes == Reals(70)
        assert layer.gives == (Scores(5, integer=False) if is_last else Reals(5))
        before = rows.copy()
        found = layer.prepare(kernels)(rows)
        assert found.dtype == np.float64
        values = np.maximum(values, 0) if rectify else values
        np.testing.assert_allclose(found, values, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(rows, before)


def test_ill_formed_products_of_reals_are_refused():
    weights, biases = np.ones((2, 3), np.float32), np.ones(2, np.float32)
    with pytest.raises(ValueError, match="biases has shape"):
        RealLinear(weights, biases[:1], False, True)
    with pytest.raises(ValueError, match="weights holds values that are not finite"):
        RealLinear(weights * np.float32(np.inf), biases, False, True)
    with pytest.raises(ValueError, match="weights has dtype"):
        RealLinear(weights.astype(float), biases, False, True)
    with pytest.raises(ValueError, match="one unit"):
        RealLinear(weights[:0], biases[:0], False, True)
    coded = random_matrix(np.random.default_rng(0), 3, 1, 2)
    with pytest.raises(ValueError, match="plain"):
        MixedLinear(coded, biases, biases, False, True)
    with pytest.raises(ValueError, match="scales has shape"):
        MixedLinear(plain_matrix(np.random.default_rng(0), 3, 2), biases[:1], biases, False, True)


@pytest.mark.parametrize("n_bits", [1, 63, 64, 130])
@pytest.mark.parametrize("n_units", [1, 5, 64, 70])
@pytest.mark.parametrize("codes", [(0, 1), (1, 0)])
@pytest.mark.parametrize("code", [BitCode(1), BitCode(1, (1,), 1), BitCode(1, (3,), -2)])
def test_one_comparison(kernels, n_bits, n_units, codes, code):
    """One plane on each side, whatever its elements are worth, is one comparison of mismatches."""
    rng = np.random.default_rng([n_bits, n_units])
    code = BitCode(n_bits, code.scales, code.offset)
    words = pack_bits(rng.random((1, n_units, n_bits)) < 0.5)
    matrix = BitMatrix(words, n_bits, rng.integers(1, 9, (1, n_units)).astype(np.int32))
    rows = random_rows(rng, 33, code)
    sums = decode_rows(rows, code) @ decode_matrix(matrix).T
    largest = n_bits * code.largest * matrix.largest
    thresholds = reachable_thresholds(rng, sums, largest)
    falls = rng.random(n_units) < 0.5
    output = LevelCodes(thresholds[None].astype(np.int32), pack_bits(falls), codes, (5,), 0)
    layer = BinaryLinear(matrix, code, output)
    assert layer.is_one_comparison
    level = ((sums >= thresholds) != falls).astype(int)
    found = unpack_bits(layer.prepare(kernels)(rows)[:, 0], n_units)
    np.testing.assert_array_equal(found, np.array(codes, bool)[level])


@pytest.mark.parametrize(
    ("changes", "output"),
    [
        ({"scales": np.full((1, 2), -1, np.int32)}, None),
        ({"offsets": np.ones(2, np.int32), "scales": np.ones((1, 2), np.int32)}, None),
        ({}, (1, 1)),
    ],
)
def test_what_is_no_single_comparison(changes, output):
    matrix = BitMatrix(np.zeros((1, 2, 1), np.uint64), 5, **changes)
    codes = LevelCodes(
        np.zeros((1, 2), np.int16), np.zeros(1, np.uint64), output or (0, 1), (1,), 0
    )
    assert not BinaryLinear(matrix, BitCode(5), codes).is_one_comparison
    assert not BinaryLinear(matrix, BitCode(5, (-1,)), codes).is_one_comparison
    assert not BinaryLinear(matrix, BitCode(5, (1, 1)), codes).is_one_comparison
