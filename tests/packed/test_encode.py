"""Input operations, and how thresholds are chosen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from skbnn.bits import backend, unpack_bits
from skbnn.packed.encode import (
    BitPlanes,
    Standardize,
    Thermometer,
    refuse_not_finite,
    thresholds_of,
)
from skbnn.packed.values import BitCode, Raw, Reals

STRATEGIES = ["distinct", "quantile", "uniform"]
FLOAT32_MAX = float(np.finfo(np.float32).max)
NAN = r"^Input X contains NaN\. Fill in missing values first, .*SimpleImputer\.$"
INFINITE = (
    r"^Input X contains infinity or a value too large for dtype\('float32'\)\. Clip or scale it\.$"
)


def defined_bits(X, counts, thresholds):
    """The definition: plane by plane, feature by feature, whether float32(x) >= t."""
    place, columns = 0, []
    for plane in range(int(counts.max(initial=0))):
        for feature in np.flatnonzero(counts > plane):
            columns.append(X[:, feature].astype(np.float32) >= np.float32(thresholds[place]))
            place += 1
    assert place == len(thresholds)
    return np.array(columns, bool).reshape(len(thresholds), len(X)).T


def bits_of(operation, X, kernels):
    """Unpacked result of a thermometer."""
    words = operation.prepare(kernels)(X)
    assert words.shape[:2] == (len(X), 1)
    return unpack_bits(words[:, 0], operation.gives.n_bits)


def separated(counts, thresholds):
    """Thresholds of each feature, from the order by planes."""
    features = Thermometer(counts, thresholds).features
    return [thresholds[features == feature] for feature in range(len(counts))]


def tables(dtype, n_features):
    """Random matrices with repeated values and constant features."""
    rng = np.random.default_rng(n_features)
    X = rng.integers(0, 256, (53, n_features)) // rng.integers(1, 200, n_features)
    X[:, ::5] = 7
    return (X % 2 if dtype == np.bool_ else X).astype(dtype)


@pytest.mark.parametrize("n_features", [1, 63, 64, 65, 130])
@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.float32, np.float64])
def test_thermometer_equals_its_definition(kernels, dtype, n_features):
    X = tables(dtype, n_features)
    X.flags.writeable = False
    for strategy in STRATEGIES:
        counts, thresholds = thresholds_of(X, 3, strategy)
        operation = Thermometer(counts, thresholds)
        assert (operation.takes, operation.gives) == (Raw(n_features), BitCode(len(thresholds)))
        for dtype_read in {dtype, np.float64}:
            read = X.astype(dtype_read)
            found = bits_of(operation, read, kernels)
            np.testing.assert_array_equal(found, defined_bits(X, counts, thresholds))


def test_values_are_rounded_to_float32_before_they_are_compared(kernels):
    limit = np.float32(0.1)
    operation = Thermometer(np.array([1], np.uint8), np.array([limit]))
    beyond = FLOAT32_MAX * (1 + 1e-8)
    below = np.nextafter(limit, np.float32(0))
    X = np.array([[float(limit) - 1e-12], [float(below)], [-0.0], [beyond], [-beyond]])
    assert beyond > FLOAT32_MAX
    assert bits_of(operation, X, kernels)[:, 0].tolist() == [True, False, False, True, False]


def test_ill_formed_thermometers_are_refused():
    def make(counts, thresholds, dtype=np.float32):
        return Thermometer(np.array(counts, np.uint8), np.array(thresholds, dtype))

    np.testing.assert_array_equal(make([2, 0, 1], [1, 1, 2]).features, [0, 2, 0])
    for thresholds in ([1, 9, 1], [2, 9, 1]):
        with pytest.raises(ValueError, match="rise"):
            make([2, 0, 1], thresholds)
        with pytest.raises(ValueError, match="rise"):
            make([2, 0, 1], thresholds, np.uint8)
    with pytest.raises(ValueError, match="thresholds has shape"):
        make([2, 0, 1], [1, 1])
    with pytest.raises(ValueError, match="not finite"):
        make([1], [np.nan])
    with pytest.raises(ValueError, match="thresholds has dtype"):
        make([1], [1], np.float64)
    with pytest.raises(ValueError, match="counts has dtype"):
        Thermometer(np.array([1]), np.array([1], np.float32))


def test_one_feature_with_all_thresholds_beside_many_with_none_is_checked_in_no_time():
    counts = np.zeros(1_000_000, np.uint8)
    counts[5] = 255
    operation = Thermometer(counts, np.arange(255, dtype=np.float32))
    assert set(operation.features) == {5}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, NAN), (np.inf, INFINITE), (-np.inf, INFINITE)]
)
@pytest.mark.parametrize("place", [0, 3])
def test_values_that_are_not_finite_are_refused(kernels, dtype, value, message, place):
    operations = [
        Thermometer(np.array([1, 1, 1, 0], np.uint8), np.zeros(3, np.float32)),
        BitPlanes(np.array([0, 1], np.int32), 4),
        Standardize(np.array([0], np.int32), np.zeros(1, "f4"), np.ones(1, "f4"), 4),
    ]
    X = np.zeros((70, 4), dtype)
    X[-1, place] = value
    for operation in operations:
        run = operation.prepare(kernels)
        run(np.zeros_like(X))
        with pytest.raises(ValueError, match=message):
            run(X)
    with pytest.raises(ValueError, match=message):
        refuse_not_finite(X)
    for strategy in STRATEGIES:
        for given_x in (X, sparse.csr_array(X)):
            with pytest.raises(ValueError, match=message):
                thresholds_of(given_x, 2, strategy)


def test_float64_beyond_float32_is_refused_and_nan_is_named_first(kernels):
    operation = Thermometer(np.array([1, 1], np.uint8), np.zeros(2, np.float32))
    run = operation.prepare(kernels)
    with pytest.raises(ValueError, match=INFINITE):
        run(np.array([[1e39, 0.0]]))
    with pytest.raises(ValueError, match=INFINITE):
        thresholds_of(np.array([[1e39], [0.0]]), 1)
    with pytest.raises(ValueError, match=INFINITE):
        refuse_not_finite(np.array([[1e39]]))
    with pytest.raises(ValueError, match=NAN):
        run(np.array([[np.inf, np.nan]]))
    with pytest.raises(ValueError, match=NAN):
        refuse_not_finite(np.array([[np.inf, np.nan]]))
    edge = np.array([[FLOAT32_MAX * (1 + 1e-8), 0.0]])
    refuse_not_finite(edge)
    run(edge)


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    X=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
        | st.sampled_from([0.0, -0.0, 1.0, 2.0]),
    ),
    n_thresholds=st.integers(1, 12),
)
def test_every_threshold_parts_values_of_its_feature(strategy, X, n_thresholds):
    counts, thresholds = thresholds_of(X, n_thresholds, strategy)
    assert (counts.dtype, thresholds.dtype) == (np.uint8, np.float32)
    for column, found in zip(X.T, separated(counts, thresholds), strict=True):
        distinct = np.unique(column)
        assert len(found) <= n_thresholds
        assert (len(found) > 0) == (len(distinct) > 1)
        assert not np.signbit(found[found == 0]).any()
        assert (np.diff(found) > 0).all()
        assert ((found > distinct[0]) & (found <= distinct[-1])).all()
        codes = np.unique(distinct[:, None] >= found, axis=0)
        if strategy != "uniform":
            assert len(codes) == len(found) + 1
        if strategy == "distinct":
            # All values told apart, or near equal numbers of them on every step.
            assert len(found) == min(n_thresholds, len(distinct) - 1)
            sizes = np.diff([0, *np.searchsorted(distinct, found), len(distinct)])
            assert len(found) < n_thresholds or np.ptp(sizes) <= 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_thresholds_do_not_depend_on_dtype_container_or_order(strategy):
    X = tables(np.uint8, 70)
    expected = thresholds_of(X, 4, strategy)
    for other in (X, X.astype(np.float32), X.astype(np.float64)):
        dense = thresholds_of(other, 4, strategy)
        for column, bytes_, reals in zip(X.T, separated(*expected), separated(*dense), strict=True):
            # Equal steps may lie between the same two whole numbers, which bytes need only once.
            codes = np.unique(column[:, None] >= reals, axis=1)
            np.testing.assert_array_equal(codes, np.unique(column[:, None] >= bytes_, axis=1))
            assert strategy == "uniform" or len(bytes_) == len(reals)
        for form in (sparse.csr_array, sparse.csc_matrix, sparse.coo_array):
            for found, value in zip(thresholds_of(form(other), 4, strategy), dense, strict=True):
                np.testing.assert_array_equal(found, value)
    for found, value in zip(thresholds_of(X[::-1], 4, strategy), expected, strict=True):
        np.testing.assert_array_equal(found, value)
        assert found.dtype == value.dtype


def test_distinct_thresholds_ignore_repeats_and_others_of_quantile_do_not():
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    repeated = np.concatenate([X, np.repeat(X[:1], 50, axis=0)])
    assert thresholds_of(X, 3)[1].tolist() == [0.5, 1.5, 2.5]
    assert thresholds_of(repeated, 3)[1].tolist() == [0.5, 1.5, 2.5]
    assert thresholds_of(repeated, 3, "quantile")[1].tolist() == [0.5]


@pytest.mark.parametrize("seed", range(5))
def test_quantile_thresholds_part_the_rows_at_the_quantiles(seed):
    column = np.random.default_rng(seed).normal(size=101).astype(np.float32)
    _, thresholds = thresholds_of(column[:, None], 4, "quantile")
    goals = np.quantile(column.astype(np.float64), [0.2, 0.4, 0.6, 0.8])
    for threshold, goal in zip(thresholds, goals, strict=True):
        np.testing.assert_array_equal(column >= threshold, column > goal)


def test_uniform_thresholds_are_equal_steps():
    assert thresholds_of(np.array([[0.0], [10.0]]), 4, "uniform")[1].tolist() == [2, 4, 6, 8]
    pixels = np.array([[0], [9]], np.uint8)
    counts, thresholds = thresholds_of(pixels, 3, "uniform")
    assert (thresholds.tolist(), thresholds.dtype) == ([3, 5, 7], np.uint8)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("low", [1.0, -1.0, 0.0, 1e-45, 1e30, -1e-45])
def test_neighbours_in_float32_are_told_apart(strategy, low):
    low = np.float32(low)
    high = np.nextafter(low, np.float32(np.inf))
    counts, thresholds = thresholds_of(np.array([[low], [high]]), 3, strategy)
    assert counts.tolist() == [1]
    assert low < thresholds[0] <= high


def test_float64_values_that_are_one_in_float32_count_as_constant():
    X = np.array([[1.0, 1.0], [1.0 + 1e-12, 2.0]])
    assert thresholds_of(X, 3)[0].tolist() == [0, 1]


@pytest.mark.parametrize("n_used", [1, 63, 64, 65])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_bit_planes_decode_to_pixels(kernels, dtype, n_used):
    rng = np.random.default_rng(n_used)
    columns = np.sort(rng.permutation(90)[:n_used]).astype(np.int32)
    X = rng.integers(0, 256, (67, 90), np.uint8)
    X[:2] = [[0], [255]]
    operation = BitPlanes(columns, 90)
    words = operation.prepare(kernels)(X.astype(dtype))
    code = operation.gives
    assert words.shape == (67, 8, -(-n_used // 64))
    signs = np.where(unpack_bits(words, n_used), 1, -1)
    values = code.offset + np.einsum("k,nki->ni", code.scales, signs)
    np.testing.assert_array_equal(values, 2 * X[:, columns].astype(int))
    assert code.largest == 510


def test_bool_rows_are_pixels_too(kernels):
    X = np.array([[True, False]])
    words = BitPlanes(np.array([0, 1], np.int32), 2).prepare(kernels)(X)
    assert words.ravel().tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("value", [0.5, -1.0, 256.0, 1e30, 254.99999999999997])
def test_values_that_are_no_pixels_are_refused(kernels, value):
    run = BitPlanes(np.array([0], np.int32), 2).prepare(kernels)
    for X in ([[value, 1.0]], [[1.0, value]]):
        with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
            run(np.array(X))


@pytest.mark.parametrize("columns", [[1, 0], [0, 0], [-1, 0], [0, 3]])
def test_columns_must_rise_within_the_features(columns):
    columns = np.array(columns, np.int32)
    with pytest.raises(ValueError, match="rise"):
        BitPlanes(columns, 3)
    with pytest.raises(ValueError, match="rise"):
        Standardize(columns, np.zeros(2, "f4"), np.ones(2, "f4"), 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.float32, np.float64])
def test_standardize_equals_its_formula_in_float64(dtype):
    X = tables(dtype, 9)
    columns = np.array([1, 2, 7], np.int32)
    means, scales = np.array([0.1, 3, -2], np.float32), np.array([2, 1 / 3, 1e-3], np.float32)
    operation = Standardize(columns, means, scales, 9)
    found = operation.prepare(backend("numpy"))(X)
    expected = (X[:, columns].astype(float) - means.astype(float)) * scales.astype(float)
    assert (operation.takes, operation.gives, found.dtype) == (Raw(9), Reals(3), np.float64)
    np.testing.assert_array_equal(found, expected)


def test_ill_formed_standardize_is_refused():
    columns = np.array([0, 2], np.int32)
    with pytest.raises(ValueError, match="means has shape"):
        Standardize(columns, np.zeros(3, "f4"), np.ones(2, "f4"), 3)
    with pytest.raises(ValueError, match="scales holds values that are not finite"):
        Standardize(columns, np.zeros(2, "f4"), np.array([1, np.inf], "f4"), 3)
    with pytest.raises(ValueError, match="at least one feature"):
        Standardize(columns[:0], np.zeros(0, "f4"), np.ones(0, "f4"), 0)
