"""Inputs as bit planes: whole numbers from 0 to 255, read exactly, in all network estimators."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
    load,
)
from skbnn.packed.format import to_bytes

MAKERS = {
    "logistic": lambda **params: BinaryLogisticRegression(**params),
    "mlp": lambda **params: BinaryMLPClassifier((20, 12), **params),
    "cnn": lambda **params: BinaryCNNClassifier((6, 9), **params),
    "cnn, stream": lambda **params: BinaryCNNClassifier(
        (6, 8, 8), residual=True, padding_value=0, hidden_layer_sizes=7, **params
    ),
    "transformer": lambda **params: BinaryTransformerClassifier(
        12, n_layers=1, n_heads=2, patch_size=3, **params
    ),
}
each = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
SETTINGS = {"encoding": "planes", "max_iter": 2, "random_state": 0}


@pytest.fixture(scope="module")
def pixels(digits):
    """Training rows of bytes up to 240, their classes, and rows of all bytes to predict."""
    X, _, y, _ = digits
    rng = np.random.default_rng(0)
    return (15 * X[:300]).astype(np.uint8), y[:300], rng.integers(0, 256, (80, 64), np.uint8)


def same(a, b):
    """Whether two fitted estimators are the same program, byte for byte."""
    return to_bytes(a.packed_) == to_bytes(b.packed_)


@each
@pytest.mark.parametrize("technique", ["bnn", "dorefa", "adabin", "bitwise", "bit"])
def test_frozen_equals_packed(make, technique, pixels):
    X, y, X_test = pixels
    est = make(technique=technique, **SETTINGS).fit(X, y)
    assert est.packed_.operations[0].kind in ("bit-planes", "image-planes")
    frozen = est.to_torch()(torch.from_numpy(X_test.astype(np.float64))).numpy()
    np.testing.assert_array_equal(est.packed_.scores(X_test), frozen)


@pytest.mark.parametrize("padding_value", [-1, 0, 1])
def test_padding(padding_value, pixels):
    """Around an image lie pixels of 0, nothing, or pixels of 255."""
    X, y, X_test = pixels
    net = BinaryCNNClassifier((5,), kernel_size=5, padding_value=padding_value, **SETTINGS)
    net.set_params(image_shape=(8, 8)).fit(X, y)
    padded = np.full((80, 12, 12), 255 if padding_value > 0 else 0.0)
    padded[:, 2:-2, 2:-2] = X_test.reshape(-1, 8, 8)
    weights = np.where(net.state_["blocks.0.weight"] >= 0, 1.0, -1.0).reshape(5, 5, 5)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (1, 2))
    # Steps of 1/128, as the network is trained; pooled by two.
    sums = np.einsum("nhwyx,uyx->nhwu", windows, weights) / 128
    pooled = sums.reshape(80, 4, 2, 4, 2, 5).max((2, 4))
    network = net.to_torch().network
    block = network.blocks[0]
    found = block.sums(network.inputs(torch.from_numpy(X_test.astype(np.float64))))
    np.testing.assert_array_equal(found.numpy().reshape(pooled.shape), pooled)


@each
def test_learns(make, pixels):
    X, y, _ = pixels
    assert make(**{**SETTINGS, "max_iter": 40}).fit(X, y).score(X, y) > 0.5


def test_one_weight_a_number(pixels):
    X, y, _ = pixels
    sizes = {
        encoding: BinaryLogisticRegression(encoding=encoding, max_iter=1).fit(X, y)
        for encoding in ("thermometer", "planes")
    }
    layer = sizes["planes"].packed_.operations[1]
    n_used = (X.min(0) < X.max(0)).sum()
    assert (
        layer.weights.n_bits == n_used < sizes["thermometer"].packed_.operations[1].weights.n_bits
    )
    assert sizes["planes"].packed_.nbytes < sizes["thermometer"].packed_.nbytes


def test_forms_of_rows_give_the_same_model(pixels):
    X, y, X_test = pixels
    net = MAKERS["mlp"](**SETTINGS).fit(X, y)
    for form in (X.astype(np.float64), X.astype(np.float32), csr_array(X), X.astype(np.int64)):
        other = MAKERS["mlp"](**SETTINGS).fit(form, y)
        assert same(net, other)
    np.testing.assert_array_equal(net.predict(X_test), net.predict(csr_array(X_test)))
    np.testing.assert_array_equal(net.predict(X_test), net.predict(X_test.astype(np.float64)))


@each
def test_goes_on_and_saves(make, pixels, tmp_path):
    X, y, X_test = pixels
    net = make(**SETTINGS)
    for start in range(0, 300, 100):
        rows = slice(start, start + 100)
        net.partial_fit(X[rows], y[rows], classes=np.arange(10))
    net.packed_.save(tmp_path / "net.skbnn")
    loaded = load(tmp_path / "net.skbnn")
    np.testing.assert_array_equal(loaded.scores(X_test), net.packed_.scores(X_test))


@each
def test_real_activations_ignore_it(make, pixels):
    X, y, _ = pixels
    settings = {**SETTINGS, "technique": "binaryconnect"}
    assert same(
        make(**settings).fit(X, y), make(**{**settings, "encoding": "thermometer"}).fit(X, y)
    )


@each
@pytest.mark.parametrize("value", [0.5, -1, 256, 1e30])
def test_other_numbers_are_refused(make, value, pixels):
    X, y, X_test = pixels
    net = make(**SETTINGS).fit(X, y)
    bad = X.astype(np.float64)
    bad[7, 20] = value
    fix = r"X must hold whole numbers from 0 to 255\. Scale X .* or fit with encoding='thermometer'"
    for call in (net.predict, lambda rows: make(**SETTINGS).fit(rows, y)):
        with pytest.raises(ValueError, match=fix):
            call(bad)
    with pytest.raises(ValueError, match="contains NaN"):
        net.predict(np.full((1, 64), np.nan))


def test_unknown_encoding(pixels):
    X, y, _ = pixels
    with pytest.raises(ValueError, match="'encoding' parameter of BinaryMLPClassifier must be"):
        BinaryMLPClassifier(encoding="gray").fit(X, y)


def test_constant_rows(pixels):
    """Nothing to read: the most frequent class."""
    X, y = np.full((9, 3), 7, np.uint8), np.arange(9) % 4 // 3
    for name in ("logistic", "mlp", "transformer"):
        net = MAKERS[name](**{**SETTINGS, "max_iter": 30}).fit(X, y)
        assert net.packed_.operations[0].gives.width == 0
        assert (net.predict(X) == 0).all()
