"""Inputs of images, against comparisons and arithmetic on reshaped rows."""

import numpy as np
import pytest

from skbnn.bits import n_words, pack_bits, unpack_bits
from skbnn.packed import BitImage, ImageLayout, ImagePlanes, ImageStandardize, ImageThermometer

LAYOUTS = [
    ImageLayout((1, 1, 1)),
    ImageLayout((5, 7, 1)),
    ImageLayout((28, 28, 1), 2),
    ImageLayout((9, 6, 3), 3),
]
layouts = pytest.mark.parametrize("layout", LAYOUTS)


def blocks_of(X, layout):
    """Rows as (n, lines, columns, pixels of a block, channels)."""
    (lines, columns), b = layout.places, layout.block
    images = X.reshape(len(X), lines, b, columns, b, layout.shape[2])
    return images.transpose(0, 1, 3, 2, 4, 5).reshape(len(X), lines, columns, b * b, -1)


@layouts
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("limit_dtype", [np.uint8, np.float32])
def test_thermometer(kernels, layout, dtype, limit_dtype):
    rng = np.random.default_rng(0)
    channels = layout.shape[2]
    counts = np.array([2, 0, 3], np.uint8)[-channels:]
    thresholds = np.concatenate([np.arange(1, n + 1) * 9 for n in counts]).astype(limit_dtype)
    operation = ImageThermometer(counts, thresholds, layout)
    X = rng.integers(0, 40, (4, layout.n_features)).astype(dtype)
    bits = blocks_of(X, layout)[..., operation.channels] >= thresholds
    bits = bits.reshape(*bits.shape[:3], layout.block**2 * len(thresholds))
    assert operation.gives == BitImage(bits.shape[1:])
    np.testing.assert_array_equal(operation.prepare(kernels)(X)[:, 0], pack_bits(bits))


@layouts
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_planes(kernels, layout, dtype):
    X = np.random.default_rng(0).integers(0, 256, (4, layout.n_features)).astype(dtype)
    operation = ImagePlanes(layout)
    code, images = operation.gives, blocks_of(X, layout)
    rows = operation.prepare(kernels)(X)
    assert rows.shape == (4, 8, *code.shape[:2], n_words(code.shape[2]))
    signs = 2.0 * unpack_bits(rows, code.shape[2]) - 1
    values = np.tensordot(code.scales, signs.swapaxes(0, 1), 1) + code.offset
    np.testing.assert_array_equal(values, 2.0 * images.reshape(4, *code.shape))
    with pytest.raises(ValueError, match="whole numbers"):
        operation.prepare(kernels)(X + 0.5)


@layouts
def test_standardize(layout):
    rng = np.random.default_rng(1)
    used = np.arange(0, layout.shape[2], 2, dtype=np.int32)
    means, scales = rng.normal(size=(2, len(used))).astype(np.float32)
    operation = ImageStandardize(used, means, scales, layout)
    X = rng.normal(size=(4, layout.n_features))
    expected = (blocks_of(X, layout)[..., used] - means) * scales.astype(np.float64)
    out = operation.prepare(None)(X)
    assert out.shape[1] == operation.gives.width == int(np.prod(operation.shape))
    np.testing.assert_allclose(out, expected.reshape(4, -1), rtol=1e-12)


@pytest.mark.parametrize(("value", "message"), [(np.nan, "NaN"), (-np.inf, "infinity")])
def test_values_that_are_not_finite_are_refused(kernels, value, message):
    layout = ImageLayout((2, 2, 2))
    counts, none = np.array([1, 0], np.uint8), np.empty(0, np.float32)
    thermometer = ImageThermometer(counts, np.zeros(1, np.float32), layout)
    standardize = ImageStandardize(np.empty(0, np.int32), none, none, layout)
    for place in range(8):
        X = np.zeros((3, 8))
        X[2, place] = value
        for operation in (thermometer, standardize):
            with pytest.raises(ValueError, match=message):
                operation.prepare(kernels)(X)


@pytest.mark.parametrize(
    ("shape", "block", "message"),
    [
        ((4, 4), 1, "is no height, width and channels"),
        ((4, 0, 1), 1, "is no height, width and channels"),
        ((4, 6, 1), 4, "have no blocks of 4 x 4"),
        ((4, 6, 1), 0, "have no blocks of 0 x 0"),
        ((1 << 13, 1 << 12, 1), 1, "too large"),
    ],
)
def test_impossible_layouts_are_refused(shape, block, message):
    with pytest.raises(ValueError, match=message):
        ImageLayout(shape, block)


def test_thresholds_and_channels_must_rise():
    layout = ImageLayout((1, 1, 2))
    counts = np.array([2, 1], np.uint8)
    ImageThermometer(counts, np.array([1, 2, 0], np.uint8), layout)
    with pytest.raises(ValueError, match="must rise"):
        ImageThermometer(counts, np.array([2, 2, 3], np.uint8), layout)
    with pytest.raises(ValueError, match="must rise"):
        ImageStandardize(np.array([0, 2], np.int32), *np.ones((2, 2), np.float32), layout)
