"""What is the transformer's own: tokens, heads and rules of attention."""

import math

import numpy as np
import pytest
import torch

import skbnn
from skbnn import BinaryTransformerClassifier
from skbnn.packed import Attention, Residual, TokenBits
from skbnn.techniques import get_technique, list_techniques


def rows_of(rng, n, n_features):
    """Rows of two classes; whole numbers, larger on the left for the second."""
    y = rng.integers(0, 2, n)
    X = rng.integers(0, 200, (n, n_features)).astype(np.uint8)
    X[:, : (n_features + 1) // 2] += (40 * y[:, None]).astype(np.uint8)
    return X, y


def new(**params):
    """A small transformer."""
    return BinaryTransformerClassifier(
        **{"d_model": 12, "n_layers": 1, "n_heads": 2, "max_iter": 2, "random_state": 0, **params}
    )


def places(est):
    """Lines and columns of a fitted network's tokens."""
    return next(op.places for op in est.packed_.operations if isinstance(op, TokenBits))


def attentions(est):
    """The attention of each layer."""
    branches = [op.branch for op in est.packed_.operations if isinstance(op, Residual)]
    return [op for branch in branches for op in branch if isinstance(op, Attention)]


@pytest.mark.parametrize("technique", list_techniques())
@pytest.mark.parametrize(
    ("shape", "params"),
    [
        ((1, 1, 1), {}),
        ((5, 7, 1), {"patch_size": (2, 3), "attention": "row-max"}),
        ((9, 32, 3), {"n_heads": 1, "attention": "softmax", "mlp_ratio": 0.1}),
        ((28, 28, 1), {"patch_size": 10, "d_model": 65, "n_heads": 5}),
    ],
)
def test_to_torch_equals_packed_on_images_of_any_size(shape, params, technique, tmp_path):
    X, y = rows_of(np.random.default_rng(0), 80, math.prod(shape))
    est = new(image_shape=shape, technique=technique, **params).fit(X, y)
    X_test, _ = rows_of(np.random.default_rng(1), 200, X.shape[1])
    frozen = est.to_torch()(torch.from_numpy(X_test)).numpy()
    scores = est.packed_.scores(X_test)
    if get_technique(technique).activations != "real":
        np.testing.assert_array_equal(frozen, scores)
    else:
        # Where all sums of a unit cancel, its spread is what was rounded off. Torch's own float32
        # says how far that goes; nowhere else is more than a ten-thousandth allowed.
        torch_float32 = est.to_torch().float()(torch.from_numpy(X_test).float()).numpy()
        rounding = np.abs(torch_float32 - frozen).max() if shape == (1, 1, 1) else 0.0
        atol = max(1e-4 * np.abs(frozen).max(), 0.5 * rounding)
        np.testing.assert_allclose(frozen, scores, rtol=1e-4, atol=atol)
    alone = np.concatenate([est.packed_.scores(X_test[i : i + 1]) for i in range(9)])
    np.testing.assert_allclose(alone, scores[:9], rtol=0 if scores.dtype == np.int32 else 1e-6)
    est.packed_.save(tmp_path / "model.skbnn")
    loaded = skbnn.load(tmp_path / "model.skbnn", backend="numpy")
    assert loaded == est.packed_
    np.testing.assert_allclose(loaded.scores(X_test), scores, rtol=1e-6)


@pytest.mark.parametrize(
    ("n_features", "params", "expected"),
    [
        (784, {}, (4, 4)),
        (64, {}, (4, 4)),
        (64, {"patch_size": 3}, (3, 3)),
        (64, {"patch_size": (8, 1)}, (1, 8)),
        (64, {"image_shape": (4, 16)}, (4, 4)),
        (64, {"image_shape": (2, 16, 2), "patch_size": (1, 5)}, (2, 4)),
        (20, {}, (1, 10)),
        (20, {"patch_size": 6}, (1, 4)),
        (2, {}, (1, 2)),
        (1, {}, (1, 1)),
        (100, {"image_shape": (1, 100)}, (1, 4)),
    ],
)
def test_rows_are_cut_into_tokens(n_features, params, expected):
    X, y = rows_of(np.random.default_rng(0), 60, n_features)
    assert places(new(max_iter=1, **params).fit(X, y)) == expected


def test_tokens_of_tables_leave_out_constant_features():
    X, y = rows_of(np.random.default_rng(0), 60, 12)
    wide = np.insert(X, [0, 5, 12, 12], 7, axis=1).copy()
    wide = np.column_stack([wide, np.ones((60, 4), np.uint8)])
    est = new(patch_size=3)
    a, b = est.fit(X, y).packed_, new(patch_size=3).fit(wide, y).packed_
    assert [layer.nbytes for layer in a.summary().layers[1:]] == [
        layer.nbytes for layer in b.summary().layers[1:]
    ]
    np.testing.assert_array_equal(a.scores(X), b.scores(wide))


@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("attention", ["threshold", "row-max", "softmax"])
def test_layers_and_heads(attention, n_layers):
    X, y = rows_of(np.random.default_rng(0), 60, 16)
    est = new(attention=attention, n_layers=n_layers, n_heads=3).fit(X, y)
    found = attentions(est)
    assert len(found) == n_layers
    assert {op.rule.n_heads for op in found} == {3}
    kind = {"threshold": "score-threshold", "row-max": "row-maximum", "softmax": "softmax-share"}
    assert {op.rule.kind for op in found} == {kind[attention]}


def test_the_rule_changes_the_model_of_bits_only():
    X, y = rows_of(np.random.default_rng(0), 60, 16)
    for technique, same in (("bnn", False), ("float", True)):
        a, b = (
            new(technique=technique, attention=attention).fit(X, y).decision_function(X)
            for attention in ("threshold", "softmax")
        )
        assert np.array_equal(a, b) == same


def test_the_order_of_tokens_matters():
    """Rows of both classes hold the same two values, in either order."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    X = np.where(y[:, None] == 1, [0.0, 1.0], [1.0, 0.0]) + rng.normal(size=(300, 2)) / 5
    assert new(max_iter=15).fit(X, y).score(X, y) > 0.85


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_heads": 5}, "n_heads=5 must divide d_model=12"),
        ({"image_shape": (3, 5)}, "image_shape must be .* of the 16 features"),
        ({"image_shape": (16,)}, "image_shape must be"),
        ({"image_shape": (0, 16)}, "image_shape must be positive whole numbers"),
        ({"patch_size": (2, 2, 2)}, "patch_size must be one or two numbers"),
        ({"patch_size": (0, 2)}, "patch_size must be positive whole numbers"),
        ({"patch_size": 0}, "The 'patch_size' parameter"),
        ({"attention": "hard"}, "The 'attention' parameter"),
        ({"d_model": 0}, "The 'd_model' parameter"),
        ({"mlp_ratio": 0}, "The 'mlp_ratio' parameter"),
    ],
)
def test_bad_parameters(params, message):
    X, y = rows_of(np.random.default_rng(0), 20, 16)
    with pytest.raises(ValueError, match=message):
        new(**params).fit(X, y)


def test_patches_with_a_height_need_images():
    X, y = rows_of(np.random.default_rng(0), 20, 12)
    with pytest.raises(ValueError, match=r"patch_size=\(2, 4\) is that of images. Pass image_shap"):
        new(patch_size=(2, 4)).fit(X, y)
    a, b = (new(patch_size=size).fit(X, y).packed_ for size in (4, (1, 4)))
    assert a == b
