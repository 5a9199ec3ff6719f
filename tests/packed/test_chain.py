"""Operations that are prepared together, against the same one by one."""

import numpy as np
import pytest

from skbnn.bits import pack_bits
from skbnn.packed import (
    BinaryConv,
    BitMatrix,
    ImageLayout,
    ImageThermometer,
    SignThreshold,
    Thermometer,
    TokenBits,
    Window,
    chain,
)
from skbnn.packed.chain import prepare_all, prepare_chain


@pytest.mark.parametrize("is_open", [True, False])
def test_only_plain_dense_networks_become_a_chain(make_model, kind, kernels, is_open, monkeypatch):
    monkeypatch.setattr(chain, "_is_better_open", lambda *sizes: is_open)
    model, X = make_model(kind, n_rows=700)
    run = prepare_chain(model.operations, kernels)
    assert (run is not None) == (kind in ("mlp", "two-classes"))
    if run is None:
        return
    for n_rows in (0, 1, 2, 700):
        rows = X[:n_rows]
        for operation in model.operations:
            rows = operation.prepare(kernels)(rows)
        np.testing.assert_array_equal(run(X[:n_rows]), rows)
        assert run(X[:n_rows]).dtype == np.int32


def small_cnn(padding_value, n_plain):
    """Bits of pixels and three convolutions, of which the first ones have weights of one plane."""
    rng = np.random.default_rng(0)
    layout = ImageLayout((6, 10, 1), 2)
    operations = [ImageThermometer(np.uint8([2]), np.float32([-0.5, 0.5]), layout)]
    for k, (n_units, pool) in enumerate([(40, (1, 2)), (70, (1, 1)), (33, (3, 1))]):
        takes = operations[-1].gives
        window = Window(takes.shape, (3, 1 + 2 * (k < 2)), 1, pool)
        n_planes = 1 if k < n_plain else 2
        words = pack_bits(rng.random((n_planes, n_units, window.n_taps)) < 0.5)
        scales = None if n_planes == 1 else np.ones((n_planes, n_units), np.int32)
        weights = BitMatrix(words, window.n_taps, scales)
        output = SignThreshold(rng.integers(-9, 9, n_units).astype(np.int16))
        minima = pack_bits(rng.random(n_units) < 0.5)
        operations.append(BinaryConv(weights, takes, output, window, padding_value, minima))
    return operations


@pytest.mark.parametrize("padding_value", [-1, 0, 1])
@pytest.mark.parametrize("n_plain", [0, 1, 3])
def test_plain_convolutions_are_one_call_with_the_bits_of_pixels(kernels, padding_value, n_plain):
    operations = small_cnn(padding_value, n_plain)
    runs = prepare_all(operations, kernels, np.float64)
    assert len(runs) == len(operations) - n_plain
    X = np.random.default_rng(1).normal(size=(70, 60))
    for n_rows in (0, 1, 70):
        found = rows = X[:n_rows]
        for run in runs:
            found = run(found)
        for operation in operations:
            rows = operation.prepare(kernels)(rows)
        np.testing.assert_array_equal(found, rows)
    X[60, 59] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        runs[0](X)


@pytest.mark.parametrize("is_feature_whole", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_tokens_are_the_same_bits_when_features_are_put_in_order(kernels, is_feature_whole, dtype):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, 90).astype(np.uint8)
    bits = Thermometer(
        counts, np.repeat([2.0, 4, 7], [np.sum(counts > p) for p in range(3)]).astype("f4")
    )
    owners = rng.integers(0, 5, 90)[bits.features].astype(np.uint8)
    if not is_feature_whole:
        owners[-1] = (owners[-1] + 1) % 5
    operations = bits, TokenBits(owners, (1, 5))
    X = rng.integers(0, 9, (70, 90)).astype(dtype)
    runs = prepare_all(operations, kernels, np.float64)
    assert len(runs) == 2 - is_feature_whole
    found = rows = X
    for run in runs:
        found = run(found)
    for operation in operations:
        rows = operation.prepare(kernels)(rows)
    np.testing.assert_array_equal(found, rows)
    if dtype == np.float64:
        # A feature without bits is looked at too.
        X[3, np.flatnonzero(counts == 0)[0]] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            runs[0](X)
