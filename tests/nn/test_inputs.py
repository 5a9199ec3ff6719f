"""Inputs: prepared rows, their batches and the frozen module agree with the packed operation."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from skbnn.bits import backend, unpack_bits
from skbnn.nn.inputs import Input, StandardizeInput, ThermometerInput, fit_input, make_input
from skbnn.nn.rows import Rows
from skbnn.packed import ImageLayout
from skbnn.packed.encode import thresholds_of
from skbnn.techniques import get_technique, list_techniques


def table(dtype=np.float64, n=60):
    """Return rows with a constant, a binary and some continuous columns, 70 in all."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 70))
    X[:, 3], X[:, 69] = 7, rng.integers(0, 2, n)
    return (np.abs(100 * X) % 256 if dtype == np.uint8 else X).astype(dtype)


def fitted(technique, X, weight=None, n_thresholds=3):
    n = X.shape[0]
    y = np.arange(n) % 3
    weight = np.ones(n) if weight is None else weight
    return fit_input(get_technique(technique), X, y, weight, n_thresholds)


@pytest.mark.parametrize("technique", list_techniques())
def test_kind_follows_the_activations(technique):
    is_real = get_technique(technique).activations == "real"
    kind = StandardizeInput if is_real else ThermometerInput
    inputs = fitted(technique, table())
    assert type(inputs) is kind
    assert type(make_input(inputs.operation)) is kind
    assert inputs.signal.value == inputs.operation.gives


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8, np.bool_])
@pytest.mark.parametrize("sparse", [False, True])
def test_coded(dtype, sparse):
    X = table(dtype)
    given = csr_array(X) if sparse else X
    inputs = fitted("bnn", given)
    n_bits = inputs.operation.gives.n_bits
    words = inputs.operation.prepare(backend("numpy"))(X)[:, 0]
    expected = np.where(unpack_bits(words, n_bits), 1.0, -1.0)

    rows = inputs.rows(given)
    np.testing.assert_array_equal(rows.data, words)
    index = np.array([5, 0, 59, 5])
    batch = rows.batch(index)
    assert batch.dtype == torch.int8
    np.testing.assert_array_equal(batch.numpy(), expected[index])
    np.testing.assert_array_equal(rows.take(index).batch(np.array([2])), expected[[59]])
    np.testing.assert_array_equal(inputs(torch.from_numpy(X)).numpy(), expected)


@pytest.mark.parametrize("sparse", [False, True])
def test_standardized(sparse):
    X = table()
    given = csr_array(X) if sparse else X
    inputs = fitted("float", given)
    rows = inputs.rows(given)
    batch = rows.batch(np.arange(60)).numpy()
    assert batch.dtype == np.float32
    assert batch.shape == (60, 69)
    np.testing.assert_allclose(batch.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(batch.std(0), 1, rtol=1e-5)
    packed = inputs.operation.prepare(backend("auto"))(X)
    np.testing.assert_allclose(batch, packed, rtol=1e-5, atol=1e-5)
    # A value is rounded to float32 in training; the program reads it as it is.
    np.testing.assert_array_equal(inputs(torch.from_numpy(X)).numpy(), packed)
    np.testing.assert_array_equal(rows.take(np.array([7, 3])).batch(np.array([1])), batch[[3]])


def test_means_and_scales_of_weights_are_those_of_repetitions():
    # Rows that cancel each other leave a mean of nothing but rounding, which any order would move.
    half = table(np.float32, 30)
    X = np.concatenate([half, -half])
    weight = np.tile(np.arange(30) % 3 + 1.0, 2)
    index = np.random.default_rng(1).permutation(np.repeat(np.arange(60), weight.astype(int)))
    y = np.arange(60) % 3
    a = StandardizeInput.fit(X, y, weight, 3).operation
    b = StandardizeInput.fit(X[index], y[index], np.ones(len(index)), 3).operation
    np.testing.assert_array_equal(a.means, b.means)
    np.testing.assert_array_equal(a.scales, b.scales)
    plain = fitted("float", X).operation
    assert not np.array_equal(a.scales, plain.scales)


def test_no_row_is_far_away():
    """A pixel that few images light counts as much as others, and not by far more."""
    rng = np.random.default_rng(0)
    X = rng.normal(5, 3, (2000, 4)).astype(np.float32)
    # One of 2,000 rows would be 45 standard deviations away.
    X[:, 2] = 0
    X[7, 2] = 200
    X[:, 3] = -X[:, 2]
    operation = fitted("float", X).operation
    reals = (X - X.mean(0)) * operation.scales
    np.testing.assert_allclose(reals[:, :2].std(0), 1, rtol=1e-4)
    np.testing.assert_allclose(np.abs(reals[:, 2:]).max(0), 4, rtol=1e-4)
    # Units do not matter.
    metres = fitted("float", X * np.float32(1024)).operation
    np.testing.assert_array_equal(metres.scales * 1024, operation.scales)


def test_features_that_hardly_vary_have_a_finite_scale():
    X = np.array([[0.0, 1e-44], [1.0, 0.0], [2.0, 0.0]], np.float32)
    operation = fit_input(get_technique("float"), X, np.zeros(3, int), np.ones(3), 1).operation
    assert np.isfinite(operation.scales).all()
    assert operation.scales[1] > 1e38


def test_thresholds_do_not_depend_on_weights():
    X = table()
    a, b = fitted("bnn", X), fitted("bnn", X, np.linspace(1, 9, 60))
    np.testing.assert_array_equal(a.operation.thresholds, b.operation.thresholds)


def test_negative_zero_is_zero():
    X = np.array([[0.0, 1.0], [-0.0, 2.0], [1.0, 3.0]])
    for technique in ("float", "bnn"):
        rows = fitted(technique, X).rows(X[:, ::1] * [1, 0])
        keys, (a, b, c) = rows.keys(), rows.batch(np.arange(3))
        assert keys[0].tobytes() == keys[1].tobytes() != keys[2].tobytes()
        assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize("technique", ["float", "bnn"])
@pytest.mark.parametrize(("bad", "message"), [(np.nan, "contains NaN"), (1e300, "infinity or a")])
def test_not_finite(technique, bad, message):
    X = table()
    inputs = fitted(technique, X)
    X[40, 3] = bad
    for call in (lambda: fitted(technique, X), lambda: inputs.rows(X).keys()):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("technique", ["float", "bnn"])
def test_constant_rows_have_no_width(technique):
    X = np.full((4, 3), 2.5)
    inputs = fitted(technique, X)
    assert inputs.operation.gives.width == 0
    assert inputs.rows(X).batch(np.arange(2)).shape == (2, 0)
    assert inputs(torch.from_numpy(X)).shape == (4, 0)


def test_a_kind_says_what_it_lacks():
    operation = fitted("bnn", table()).operation
    for call in (
        lambda: Input.fit(None, None, None, 3),
        lambda: Input(operation).rows(None),
        lambda: Rows(np.ones(1)).take(0),
        lambda: Rows(np.ones(1)).batch(0),
        lambda: Rows(np.ones(1)).keys(),
    ):
        with pytest.raises(TypeError, match="defines no"):
            call()


@pytest.mark.parametrize("technique", ["bnn", "float"])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_images(technique, form):
    """What is trained on is what the frozen network and the packed program read."""
    rng = np.random.default_rng(0)
    layout = ImageLayout((4, 6, 3), 2)
    X = rng.integers(0, 9, (30, 72)).astype(np.float32)
    X[:, 1::3] = 5
    y, weight = np.arange(30) % 2, rng.uniform(0.5, 2, 30)
    inputs = fit_input(get_technique(technique), form(X), y, weight, 3, layout)
    operation = inputs.operation
    # Two channels vary; four pixels become one.
    bits = 3 if technique == "bnn" else 1
    assert operation.shape == (2, 3, 4 * 2 * bits)
    assert type(make_input(operation)) is type(inputs)
    rows = inputs.rows(form(X)).batch(np.arange(30))
    assert rows.dtype == (torch.int8 if technique == "bnn" else torch.float32)
    frozen = inputs(torch.from_numpy(X))
    np.testing.assert_allclose(rows, frozen, rtol=1e-5, atol=1e-6)
    packed = operation.prepare(backend("auto"))(X)
    if technique == "bnn":
        packed = np.where(unpack_bits(packed[:, 0], 24), 1, -1).reshape(30, -1)
    np.testing.assert_array_equal(packed, frozen)


def test_pixels_share_what_is_fitted():
    rng = np.random.default_rng(1)
    layout = ImageLayout((3, 5, 2))
    X = rng.normal(size=(40, 30)) * np.tile([1, 9], 15) + np.tile([0, 3], 15)
    y, weight = np.arange(40) % 2, rng.uniform(0.5, 2, 40)
    channels = X.reshape(-1, 2)
    coded = fit_input(get_technique("bnn"), X, y, weight, 7, layout).operation
    for channel in range(2):
        _, expected = thresholds_of(channels[:, channel : channel + 1], 7)
        np.testing.assert_array_equal(coded.thresholds[coded.channels == channel], expected)
    real = fit_input(get_technique("float"), X, y, weight, 7, layout).operation
    share = np.repeat(weight, 15) / (15 * weight.sum())
    means = share @ channels
    spread = np.sqrt(share @ np.square(channels - means))
    np.testing.assert_allclose(real.means, means, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(real.scales, 1 / spread, rtol=1e-4)
