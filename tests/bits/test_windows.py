"""Kernels of images, against convolutions of +-1 arrays in floating point."""

import numpy as np
import pytest

from skbnn.bits import comparison_layout, interleave, lanes_for, n_words, pack_bits

# Image height and width, channels, units, window height and width, stride.
SHAPES = [
    (1, 1, 1, 1, 1, 1, 1),
    (1, 1, 3, 10, 1, 1, 2),
    (5, 7, 31, 17, 3, 3, 1),
    (5, 7, 64, 33, 3, 3, 2),
    (7, 5, 65, 65, 5, 3, 1),
    (9, 9, 130, 40, 7, 7, 1),
    (28, 28, 3, 64, 3, 3, 1),
    (1, 20, 12, 70, 1, 7, 2),
    (3, 3, 64, 100, 3, 3, 1),
    # By pairs of words: an even and an odd number of them, and units that fill no last block.
    (9, 7, 256, 300, 3, 3, 1),
    (8, 9, 129, 256, 5, 3, 2),
    pytest.param(8, 6, 70, 40, 3, 3, 1, id="compact"),
    pytest.param(7, 9, 5, 70, 5, 3, 2, id="compact-strided"),
]
shapes = pytest.mark.parametrize(
    ("height", "width", "n_bits", "n_units", "rows", "columns", "stride"), SHAPES
)
batches = pytest.mark.parametrize("n_images", [0, 1, pytest.param(3, id="compact")])


def mismatches(images, units, stride):
    """Count mismatches, tap by tap: images (..., h, w, c), units (m, i, j, c)."""
    a, w = (np.where(bits, 1.0, -1.0) for bits in (images, units))
    _, rows, columns, n_bits = units.shape
    n_rows = (images.shape[-3] - rows) // stride + 1
    n_columns = (images.shape[-2] - columns) // stride + 1
    sums = 0
    for i in range(rows):
        for j in range(columns):
            tap = a[..., i : i + stride * n_rows : stride, j : j + stride * n_columns : stride, :]
            sums = sums + tap[..., :n_rows, :n_columns, :] @ w[:, i, j].T
    return ((rows * columns * n_bits - sums) / 2).astype(np.int64)


def packed_units(units, lanes):
    """Interleave units whose pixels begin a word each."""
    return interleave(pack_bits(units).reshape(len(units), -1), lanes)


@batches
@shapes
@pytest.mark.parametrize("n_planes", [1, 2])
def test_count_windows(
    kernels, random_bits, guarded, frozen, n_images, n_planes, height, width, n_bits, n_units,
    rows, columns, stride,
):  # fmt: skip
    images = random_bits(n_images, n_planes, height, width, n_bits)
    units = random_bits(n_units, rows, columns, n_bits)
    expected = np.moveaxis(mismatches(images, units, stride), 1, 3)
    out = guarded(expected.shape, np.int32)
    blocks = packed_units(units, lanes_for(n_units))
    kernels.count_windows(frozen(pack_bits(images)), rows, columns, stride, blocks, out)
    np.testing.assert_array_equal(out, expected)


def zones(rng, n):
    """One to three zones of n places, as their ends."""
    inside = np.unique(rng.integers(1, n, 2)) if n > 1 else np.empty(0, np.int64)
    return np.array([0, *inside, n])


@batches
@shapes
def test_compare_windows(
    kernels, rng, random_bits, guarded, frozen, n_images, height, width, n_bits, n_units,
    rows, columns, stride,
):  # fmt: skip
    images = random_bits(n_images, height, width, n_bits)
    units = random_bits(n_units, rows, columns, n_bits)
    expected = mismatches(images, units, stride)
    _, n_rows, n_columns, _ = expected.shape
    row_ends, column_ends = zones(rng, n_rows), zones(rng, n_columns)
    middle = rows * columns * n_bits // 2
    shape = len(row_ends) - 1, len(column_ends) - 1, n_units
    bounds = rng.integers(middle - 3, middle + 4, shape)
    of_places = np.repeat(np.repeat(bounds, np.diff(row_ends), 0), np.diff(column_ends), 1)
    words = pack_bits(units).reshape(n_units, -1)
    blocks, limits = comparison_layout(words, bounds, (rows, columns))
    assert (blocks.shape[2] == 16) == (n_units >= 256 and words.shape[1] >= 32)
    out = guarded((n_images, n_rows, n_columns, n_words(n_units)), np.uint64)
    kernels.compare_windows(
        frozen(pack_bits(images)), rows, columns, stride, blocks, *frozen(limits, row_ends),
        column_ends, out,
    )  # fmt: skip
    np.testing.assert_array_equal(out, pack_bits(expected <= of_places))


@batches
@shapes
def test_gather_windows(
    kernels, random_bits, guarded, frozen, n_images, height, width, n_bits, n_units,
    rows, columns, stride,
):  # fmt: skip
    images = random_bits(n_images, height, width, n_bits)
    n_rows, n_columns = (height - rows) // stride + 1, (width - columns) // stride + 1
    expected = np.empty((n_images, n_rows, n_columns, rows, columns, n_bits), np.bool_)
    for y in range(n_rows):
        for x in range(n_columns):
            top, left = y * stride, x * stride
            expected[:, y, x] = images[:, top : top + rows, left : left + columns]
    expected = pack_bits(expected.reshape(n_images, n_rows, n_columns, rows * columns * n_bits))
    out = guarded(expected.shape, np.uint64)
    kernels.gather_windows(frozen(pack_bits(images)), n_bits, rows, columns, stride, out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("n_images", [0, 1, pytest.param(3, id="compact")])
@pytest.mark.parametrize("n_bits", [1, 64, 130])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (3, 2), (1, 4), (5, 7)])
def test_pool_images(kernels, rng, guarded, frozen, n_images, n_bits, height, width):
    images = rng.random((n_images, 5, 7, n_bits)) < 0.7
    minima = rng.random(n_bits) < 0.5
    n_rows, n_columns = 5 // height, 7 // width
    cut = images[:, : n_rows * height, : n_columns * width]
    windows = cut.reshape(n_images, n_rows, height, n_columns, width, n_bits)
    expected = np.where(minima, windows.min((2, 4)), windows.max((2, 4)))
    out = guarded((n_images, n_rows, n_columns, n_words(n_bits)), np.uint64)
    words, minima = frozen(pack_bits(images), pack_bits(minima))
    kernels.pool_images(words, height, width, minima, out)
    np.testing.assert_array_equal(out, pack_bits(expected))


# Image height, width and channels, pixels of a block, thresholds of a channel.
ENCODED = [(1, 1, 1, 1, 1), (5, 7, 1, 1, 3), (28, 28, 1, 2, 3), (6, 9, 3, 3, 4)]


def encoded_images(rng, dtype, n_rows, height, width, channels, block, n_thresholds):
    """Raw rows, the encoding's arguments and the bits that it shall give."""
    span = 2 if dtype == np.bool_ else 9
    X = rng.integers(0, span, (n_rows, height * width * channels)).astype(dtype)
    thresholds = rng.integers(0, span, block * block * channels * n_thresholds)
    rows = np.arange(block)[:, None, None, None] * width * channels
    columns = np.arange(block)[:, None, None] * channels
    features = rows + columns + np.arange(channels)[:, None] + np.zeros(n_thresholds, np.int64)
    steps = (block * width * channels, block * channels)
    images = X.reshape(n_rows, height // block, block, width // block, block, channels)
    images = np.repeat(images.transpose(0, 1, 3, 2, 4, 5), n_thresholds, -1)
    images = images.reshape(n_rows, height // block, width // block, thresholds.size)
    thresholds = thresholds.astype(np.float32)
    return X, thresholds, features.ravel(), steps, images.astype(np.float32) >= thresholds


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8, np.bool_])
@pytest.mark.parametrize("n_rows", [0, 1, pytest.param(3, id="compact")])
@pytest.mark.parametrize("shape", ENCODED)
def test_encode_images(kernels, rng, guarded, frozen, shape, n_rows, dtype):
    X, thresholds, features, steps, bits = encoded_images(rng, dtype, n_rows, *shape)
    out = guarded((*bits.shape[:3], n_words(bits.shape[3])), np.uint64)
    assert kernels.encode_images(*frozen(X, thresholds, features), steps, out) == 0
    np.testing.assert_array_equal(out, pack_bits(bits))


@pytest.mark.parametrize(
    ("values", "status"),
    [([np.nan], 1), ([-np.inf], 2), ([1e300], 2), ([np.inf, np.nan], 1), ([3.4e38], 0)],
)
@pytest.mark.parametrize("features", [[0], []], ids=["used", "unused"])
def test_encode_images_finds_values_that_are_not_finite(kernels, guarded, values, status, features):
    for place in range(12 - len(values)):
        X = np.zeros((2, 12))
        X[1, place : place + len(values)] = values
        out = guarded((2, 3, 4, len(features)), np.uint64)
        args = np.ones(len(features), np.float32), np.array(features, np.int64), (4, 1), out
        assert kernels.encode_images(X, *args) == status


def random_layer(rng, random_bits, images, n_units, rows, columns, stride, pool, gathers):
    """What convolve_signs takes beside images, and the bits that it shall make of these."""
    n_bits = images.shape[3]
    units = random_bits(n_units, rows, columns, n_bits)
    margins = (0, 0), (rows // 2, rows // 2), (columns // 2, columns // 2), (0, 0)
    pixel = random_bits(n_bits)
    padded = np.where(np.pad(np.ones(images.shape, np.bool_), margins), np.pad(images, margins),
                      pixel)  # fmt: skip
    counts = mismatches(padded, units, stride)
    n_lines, n_places = counts.shape[1:3]
    lines = np.unique([0, n_lines // 3, n_lines])
    limits = rng.integers(0, rows * columns * n_bits + 1, (len(lines) - 1, 1, n_units))
    bits = counts <= np.repeat(limits, np.diff(lines), 0)
    pool = min(pool[0], n_lines), pool[1]
    minima = random_bits(n_units)
    parts = [bits[:, i :: pool[0]][:, : n_lines // pool[0]] for i in range(pool[0])]
    expected = np.where(minima, np.all(parts, 0), np.any(parts, 0))
    flat = pack_bits(units.reshape(n_units, -1) if gathers else units).reshape(n_units, -1)
    blocks, bounds = comparison_layout(flat, limits, (1, 1) if gathers else (rows, columns))
    ends = lines, np.array([0, n_places])
    taps, n_gathered = (rows, columns, stride), n_bits if gathers else 0
    return (pack_bits(pixel), n_gathered, taps, blocks, bounds, *ends, pool, pack_bits(minima)), (
        expected
    )


@batches
@shapes
@pytest.mark.parametrize(("pool", "gathers"), [((1, 1), False), ((2, 1), True)])
def test_convolve_signs(
    kernels, random_bits, guarded, frozen, rng, n_images, height, width, n_bits, n_units,
    rows, columns, stride, pool, gathers,
):  # fmt: skip
    images = random_bits(n_images, height, width, n_bits)
    shape = n_units, rows, columns, stride, pool, gathers
    layer, expected = random_layer(rng, random_bits, images, *shape)
    out = guarded((*expected.shape[:3], n_words(n_units)), np.uint64)
    frozen(*(part for part in layer if isinstance(part, np.ndarray)))
    kernels.convolve_signs(frozen(pack_bits(images)), *layer, out)
    np.testing.assert_array_equal(out, pack_bits(expected))


# Units, window height and width, stride, pool, whether windows are gathered.
LAYERS = [
    (70, 3, 3, 1, (2, 1), True),
    (100, 1, 5, 2, (1, 1), False),
    (270, 3, 7, 1, (1, 1), False),
]


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize(
    ("n_rows", "dtype"),
    [(0, np.uint8), (1, np.float64), pytest.param(3, np.uint8, id="compact")],
)
def test_run_convolutions(kernels, random_bits, guarded, frozen, rng, n_layers, n_rows, dtype):
    X, *encoding, bits = encoded_images(rng, dtype, n_rows, 28, 28, 1, 2, 3)
    sizes, table, arrays = (14, 14, 1), [], [[], [], [], []]
    for shape in LAYERS[:n_layers]:
        layer, bits = random_layer(rng, random_bits, bits, *shape)
        pixel, n_bits, taps, units, limits, lines, columns, pool, minima = layer
        zones = limits.shape[:2]
        table.append([n_bits, *taps, *units.shape, *zones, *pool, *bits.shape[1:3]])
        for parts, new in zip(arrays, [[units], [limits], [lines, columns], [pixel, minima]],
                              strict=True):  # fmt: skip
            parts += [array.ravel() for array in new]
    layout = np.array(table), *map(np.concatenate, arrays)
    out = guarded((*bits.shape[:3], n_words(bits.shape[3])), np.uint64)
    frozen(X, *encoding[:2], *layout)
    assert kernels.run_convolutions(X, *encoding, sizes, *layout, out) == 0
    np.testing.assert_array_equal(out, pack_bits(bits))
    if n_rows and dtype == np.float64:
        for value, status in [(np.nan, 1), (-np.inf, 2)]:
            bad = np.where(np.arange(784) == 783, value, X)
            assert kernels.run_convolutions(bad, *encoding, sizes, *layout, out.copy()) == status


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
@pytest.mark.parametrize(("pool", "n_out"), [((1, 1), 5), ((2, 3), 9), ((5, 7), 3)])
def test_pool_channels(kernels, rng, guarded, frozen, pool, n_out, dtype):
    images = rng.integers(-99, 100, (3, 5, 7, 5)).astype(dtype)
    out = guarded((3, 5 // pool[0], 7 // pool[1], n_out), dtype)
    kernels.pool_channels(frozen(images), *pool, out)
    for n, y, x, channel in np.ndindex(out.shape):
        window = images[n, y * pool[0] :, x * pool[1] :][: pool[0], : pool[1]]
        expected = window[..., channel].max() if channel < 5 else 0
        assert out[n, y, x, channel] == expected
