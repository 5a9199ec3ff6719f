"""Convolutions, against plain sums over the taps of decoded images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbnn.bits import backend, n_words, pack_bits, unpack_bits
from skbnn.packed import (
    BinaryConv,
    BinaryLinear,
    BitImage,
    BitMatrix,
    ClassScores,
    IntStream,
    MixedConv,
    RealConv,
    Residual,
    Shortcut,
    SignThreshold,
    StreamSign,
    Sums,
    Window,
)
from skbnn.packed.checks import narrowest
from skbnn.packed.values import Reals

# Image height, width and channels, units, kernel, stride, pool.
CASES = [
    ((1, 1, 1), 1, (1, 1), 1, (1, 1)),
    ((1, 20, 3), 10, (1, 7), 2, (1, 3)),
    ((5, 7, 31), 33, (3, 3), 2, (1, 2)),
    ((5, 7, 64), 64, (5, 7), 1, (2, 3)),
    ((6, 5, 65), 17, (7, 1), 1, (5, 5)),
    ((4, 4, 130), 70, (7, 7), 1, (1, 1)),
    ((9, 32, 3), 40, (3, 3), 1, (2, 2)),
    ((28, 28, 12), 32, (3, 3), 1, (2, 2)),
    ((6, 7, 200), 260, (3, 3), 1, (2, 3)),
]
cases = pytest.mark.parametrize(("shape", "n_units", "kernel", "stride", "size"), CASES)
paddings = pytest.mark.parametrize("padding_value", [-1, 0, 1])


def decode_images(words, code):
    """Values of packed images, int64 of shape (n, height, width, channels)."""
    signs = np.where(unpack_bits(words, code.shape[2]), 1, -1)
    return code.offset + np.einsum("k,nkyxc->nyxc", np.array(code.scales, np.int64), signs)


def decode_matrix(matrix):
    """Weights of a bit matrix, int64 of shape (n_units, n_bits)."""
    signs = np.where(unpack_bits(matrix.words, matrix.n_bits), 1, -1)
    return np.einsum("kj,kji->ji", matrix.plane_scales, signs) + matrix.unit_offsets[:, None]


def convolve(images, weights, window, padding):
    """Sums of every place, tap by tap, of images padded with a number."""
    (top, left), (lines, columns) = window.margins, window.places
    padded = np.pad(
        images, ((0, 0), (top, top), (left, left), (0, 0)), constant_values=padding
    )  # fmt: skip
    taps = weights.reshape(len(weights), *window.kernel, -1)
    sums = np.zeros((len(images), lines, columns, len(weights)), taps.dtype)
    for i in range(window.kernel[0]):
        for j in range(window.kernel[1]):
            tap = padded[:, i :: window.stride, j :: window.stride][:, :lines, :columns]
            sums += tap @ taps[:, i, j].T
    return sums


def pool(images, window, reduce=np.max):
    """Pooled images."""
    (height, width), (lines, columns) = window.pool, window.pooled
    cut = images[:, : lines * height, : columns * width]
    shape = (len(cut), lines, height, columns, width, cut.shape[3])
    return reduce(cut.reshape(shape), (2, 4))


def padding_of(code, padding_value):
    """What a padded element is worth."""
    return padding_value and code.offset + padding_value * sum(code.scales)


def check(rng, weights, code, window, padding_value, kernels, n=3):
    """Compare a convolution with the plain one, thresholds at sums that do occur."""
    height, width, channels = code.shape
    words = pack_bits(rng.random((n, len(code.scales), height, width, channels)) < 0.5)
    sums = convolve(
        decode_images(words, code), decode_matrix(weights), window, padding_of(code, padding_value)
    )
    n_units = weights.n_units
    is_least = rng.random(n_units) < 0.5
    pooled = np.where(is_least, pool(sums, window, np.min), pool(sums, window))
    if n:
        met = pooled[rng.integers(n), 0, 0] + rng.integers(0, 2, n_units)
    else:
        met = np.zeros(n_units, np.int64)
    largest = weights.n_bits * code.largest * weights.largest
    thresholds = np.where(rng.random(n_units) < 0.1, -largest, np.minimum(met, largest + 1))
    operation = BinaryConv(
        weights,
        code,
        SignThreshold(narrowest(thresholds)),
        window,
        padding_value,
        pack_bits(is_least),
    )
    given_bits = operation.prepare(kernels)(words)
    assert given_bits.shape == (n, 1, *window.pooled, n_words(n_units))
    assert operation.gives == BitImage((*window.pooled, n_units))
    np.testing.assert_array_equal(given_bits[:, 0], pack_bits(pooled >= thresholds))


def plain_matrix(rng, n_bits, n_units):
    return BitMatrix(pack_bits(rng.random((1, n_units, n_bits)) < 0.5), n_bits)


def random_matrix(rng, n_bits, n_planes, n_units, has_offsets):
    return BitMatrix(
        pack_bits(rng.random((n_planes, n_units, n_bits)) < 0.5),
        n_bits,
        rng.integers(-9, 10, (n_planes, n_units)).astype(np.int32),
        rng.integers(-9, 10, n_units).astype(np.int32) if has_offsets else None,
    )


@cases
@paddings
def test_signs(kernels, shape, n_units, kernel, stride, size, padding_value):
    rng = np.random.default_rng(0)
    window = Window(shape, kernel, stride, size)
    weights = plain_matrix(rng, window.n_taps, n_units)
    check(rng, weights, BitImage(shape), window, padding_value, kernels)


@paddings
@cases
@pytest.mark.parametrize(
    ("n_row_planes", "n_unit_planes", "has_offsets"), [(1, 2, True), (3, 1, False), (2, 2, True)]
)
def test_planes(
    kernels, n_row_planes, n_unit_planes, has_offsets, shape, n_units, kernel, stride, size,
    padding_value,
):  # fmt: skip
    rng = np.random.default_rng(1)
    window = Window(shape, kernel, stride, size)
    weights = random_matrix(rng, window.n_taps, n_unit_planes, n_units, has_offsets)
    code = BitImage(shape, tuple(rng.integers(-9, 10, n_row_planes).tolist()), 3)
    check(rng, weights, code, window, padding_value, kernels, n=2)


@pytest.mark.parametrize("n", [0, 1, 40])
def test_many_images_in_chunks(kernels, n):
    rng = np.random.default_rng(2)
    for channels in (3, 64):
        window = Window((20, 20, channels), (3, 3), 1, (2, 2))
        check(rng, plain_matrix(rng, window.n_taps, 8), BitImage(window.shape), window, -1,
              kernels, n)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_convolution(data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = tuple(draw(st.integers(1, n)) for n in (9, 9, 70))
    kernel = tuple(2 * draw(st.integers(0, min(3, size - 1))) + 1 for size in shape[:2])
    stride = draw(st.integers(1, 3))
    places = Window(shape, kernel, stride, (1, 1)).places
    window = Window(shape, kernel, stride, tuple(draw(st.integers(1, n)) for n in places))
    n_units = draw(st.integers(1, 40))
    code, weights = BitImage(shape), plain_matrix(rng, window.n_taps, n_units)
    if draw(st.booleans()):
        planes, has_offsets = draw(st.integers(1, 3)), draw(st.booleans())
        weights = random_matrix(rng, window.n_taps, planes, n_units, has_offsets)
        scales = draw(st.lists(st.integers(-9, 9), min_size=1, max_size=3))
        code = BitImage(shape, tuple(scales), draw(st.integers(-9, 9)))
    check(rng, weights, code, window, draw(st.sampled_from([-1, 0, 1])), backend("numba"), 2)


@pytest.mark.parametrize("channels", [1, 31, 64, 65])
@pytest.mark.parametrize("planes", [1, 2])
def test_dense_product_reads_images(kernels, channels, planes):
    rng = np.random.default_rng(3)
    shape = (3, 2, channels)
    code = BitImage(shape, (1,) if planes == 1 else (2, 5), 0 if planes == 1 else 7)
    words = pack_bits(rng.random((5, planes, *shape)) < 0.5)
    rows = decode_images(words, code).reshape(5, -1)
    weights = plain_matrix(rng, code.n_bits, 40)
    sums = rows @ decode_matrix(weights).T
    thresholds = SignThreshold(narrowest(sums[2]))
    bits = BinaryLinear(weights, code, thresholds).prepare(kernels)(words)
    np.testing.assert_array_equal(bits[:, 0], pack_bits(sums >= sums[2]))
    ones = ClassScores(np.ones(40, np.int32), np.zeros(40, np.int32))
    scores = BinaryLinear(weights, code, ones).prepare(kernels)(words)
    np.testing.assert_array_equal(scores, sums)


@cases
@pytest.mark.parametrize("kind", [RealConv, MixedConv])
def test_reals(shape, n_units, kernel, stride, size, kind):
    rng = np.random.default_rng(4)
    window = Window(shape, kernel, stride, size)
    images = rng.normal(size=(3, *shape))
    scales, biases = rng.normal(size=(2, n_units)).astype(np.float32)
    weights = plain_matrix(rng, window.n_taps, n_units)
    values = decode_matrix(weights).astype(np.float32)
    if kind is RealConv:
        weights = values = rng.normal(size=values.shape).astype(np.float32)
    sums = convolve(images, values.astype(np.float64), window, 0.0)
    expected = np.maximum(pool(sums, window) * scales + biases, 0)
    operation = kind(weights, scales, biases, window, True)
    rows = images.reshape(3, -1)
    assert operation.takes == Reals(rows.shape[1])
    for real, tolerance in ((np.float64, 1e-9), (np.float32, 1e-3)):
        out = operation.prepare(None, real)(rows.astype(real))
        assert out.dtype == real
        assert out.shape[1] == operation.gives.width
        np.testing.assert_allclose(out, expected.reshape(3, -1), tolerance, tolerance)
    one_by_one = np.concatenate([operation.prepare(None)(rows[i : i + 1]) for i in range(3)])
    np.testing.assert_array_equal(one_by_one, operation.prepare(None)(rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (4, 4)}, "no image shape"),
        ({"shape": (4, 0, 2)}, "no image shape"),
        ({"kernel": (2, 3)}, "two odd sizes"),
        ({"kernel": (3,)}, "two odd sizes"),
        ({"kernel": (9, 3)}, "taps that no pixel"),
        ({"stride": 0}, "stride of 0"),
        ({"pool": (5, 1)}, "cannot be pooled"),
        ({"pool": (0, 1)}, "cannot be pooled"),
        ({"pool": (1, 1, 1)}, "cannot be pooled"),
    ],
)
def test_impossible_windows_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Window(**{"shape": (4, 4, 2), "kernel": (3, 3), "stride": 1, "pool": (1, 1), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"takes": BitImage((5, 4, 2))}, "differ in shape"),
        ({"window": Window((4, 4, 2), (1, 3), 1, (1, 1))}, "differ in width"),
        ({"padding_value": 2}, "neither -1 nor 0 nor 1"),
        ({"minima": np.zeros(2, np.uint64)}, "minima has shape"),
        ({"minima": np.full(1, 1 << 63, np.uint64)}, "Padding bits of minima must be 0"),
        ({"output": SignThreshold(np.zeros(3, np.int16))}, "differ in units"),
        ({"output": SignThreshold(np.full(5, 20, np.int16))}, "outside the sums"),
    ],
)
def test_impossible_convolutions_are_refused(change, message):
    weights = plain_matrix(np.random.default_rng(5), 18, 5)
    window = Window((4, 4, 2), (3, 3), 1, (1, 1))
    fields = {
        "weights": weights,
        "takes": BitImage((4, 4, 2)),
        "output": SignThreshold(np.zeros(5, np.int16)),
        "window": window,
        "padding_value": -1,
        "minima": None,
    }
    BinaryConv(**fields)
    with pytest.raises(ValueError, match=message):
        BinaryConv(**{**fields, **change})


@cases
@paddings
@pytest.mark.parametrize("planes", [1, 2])
def test_sums(kernels, shape, n_units, kernel, stride, size, padding_value, planes):
    rng = np.random.default_rng(6)
    window = Window(shape, kernel, stride, size)
    code = BitImage(shape, (1,) if planes == 1 else (2, -3))
    weights = plain_matrix(rng, window.n_taps, n_units)
    largest = window.n_taps * code.largest
    operation = BinaryConv(weights, code, Sums(n_units, largest), window, padding_value, None)
    assert operation.gives == IntStream((*window.pooled, n_units), largest)
    words = pack_bits(rng.random((3, planes, *shape)) < 0.5)
    sums = convolve(
        decode_images(words, code), decode_matrix(weights), window, padding_of(code, padding_value)
    )
    found = operation.prepare(kernels)(words)
    assert found.dtype == operation.gives.dtype
    np.testing.assert_array_equal(found, pool(sums, window))
    assert operation.prepare(kernels)(words[:0]).shape == (0, *window.pooled, n_units)


def test_sums_have_no_least():
    weights = plain_matrix(np.random.default_rng(7), 18, 5)
    window = Window((4, 4, 2), (3, 3), 1, (1, 1))
    with pytest.raises(ValueError, match="take the least sum"):
        BinaryConv(weights, BitImage((4, 4, 2)), Sums(5, 18), window, 0, np.zeros(1, np.uint64))


@pytest.mark.parametrize("channels", [2, 5, 9])
@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_shortcut(channels, size, kernels):
    rng = np.random.default_rng(8)
    x = rng.integers(-9, 10, (4, 5, 7, 5)).astype(np.int16)
    pooled = pool(x, Window((5, 7, 5), (1, 1), 1, size))
    kept = min(5, channels)
    for value, rows in ((IntStream((5, 7, 5), 9), x), (Reals(175), x.reshape(4, -1) / 2)):
        operation = Shortcut(value, (5, 7, 5), size, channels)
        out = operation.prepare(kernels)(rows)
        assert out.dtype == rows.dtype
        assert out.size == 4 * operation.gives.width
        out = out.reshape(*pooled.shape[:3], channels)
        expected = pooled if rows.dtype == np.int16 else pooled / 2
        np.testing.assert_array_equal(out[..., :kept], expected[..., :kept])
        assert not out[..., kept:].any()


def test_a_stream_skips_a_layer_of_another_shape(kernels):
    rng = np.random.default_rng(9)
    stream = IntStream((4, 6, 3), 50)
    signs = StreamSign(stream, np.zeros(3, np.int16), np.zeros(1, np.uint64))
    window = Window(stream.shape, (3, 3), 1, (2, 2))
    layer = BinaryConv(
        plain_matrix(rng, 27, 5), signs.gives, Sums(5, 27), window, -1, None
    )  # fmt: skip
    skip = Shortcut(stream, stream.shape, (2, 2), 5)
    operation = Residual((signs, layer), stream, 2, (skip,))
    assert operation.gives == IntStream((2, 3, 5), 50 + 27 * 4)
    x = rng.integers(-50, 51, (3, 4, 6, 3)).astype(stream.dtype)
    before = x.copy()
    sums = convolve(np.where(x >= 0, 1, -1), decode_matrix(layer.weights), window, -1)
    expected = 4 * pool(sums, window)
    expected[..., :3] += pool(x, window)
    np.testing.assert_array_equal(operation.prepare(kernels)(x), expected)
    np.testing.assert_array_equal(x, before)
    with pytest.raises(ValueError, match="another shape"):
        Residual((signs, layer), stream, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (5, 7)}, "is not the shape of the stream"),
        ({"shape": (7, 5, 5)}, "is not the shape of the stream"),
        ({"takes": Reals(174)}, "is not the shape of the stream"),
        ({"pool": (6, 1)}, "cannot be pooled"),
        ({"pool": (0, 1)}, "cannot be pooled"),
        ({"channels": 0}, "There cannot be 0 channels"),
    ],
)
def test_impossible_shortcuts_are_refused(change, message):
    fields = {"takes": IntStream((5, 7, 5), 9), "shape": (5, 7, 5), "pool": (2, 2), "channels": 3}
    Shortcut(**fields)
    with pytest.raises(ValueError, match=message):
        Shortcut(**{**fields, **change})
