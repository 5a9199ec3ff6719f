"""What is the convolutional network's own: images, pools, paddings."""

import numpy as np
import pytest
import torch

import skbnn
from skbnn import BinaryCNNClassifier
from skbnn.packed import BinaryConv, ImageThermometer
from skbnn.techniques import get_technique, list_techniques


def images(rng, n, *shape):
    """Rows of images of two classes, brighter or darker on the left."""
    y = rng.integers(0, 2, n)
    X = rng.integers(0, 200, (n, *shape)).astype(np.uint8)
    X[:, :, : shape[1] // 2] += np.uint8(40) * y[:, None, None, None].astype(np.uint8)
    return X.reshape(n, -1), y


def windows(est):
    """The windows of a fitted network's convolutions."""
    return [op.window for op in est.packed_.operations if isinstance(op, BinaryConv)]


@pytest.mark.parametrize("technique", list_techniques())
@pytest.mark.parametrize(
    ("shape", "params"),
    [
        ((1, 1, 1), {}),
        ((5, 7, 1), {"padding_value": 0, "kernel_size": 5}),
        ((9, 32, 3), {"padding_value": 1, "pool_size": (3, 1)}),
        ((28, 28, 1), {"hidden_layer_sizes": (20,)}),
        ((6, 5, 2), {"residual": True, "padding_value": 0, "hidden_layer_sizes": 7}),
        ((1, 11, 1), {"residual": True, "pool_size": (2, 1)}),
        ((9, 7, 2), {"stride": (2, 1), "pool_size": (2, 1)}),
        ((8, 8, 1), {"stride": (1, 2), "pool_size": 1, "residual": True, "padding_value": 0}),
    ],
)
def test_to_torch_equals_packed_on_images_of_any_size(shape, params, technique):
    X, y = images(np.random.default_rng(0), 80, *shape)
    est = BinaryCNNClassifier(
        (33, 5), image_shape=shape, technique=technique, max_iter=2, random_state=0, **params
    ).fit(X, y)
    X_test, _ = images(np.random.default_rng(1), 300, *shape)
    frozen = est.to_torch()(torch.from_numpy(X_test)).numpy()
    scores = est.packed_.scores(X_test)
    if get_technique(technique).activations != "real":
        np.testing.assert_array_equal(frozen, scores)
    else:
        np.testing.assert_allclose(frozen, scores, rtol=1e-4, atol=1e-4 * np.abs(frozen).max())
    np.testing.assert_array_equal(scores[:1], est.packed_.scores(X_test[:1]))


@pytest.mark.parametrize(
    ("n_features", "image_shape", "space_to_depth", "layout"),
    [
        (64, None, "auto", ((8, 8, 1), 1)),
        (784, None, "auto", ((28, 28, 1), 2)),
        (784, (28, 28), 4, ((28, 28, 1), 4)),
        (784, (7, 7, 16), "auto", ((7, 7, 16), 1)),
        (20, None, "auto", ((1, 20, 1), 1)),
        (1, None, "auto", ((1, 1, 1), 1)),
        (17 * 18, [17, 18], "auto", ((17, 18, 1), 1)),
    ],
)
def test_rows_become_images(n_features, image_shape, space_to_depth, layout):
    X = np.random.default_rng(0).normal(size=(30, n_features))
    est = BinaryCNNClassifier(
        4, image_shape=image_shape, space_to_depth=space_to_depth, max_iter=1, random_state=0
    ).fit(X, np.arange(30) % 2)
    first = est.packed_.operations[0]
    assert isinstance(first, ImageThermometer)
    assert (first.layout.shape, first.layout.block) == layout


def test_topology(digits):
    X, _, y, _ = digits
    est = BinaryCNNClassifier((4, 6, 8), pool_size=(1, 2, 3), kernel_size=5, max_iter=1)
    est.set_params(hidden_layer_sizes=[10], n_thresholds=3, random_state=0).fit(X, y)
    assert [w.shape for w in windows(est)] == [(8, 8, 3), (8, 8, 4), (4, 4, 6)]
    assert [w.kernel for w in windows(est)] == [(5, 5)] * 3
    assert [w.pooled for w in windows(est)] == [(8, 8), (4, 4), (1, 1)]
    assert [op.gives.width for op in est.packed_.operations[-3:]] == [8, 10, 10]
    assert est.packed_.summary().activation_nbytes == 64 * 8 + 64 * 8


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"channels": (4, 0)}, "channels must be positive whole numbers"),
        ({"channels": (4, 4), "pool_size": (2, 2, 2)}, "pool_size has 3 entries for 2 layers"),
        ({"pool_size": (2, 0)}, "pool_size must be positive whole numbers"),
        ({"stride": 0}, "The 'stride' parameter"),
        ({"stride": (1, 2, 2)}, "stride has 3 entries for 2 layers"),
        (
            {"stride": (3, 2), "pool_size": 1, "residual": True},
            "no stream of 3 x 3 places around a layer of stride=2 and 2 x 2 places",
        ),
        ({"kernel_size": 4}, "kernel_size must be odd, got 4"),
        ({"padding_value": 2}, "The 'padding_value' parameter"),
        ({"image_shape": (8, 9)}, r"of the 64 features of X, got \(8, 9\)"),
        ({"image_shape": (64,)}, r"of the 64 features of X, got \(64,\)"),
        ({"image_shape": 64}, "The 'image_shape' parameter"),
        ({"image_shape": (-8, -8)}, "image_shape must be positive whole numbers"),
        ({"space_to_depth": 3}, r"space_to_depth=3 must divide .* of images of \(8, 8\)"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes must be positive whole numbers"),
    ],
)
def test_impossible_parameters_are_refused(digits, params, message):
    X, _, y, _ = digits
    with pytest.raises(ValueError, match=message):
        BinaryCNNClassifier(**params).fit(X[:40], y[:40])


def test_more_rows_and_early_stopping(digits, tmp_path):
    X, X_test, y, y_test = digits
    est = BinaryCNNClassifier((8, 16), max_iter=4, warm_start=True, random_state=0).fit(X, y)
    first = est.loss_curve_[-1]
    assert est.fit(X, y).loss_curve_[-1] < first
    streamed = BinaryCNNClassifier((8, 16), random_state=0)
    for part in np.array_split(np.arange(len(y)), 3):
        streamed.partial_fit(X[part], y[part], classes=range(10))
    assert streamed.n_iter_ == 3
    stopped = BinaryCNNClassifier((8, 16), early_stopping=True, max_iter=3, random_state=0)
    assert len(stopped.fit(X, y).validation_scores_) == 3
    for fitted in (est, streamed, stopped):
        fitted.packed_.save(tmp_path / "model.skbnn")
        loaded = skbnn.load(tmp_path / "model.skbnn")
        assert loaded == fitted.packed_
        np.testing.assert_array_equal(loaded.predict(X_test), fitted.predict(X_test))
    assert est.score(X_test, y_test) > 0.85


def test_moved_images_need_a_convolution():
    """A bright bar, upright or lying, anywhere: place tells nothing, neighbourhood everything."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 100, (900, 12, 12)).astype(np.uint8)
    y = rng.integers(0, 2, 900)
    for image, label in zip(X, y, strict=True):
        line, column = rng.integers(0, 9, 2)
        height, width = (4, 1) if label else (1, 4)
        image[line : line + height, column : column + width] += 100
    X = X.reshape(900, -1)
    est = BinaryCNNClassifier((16, 16), random_state=0).fit(X[:600], y[:600])
    assert est.score(X[600:], y[600:]) > 0.85
