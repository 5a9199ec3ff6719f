"""Kernels that make bits, against comparisons in plain NumPy."""

import numpy as np
import pytest

from skbnn.bits import n_words, open_layout, pack_bits, threshold_layout, unpack_bits

WIDTHS = [1, 63, 64, 65, 130, 784]
BATCHES = [0, 1, 3, 64, 65]


def features_of(counts):
    """Return the feature of each bit, plane by plane."""
    planes = [np.flatnonzero(counts > p) for p in range(counts.max(initial=0))]
    return np.concatenate([*planes, np.empty(0, np.intp)])


def random_rows(rng, shape, dtype):
    """Return rows of every dtype that is encoded, with few distinct values."""
    return (rng.integers(0, 12, shape) // (6 if dtype == np.bool_ else 1)).astype(dtype)


ENCODED = [(n_bits, n) for n_bits in WIDTHS for n in BATCHES]
COMPACT = pytest.param(130, 35, id="compact")


@pytest.mark.parametrize("limit_dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8, np.bool_])
@pytest.mark.parametrize(("n_features", "n_rows"), [*ENCODED, COMPACT])
def test_encode_thresholds(kernels, rng, guarded, frozen, n_features, n_rows, dtype, limit_dtype):
    X = random_rows(rng, (n_rows, n_features), dtype)
    counts = rng.integers(0, 4, n_features).astype(np.uint8)
    thresholds = rng.integers(0, 12, counts.sum(dtype=int)).astype(limit_dtype)
    out = guarded((n_rows, n_words(len(thresholds))), np.uint64)
    layout = frozen(*threshold_layout(counts, thresholds))
    assert kernels.encode_thresholds(frozen(X), *layout, out) == 0
    expected = X.astype(np.float32)[:, features_of(counts)] >= thresholds
    np.testing.assert_array_equal(out, pack_bits(expected))


@pytest.mark.parametrize("count", [0, 1, 255])
def test_encode_thresholds_with_equal_counts(kernels, rng, guarded, frozen, count):
    X = random_rows(rng, (40, 70), np.uint8)
    counts = np.full(70, count, np.uint8)
    thresholds = rng.integers(0, 12, 70 * count).astype(np.uint8)
    out = guarded((40, n_words(70 * count)), np.uint64)
    layout = frozen(*threshold_layout(counts, thresholds))
    assert kernels.encode_thresholds(frozen(X), *layout, out) == 0
    np.testing.assert_array_equal(out, pack_bits(X[:, features_of(counts)] >= thresholds))


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("n_features", WIDTHS)
@pytest.mark.parametrize("n_rows", [1, 65])
def test_open_rows_hold_the_same_bits(kernels, rng, guarded, frozen, n_features, n_rows, dtype):
    X = random_rows(rng, (n_rows, n_features), dtype)
    counts = rng.integers(0, 4, n_features).astype(np.uint8)
    thresholds = rng.integers(0, 12, counts.sum(dtype=int)).astype(np.uint8)
    layout, places = open_layout(threshold_layout(counts, thresholds))
    out = guarded((n_rows, len(layout.firsts)), np.uint64)
    assert kernels.encode_thresholds(frozen(X), *frozen(*layout), out) == 0
    bits = unpack_bits(out, 64 * out.shape[1])
    np.testing.assert_array_equal(bits[:, places], X[:, features_of(counts)] >= thresholds)
    bits[:, places] = False
    assert not bits.any()
    if dtype == np.float32:
        X = np.where(np.arange(n_features) == n_features - 1, np.nan, X)
        assert kernels.encode_thresholds(X, *layout, out) == 1


def encode(kernels, guarded, frozen, X, counts, thresholds):
    """Encode rows and return (status, words)."""
    out = guarded((len(X), n_words(len(thresholds))), np.uint64)
    layout = threshold_layout(np.asarray(counts, np.uint8), np.asarray(thresholds, np.float32))
    return kernels.encode_thresholds(frozen(X), *frozen(*layout), out), out


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_encode_special_values(kernels, guarded, frozen, dtype):
    thresholds = [0.0, -0.0, 0.1, 1e-45, -1e-45, 3.4028235e38]
    X = np.array([[-0.0, 0.0, 0.1, 0.0, 0.0, 3.4028235e38], [-1e-30] * 6], dtype)
    status, out = encode(kernels, guarded, frozen, X, [1] * 6, thresholds)
    assert status == 0
    # 0.1 as float64 is less than 0.1 as float32, but is rounded to it first.
    assert [int(row) for row in out[:, 0]] == [0b110111, 0]


@pytest.mark.parametrize("n_features", [3, 64, 70, 130])
@pytest.mark.parametrize("counts_of", [np.zeros, np.ones], ids=["unused", "used"])
@pytest.mark.parametrize(
    ("values", "status"),
    [
        ([np.nan], 1),
        ([-np.nan], 1),
        ([np.inf], 2),
        ([-np.inf], 2),
        ([np.inf, np.nan], 1),
        ([np.nan, -np.inf], 1),
        ([3.4028235e38], 0),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_encode_finds_values_that_are_not_finite(
    kernels, guarded, frozen, dtype, values, status, counts_of, n_features
):
    counts = counts_of(n_features)
    for feature in range(n_features - 1):
        for row in (0, 36):
            X = np.zeros((37, n_features), dtype)
            X[row, feature : feature + len(values)] = values
            found, _ = encode(kernels, guarded, frozen, X, counts, np.ones(int(counts.sum())))
            assert found == status


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (np.finfo(np.float32).max, 0),
        (np.nextafter(2.0**128 - 2.0**103, 0), 0),
        (2.0**128 - 2.0**103, 2),
        (-(2.0**128), 2),
        (1e300, 2),
    ],
)
def test_encode_float64_beyond_float32(kernels, guarded, frozen, value, status):
    X = np.array([[0.0, value]])
    assert encode(kernels, guarded, frozen, X, [1, 1], [0.5, 0.5])[0] == status


@pytest.mark.parametrize(("n_features", "n_rows"), [*ENCODED, COMPACT])
@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_encode_planes(kernels, rng, guarded, frozen, n_features, n_rows, share):
    X = rng.integers(0, 256, (n_rows, n_features)).astype(np.uint8)
    columns = np.flatnonzero(rng.random(n_features) < share).astype(np.int32)
    out = guarded((n_rows, 8, n_words(len(columns))), np.uint64)
    kernels.encode_planes(*frozen(X, columns), out)
    for plane in range(8):
        expected = (X[:, columns] >> plane) & 1
        np.testing.assert_array_equal(out[:, plane], pack_bits(expected))


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("n_rows", BATCHES)
@pytest.mark.parametrize("n_units", [1, 10, 64, 65, 100, pytest.param(130, id="compact")])
def test_threshold_sums(kernels, rng, guarded, frozen, n_units, n_rows, dtype):
    sums = rng.integers(-4, 4, (n_rows, n_units)).astype(dtype)
    thresholds = rng.integers(-4, 4, n_units).astype(dtype)
    thresholds[::7] = np.iinfo(dtype).max
    thresholds[3::7] = np.iinfo(dtype).min
    out = guarded((n_rows, n_words(n_units)), np.uint64)
    kernels.threshold_sums(*frozen(sums, thresholds), out)
    np.testing.assert_array_equal(out, pack_bits(sums >= thresholds))
