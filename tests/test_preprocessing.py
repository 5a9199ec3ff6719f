"""ThermometerEncoder: thresholds of each strategy, bits, names and the way back."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import make_pipeline

from skbnn import BinaryLogisticRegression, ThermometerEncoder

STRATEGIES = ("distinct", "quantile", "uniform")
every = pytest.mark.parametrize("strategy", STRATEGIES)


@pytest.mark.parametrize(
    ("strategy", "column", "thresholds"),
    [
        ("distinct", [0, 1, 2, 3], [0.5, 1.5, 2.5]),
        ("distinct", [0, 0, 0, 0, 0, 1, 2, 3], [0.5, 1.5, 2.5]),
        ("distinct", [5, 5, 7], [6.0]),
        ("distinct", [4, 4], []),
        ("quantile", [0, 1, 2, 3, 4, 5, 6, 7], [1.5, 3.5, 5.5]),
        ("quantile", [0, 0, 0, 0, 0, 1, 2, 2], [0.5, 1.5]),
        ("uniform", [0, 0, 0, 8], [2.0, 4.0, 6.0]),
        ("uniform", [3, 3], []),
    ],
)
def test_thresholds(strategy, column, thresholds):
    X = np.array(column, dtype=float)[:, None]
    encoder = ThermometerEncoder(3, strategy=strategy).fit(X)
    assert [list(t) for t in encoder.thresholds_] == [thresholds]
    assert encoder.thresholds_[0].dtype == np.float32
    assert encoder.counts_.tolist() == [len(thresholds)]
    assert (encoder.data_min_, encoder.data_max_) == (min(column), max(column))


@settings(deadline=None, max_examples=80)
@given(
    arrays(
        st.sampled_from([np.float32, np.float64, np.uint8, np.bool_]),
        st.tuples(st.integers(1, 40), st.integers(1, 70)),
        elements=st.integers(0, 1),
        fill=st.nothing(),
    ),
    st.integers(1, 9),
    st.sampled_from(STRATEGIES),
    st.integers(0, 999),
)
def test_bits_are_comparisons(X, n_thresholds, strategy, seed):
    if X.dtype != np.bool_:
        factors = np.random.default_rng(seed).integers(0, 200, X.shape)
        X = (X * factors).astype(X.dtype)
    encoder = ThermometerEncoder(n_thresholds, strategy=strategy).fit(X)
    bits = encoder.transform(X)
    assert bits.dtype == np.uint8
    columns = [
        X[:, feature].astype(np.float32) >= threshold
        for feature, thresholds in enumerate(encoder.thresholds_)
        for threshold in thresholds
    ]
    np.testing.assert_array_equal(bits, np.array(columns).reshape(-1, len(X)).T)
    # Every threshold parts the rows of fit, and no feature has more than was asked for.
    if strategy != "uniform":
        assert (bits.min(0) < bits.max(0)).all()
    assert encoder.counts_.max() <= n_thresholds


@every
def test_inverse_transform_gives_bin_centres(strategy):
    X = np.random.default_rng(0).normal(size=(500, 3)) * [1, 10, 0]
    encoder = ThermometerEncoder(15, strategy=strategy).fit(X)
    bits = encoder.transform(X)
    back = encoder.inverse_transform(bits)
    assert back.shape == X.shape
    np.testing.assert_array_equal(back[:, 2], 0)
    np.testing.assert_array_equal(encoder.transform(back), bits)
    for feature in (0, 1):
        thresholds = encoder.thresholds_[feature].astype(float)
        edges = [X[:, feature].min(), *thresholds, X[:, feature].max()]
        place = np.searchsorted(thresholds, X[:, feature].astype(np.float32), side="right")
        centres = (np.array(edges)[:-1] + edges[1:]) / 2
        np.testing.assert_allclose(back[:, feature], centres[place])
    with pytest.raises(ValueError, match=r"shape \(500, 29\), but codes .* have 30 bits"):
        encoder.inverse_transform(bits[:, 1:])


@every
def test_forms_of_input(strategy):
    X = np.random.default_rng(0).integers(0, 9, (50, 6)).astype(float)
    expected = ThermometerEncoder(strategy=strategy).fit_transform(X)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    for form in (X.tolist(), csr_array(X), frame, pl.DataFrame(X), X.astype(np.float32)):
        np.testing.assert_array_equal(
            ThermometerEncoder(strategy=strategy).fit_transform(form), expected
        )


def test_names():
    X = pd.DataFrame({"age": [1.0, 2.0, 3.0], "same": [5.0] * 3, "height": [0.0, 1.0, 0.0]})
    encoder = ThermometerEncoder(3).fit(X)
    assert list(encoder.get_feature_names_out()) == ["age>=1.5", "age>=2.5", "height>=0.5"]
    encoder.set_output(transform="pandas")
    assert list(encoder.transform(X).columns) == list(encoder.get_feature_names_out())
    with pytest.raises(ValueError, match="input_features"):
        encoder.get_feature_names_out(["a", "b", "c"])


def test_is_the_code_of_the_networks(digits):
    X, X_test, y, _ = digits
    est = BinaryLogisticRegression(max_iter=1, n_thresholds=2, random_state=0).fit(X, y)
    encoder = ThermometerEncoder(2).fit(X)
    mine, theirs = encoder._operation, est.packed_.operations[0]
    np.testing.assert_array_equal(mine.thresholds, theirs.thresholds)
    np.testing.assert_array_equal(mine.counts, theirs.counts)


def test_more_rows_than_a_block():
    X = np.random.default_rng(0).normal(size=(9000, 3))
    encoder = ThermometerEncoder(2).fit(X)
    bits = encoder.transform(X)
    np.testing.assert_array_equal(bits[8990:], encoder.transform(X[8990:]))
    np.testing.assert_array_equal(encoder.transform(csr_array(X)), bits)


def test_in_a_pipeline(digits):
    X, X_test, y, y_test = digits
    pipeline = make_pipeline(ThermometerEncoder(3), BernoulliNB())
    assert pipeline.fit(X, y).score(X_test, y_test) > 0.85


@pytest.mark.parametrize(
    ("params", "X", "message"),
    [
        ({"n_thresholds": 0}, [[0.0]], "The 'n_thresholds' parameter"),
        ({"n_thresholds": 256}, [[0.0]], "The 'n_thresholds' parameter"),
        ({"strategy": "kmeans"}, [[0.0]], "The 'strategy' parameter"),
        ({}, [[np.nan]], "Input X contains NaN"),
        ({}, [[1e39]], "infinity or a value too large"),
        ({}, [1.0], "Expected 2D array"),
    ],
)
def test_bad_input(params, X, message):
    with pytest.raises(ValueError, match=message):
        ThermometerEncoder(**params).fit(X)


def test_bad_rows():
    encoder = ThermometerEncoder().fit([[0.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="NaN"):
        encoder.transform([[0.0, np.nan]])
    with pytest.raises(ValueError, match="X has 1 features, but ThermometerEncoder is expecting 2"):
        encoder.transform([[0.0]])
