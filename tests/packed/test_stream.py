"""Residual streams of integers and of reals."""

import copy

import numpy as np
import pytest

from skbnn.bits import pack_bits, unpack_bits
from skbnn.packed import (
    Affine,
    BinaryLinear,
    BitCode,
    BitImage,
    BitMatrix,
    ClassScores,
    EachPlace,
    IntStream,
    Positions,
    RealLinear,
    Reals,
    Residual,
    SignThreshold,
    StreamSign,
    Sums,
)
from skbnn.packed.values import INT32_MAX

WIDTHS = [1, 63, 64, 65, 130]


def matrix(rng, n_units, n_bits):
    return BitMatrix(pack_bits(rng.random((1, n_units, n_bits)) < 0.5), n_bits)


def signs(words, n_bits):
    return np.where(unpack_bits(words, n_bits), 1, -1)


def sums_layer(rng, n_bits, n_units, places):
    layer = BinaryLinear(matrix(rng, n_units, n_bits), BitCode(n_bits), Sums(n_units, n_bits))
    return EachPlace(layer, places)


def ramp(channels=3, largest=5):
    """The sign of a stream of one place."""
    stream = IntStream((1, 1, channels), largest)
    return StreamSign(stream, np.zeros(channels, np.int16), np.zeros(1, np.uint64))


@pytest.mark.parametrize("n_bits", WIDTHS)
@pytest.mark.parametrize("n_rows", [0, 1, 3])
def test_each_place_is_the_operation_on_rows(kernels, n_bits, n_rows):
    rng = np.random.default_rng(n_bits)
    bits = rng.random((n_rows, 1, 2, 3, n_bits)) < 0.5
    limits = SignThreshold(rng.integers(-1, 2, 70).astype(np.int16))
    inner = BinaryLinear(matrix(rng, 70, n_bits), BitCode(n_bits), limits)
    layer = EachPlace(inner, (2, 3))
    assert (layer.takes, layer.gives) == (BitImage((2, 3, n_bits)), BitImage((2, 3, 70)))
    found = layer.prepare(kernels)(pack_bits(bits))
    assert found.shape == (n_rows, 1, 2, 3, 2)
    flat = inner.prepare(kernels)(pack_bits(bits.reshape(n_rows * 6, 1, n_bits)))
    np.testing.assert_array_equal(found.reshape(n_rows * 6, 1, 2), flat)


def test_each_place_of_several_planes(kernels):
    rng = np.random.default_rng(0)
    code = BitCode(70, (1, 2), 3)
    bits = rng.random((4, 2, 3, 5, 70)) < 0.5
    layer = EachPlace(BinaryLinear(matrix(rng, 9, 70), code, Sums(9, 70 * 6)), (3, 5))
    assert layer.takes == BitImage((3, 5, 70), (1, 2), 3)
    planes = np.where(bits, 1, -1)
    x = 3 + planes[:, 0] + 2 * planes[:, 1]
    expected = x @ signs(layer.operation.weights.words[0], 70).T
    found = layer.prepare(kernels)(pack_bits(bits))
    assert found.dtype == layer.gives.dtype == np.int16
    np.testing.assert_array_equal(found, expected)


def test_each_place_of_reals():
    rng = np.random.default_rng(0)
    weights, biases = rng.standard_normal((4, 3), np.float32), rng.standard_normal(4, np.float32)
    layer = EachPlace(RealLinear(weights, biases, True, False), (1, 5))
    assert (layer.takes, layer.gives) == (Reals(15), Reals(20))
    rows = rng.normal(size=(6, 15))
    expected = np.maximum(rows.reshape(6, 5, 3) @ weights.T.astype(float) + biases, 0)
    np.testing.assert_allclose(layer.prepare(None)(rows), expected.reshape(6, 20))


def test_affine():
    rng = np.random.default_rng(0)
    scales, shifts = rng.standard_normal((2, 5), np.float32)
    layer = Affine(scales, shifts)
    assert layer.takes == layer.gives == Reals(5)
    rows = rng.normal(size=(4, 5))
    np.testing.assert_array_equal(layer.prepare(None)(rows), rows * scales.astype(float) + shifts)
    with pytest.raises(ValueError, match="shifts has shape"):
        Affine(scales, shifts[1:])


def test_only_what_has_places_works_place_by_place():
    rng = np.random.default_rng(0)
    scores = ClassScores(np.ones(2, np.int32), np.zeros(2, np.int32))
    layer = BinaryLinear(matrix(rng, 2, 3), BitCode(3), scores)
    with pytest.raises(ValueError, match="binary-linear does not work place by place"):
        EachPlace(layer, (1, 2))
    layer = BinaryLinear(matrix(rng, 2, 3), BitCode(3), Sums(2, 3))
    for places in [(), (3,), (0, 2), (1, 2, 3)]:
        with pytest.raises(ValueError, match="places"):
            EachPlace(layer, places)
    with pytest.raises(ValueError, match="does not work place by place"):
        EachPlace(EachPlace(layer, (1, 2)), (1, 2))


@pytest.mark.parametrize("channels", WIDTHS)
@pytest.mark.parametrize("dtype", [np.int16, np.int32])
@pytest.mark.parametrize("largest", [9, 1 << 15])
def test_stream_sign_compares_and_flips(kernels, channels, dtype, largest):
    rng = np.random.default_rng(channels)
    value = IntStream((3, 2, channels), largest)
    stream = rng.integers(-9, 10, (5, 3, 2, channels)).astype(value.dtype)
    thresholds = rng.integers(-10, 11, channels).astype(dtype)
    thresholds[::3] = np.resize([-10, 10], len(thresholds[::3]))
    flips = rng.random(channels) < 0.5
    layer = StreamSign(value, thresholds, pack_bits(flips))
    assert layer.gives == BitImage((3, 2, channels))
    found = layer.prepare(kernels)(stream)
    expected = (stream >= thresholds) ^ flips
    np.testing.assert_array_equal(found, pack_bits(expected)[:, None])


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
@pytest.mark.parametrize(("shift", "gives"), [(3, np.int16), (13, np.int32)])
def test_positions_shift_and_add(kernels, dtype, shift, gives):
    rng = np.random.default_rng(0)
    table = rng.integers(-99, 100, (1, 3, 4)).astype(dtype)
    takes = IntStream((1, 3, 4), 7)
    rows = rng.integers(-7, 8, (5, 1, 3, 4)).astype(takes.dtype)
    layer = Positions(takes, shift, table)
    assert layer.gives == IntStream((1, 3, 4), (7 << shift) + int(np.abs(table).max()))
    before = rows.copy()
    found = layer.prepare(kernels)(rows)
    assert found.dtype == layer.gives.dtype == gives
    np.testing.assert_array_equal(found, rows.astype(int) * 2**shift + table)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("shift", [0, 3, 9, -2, -10])
def test_residual_adds_the_shifted_branch(kernels, shift):
    rng = np.random.default_rng(shift + 20)
    stream = IntStream((2, 2, 70), 50)
    up, down = max(0, shift), max(0, -shift)
    limits = rng.integers(-20, 21, 70).astype(np.int16)
    first = StreamSign(stream, limits, pack_bits(rng.random(70) < 0.5))
    layer = Residual((first, sums_layer(rng, 70, 70, (2, 2))), stream, shift)
    assert layer.gives == IntStream((2, 2, 70), (50 << down) + (70 << up))
    rows = rng.integers(-50, 51, (6, 2, 2, 70)).astype(stream.dtype)
    before = rows.copy()
    bits = signs(first.prepare(kernels)(rows)[:, 0], 70)
    weights = signs(layer.branch[1].operation.weights.words[0], 70)
    found = layer.prepare(kernels)(rows)
    assert found.dtype == layer.gives.dtype == (np.int16 if abs(shift) < 9 else np.int32)
    expected = (rows.astype(int) << down) + ((bits @ weights.T).astype(int) << up)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(rows, before)


def test_a_stream_that_could_leave_int32_is_not_built():
    rng = np.random.default_rng(0)
    stream = IntStream((1, 1, 3), INT32_MAX - 4)
    sign = StreamSign(stream, np.zeros(3, np.int16), np.zeros(1, np.uint64))
    Residual((sign, sums_layer(rng, 3, 3, (1, 1))), stream, 0)
    with pytest.raises(ValueError, match="does not fit int32"):
        Residual((sign, sums_layer(rng, 3, 3, (1, 1))), stream, 1)
    with pytest.raises(ValueError, match="does not fit int32"):
        Positions(stream, 0, np.full((1, 1, 3), -4, np.int16))
    with pytest.raises(ValueError, match="does not fit int32"):
        IntStream((1, 1, 3), INT32_MAX)
    with pytest.raises(ValueError, match="larger than said"):
        BinaryLinear(matrix(rng, 2, 3), BitCode(3), Sums(2, 2))


def test_a_branch_is_printed_in_errors_alone(monkeypatch):
    """Its arrays take longer to print than all checks of them."""
    stream = IntStream((1, 1, 3), 5)
    branch = ramp(), sums_layer(np.random.default_rng(0), 3, 3, (1, 1))
    printed = []
    monkeypatch.setattr(EachPlace, "__repr__", lambda self: printed.append(self) or "EachPlace")
    residual = Residual(branch, stream, 0)
    assert residual.gives.shape == stream.shape and not printed
    with pytest.raises(ValueError, match="'nothing' is no operation"):
        Residual((*branch, "nothing"), stream, 0)
    assert not printed


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_the_largest_numbers_do_not_wrap(kernels, dtype):
    largest = int(np.iinfo(dtype).max) - 13
    stream = IntStream((1, 1, 3), largest)
    words = pack_bits(np.ones((1, 3, 3), bool))
    layer = EachPlace(BinaryLinear(BitMatrix(words, 3), BitCode(3), Sums(3, 3)), (1, 1))
    always = StreamSign(stream, np.full(3, -largest - 1, np.int32), np.zeros(1, np.uint64))
    never = StreamSign(stream, np.full(3, largest + 1, np.int32), np.zeros(1, np.uint64))
    for sign, value in ((always, 1), (never, -1)):
        rows = np.full((1, 1, 1, 3), value * largest, dtype)
        found = Residual((sign, layer), stream, 2).prepare(kernels)(rows)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, rows + value * 12)


@pytest.mark.parametrize("largest", [2**15 - 2, 2**15 - 1, INT32_MAX - 1])
def test_a_threshold_may_lie_one_beyond_the_largest_number(kernels, largest):
    stream = IntStream((1, 1, 2), largest)
    assert stream.dtype == (np.int16 if largest < 2**15 - 1 else np.int32)
    assert stream.nbytes == 2 * stream.dtype.itemsize
    thresholds = np.array([-largest - 1, largest + 1], np.int32)
    rows = np.array([-largest, 0, largest], stream.dtype).repeat(2).reshape(3, 1, 1, 2)
    found = StreamSign(stream, thresholds, np.zeros(1, np.uint64)).prepare(kernels)(rows)
    assert (found == 1).all()


def test_sums_that_are_always_0_are_shifted_by_anything(kernels):
    table = np.array([[[1, -2, 3]]], np.int16)
    rows = np.zeros((2, 1, 1, 3), np.int16)
    layer = Positions(IntStream((1, 1, 3), 0), 30, table)
    assert layer.gives.dtype == np.int16
    np.testing.assert_array_equal(layer.prepare(kernels)(rows), np.stack([table, table]))


def test_ill_fitting_streams_are_refused():
    rng = np.random.default_rng(0)
    sign, layer = ramp(), sums_layer(rng, 3, 3, (1, 1))
    stream = sign.takes
    for branch, shift, message in [
        ((), 0, "at least one"),
        ((layer,), 0, "takes"),
        ((sign,), 0, "something else"),
        ((sign, sums_layer(rng, 3, 4, (1, 1))), 0, "another shape"),
        ((sign, sign), 0, "takes"),
        ((sign, 3), 0, "no operation"),
        ((sign, layer), -31, "shifted left by 31"),
        ((sign, layer), 31, "shifted left by 31"),
    ]:
        with pytest.raises(ValueError, match=message):
            Residual(branch, stream, shift)
    real = EachPlace(RealLinear(np.ones((3, 3), "f"), np.ones(3, "f"), False, False), (1, 1))
    with pytest.raises(ValueError, match="Real sums"):
        Residual((real,), Reals(3), 1)
    with pytest.raises(ValueError, match="lines, columns and channels"):
        StreamSign(IntStream((3,), 5), np.zeros(3, np.int16), np.zeros(1, np.uint64))
    with pytest.raises(ValueError, match="reach"):
        StreamSign(stream, np.array([0, -7, 0], np.int16), np.zeros(1, np.uint64))
    with pytest.raises(ValueError, match="Padding"):
        StreamSign(stream, np.zeros(3, np.int16), np.array([8], np.uint64))
    for shape in [(), (0, 1, 2)]:
        with pytest.raises(ValueError, match="shape"):
            IntStream(shape, 1)
    with pytest.raises(ValueError, match="table has shape"):
        Positions(stream, 0, np.zeros((1, 2, 3), np.int16))


def test_copies_are_read_only():
    clone = copy.deepcopy(ramp())
    with pytest.raises(ValueError, match="read-only"):
        clone.thresholds[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        clone.flips[0] = 1
