"""What the network estimators do with labels, weights, inputs, more rows and bad input."""

from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array, csr_matrix
from sklearn.utils.validation import validate_data

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
)
from skbnn.packed.format import to_bytes
from skbnn.techniques import get_technique, list_techniques

ESTIMATORS = [
    BinaryLogisticRegression(max_iter=4, random_state=0),
    BinaryMLPClassifier((24, 16), max_iter=4, random_state=0),
    BinaryCNNClassifier((6, 8), hidden_layer_sizes=12, max_iter=4, random_state=0),
    BinaryTransformerClassifier(
        12, n_layers=1, n_heads=2, patch_size=4, max_iter=4, random_state=0
    ),
]
of_rows = pytest.mark.parametrize("make", ESTIMATORS[:2], ids=lambda e: type(e).__name__)
both = pytest.mark.parametrize("make", ESTIMATORS, ids=lambda e: type(e).__name__)
every = pytest.mark.parametrize("technique", list_techniques())


def new(estimator, **params):
    """Return an unfitted estimator with other parameters."""
    return type(estimator)(**{**estimator.get_params(), **params})


@pytest.fixture(scope="module")
def few(digits):
    """The first 300 training digits, and the test rows."""
    X, X_test, y, _ = digits
    return X[:300], y[:300], X_test


def same(a, b):
    """Whether two fitted estimators are the same program, byte for byte."""
    return to_bytes(a.packed_) == to_bytes(b.packed_)


@both
@pytest.mark.parametrize(
    "names",
    [
        np.array(list("abcdefghij")),
        np.array(list("abcdefghij"), dtype=object),
        np.arange(10, dtype=np.int32)[::-1] * 7 - 3,
        np.arange(20)[::2],
    ],
    ids=["string", "object", "falling int32", "not contiguous"],
)
def test_labels(make, names, few):
    X, y, X_test = few
    est = new(make).fit(X, names[y])
    assert list(est.classes_) == sorted(names)
    plain = new(make).fit(X, np.argsort(np.argsort(names))[y])
    np.testing.assert_array_equal(est.predict(X_test), est.classes_[plain.predict(X_test)])
    np.testing.assert_array_equal(est.packed_.predict(X_test), est.predict(X_test))
    np.testing.assert_array_equal(est.predict_proba(X_test), plain.predict_proba(X_test))


@both
def test_two_classes(make, few):
    X, y, X_test = few
    est = new(make).fit(X, y > 4)
    assert est.predict(X_test).dtype == bool
    decision, probability = est.decision_function(X_test), est.predict_proba(X_test)
    assert decision.shape == (len(X_test),)
    np.testing.assert_array_equal(decision > 0, probability[:, 1] > 0.5)
    np.testing.assert_allclose(decision, np.log(probability[:, 1] / probability[:, 0]), atol=1e-6)
    np.testing.assert_allclose(est.predict_log_proba(X_test), np.log(probability))


@both
@every
def test_class_weights(make, technique, few):
    X, y, _ = few
    y = np.minimum(y, 3)
    est = new(make, technique=technique, max_iter=2)
    balanced = new(est, class_weight="balanced").fit(X, y)
    counts = np.bincount(y)
    weights = {c: len(y) / (4 * n) for c, n in enumerate(counts)}
    assert same(balanced, new(est, class_weight=weights).fit(X, y))
    assert same(balanced, new(est).fit(X, y, sample_weight=np.array(list(weights.values()))[y]))
    assert not same(balanced, new(est).fit(X, y))
    # Balance counts the weights that come with the rows.
    heavy = np.where(y == 3, 2.0, 1.0)
    repeated = np.repeat(np.arange(300), heavy.astype(int))
    a = new(est, class_weight="balanced").fit(X, y, sample_weight=heavy)
    b = new(est, class_weight="balanced").fit(X[repeated], y[repeated])
    np.testing.assert_allclose(a.decision_function(X), b.decision_function(X), rtol=1e-5)


@both
@every
def test_weights_are_repetitions(make, technique, few):
    X, y, _ = few
    weight = np.arange(300) % 4
    rng = np.random.default_rng(0)
    repeated = rng.permutation(np.repeat(np.arange(300), weight))
    est = new(make, technique=technique, max_iter=2)
    weighted = new(est).fit(X, y, sample_weight=weight)
    assert same(weighted, new(est).fit(X[repeated], y[repeated]))
    assert not same(weighted, new(est).fit(X, y))
    assert same(new(est).fit(X, y), new(est).fit(X, y, sample_weight=np.full(300, 3)))


@both
@every
def test_order_of_rows_does_not_matter(make, technique, few):
    X, y, X_test = few
    order = np.random.default_rng(0).permutation(300)
    est = new(make, technique=technique, max_iter=2)
    a, b = new(est).fit(X, y), new(est).fit(X[order], y[order])
    assert same(a, b)
    assert not same(a, new(est, random_state=1).fit(X, y))
    order = np.random.default_rng(0).permutation(len(X_test))
    np.testing.assert_array_equal(a.predict(X_test)[order], a.predict(X_test[order]))


def inputs_of(X):
    """Return rows of small whole numbers in every form that fit and predict take."""
    read_only = X.copy()
    read_only.flags.writeable = False
    return {
        "float32": X.astype(np.float32),
        "int64": X.astype(np.int64),
        "fortran": np.asfortranarray(X),
        "list": X.tolist(),
        "csr_matrix": csr_matrix(X),
        "csr_array": csr_array(X),
        "csc": csr_array(X).tocsc(),
        "pandas": pd.DataFrame(X),
        "polars": pl.DataFrame(X),
        "read-only": read_only,
        "strided": np.repeat(X, 2, axis=1)[:, ::2],
    }


@both
@pytest.mark.parametrize("technique", ["bnn", "float"])
@pytest.mark.filterwarnings("error")
def test_inputs_of_equal_values_give_the_same_model(make, technique, few, tmp_path):
    X, y, X_test = few
    est = new(make, technique=technique, max_iter=1).fit(X, y)
    expected = est.decision_function(X_test)
    np.save(tmp_path / "X.npy", X)
    forms = {**inputs_of(X), "memmap": np.load(tmp_path / "X.npy", mmap_mode="r")}
    for name, form in forms.items():
        assert same(new(est).fit(form, y), est), name
    for name, form in inputs_of(X_test).items():
        rows = np.asarray(form) if name == "polars" else form
        np.testing.assert_array_equal(est.decision_function(rows), expected, err_msg=name)


@both
def test_uint8_and_bool(make, few):
    X, y, X_test = few
    est = new(make, max_iter=2).fit(X, y)
    pixels = new(make, max_iter=2).fit(X.astype(np.uint8), y)
    assert pixels.packed_.operations[0].thresholds.dtype == np.uint8
    np.testing.assert_array_equal(pixels.predict(X_test), est.predict(X_test))
    np.testing.assert_array_equal(pixels.predict(X_test.astype(np.uint8)), est.predict(X_test))
    dark = new(make, max_iter=2).fit(X > 8, y)
    np.testing.assert_array_equal(dark.predict(X_test > 8), dark.predict((X_test > 8) * 1.0))
    assert dark.packed_.operations[0].gives.n_bits <= 64


@both
def test_feature_names(make, few):
    X, y, X_test = few
    names = [f"pixel {i}" for i in range(64)]
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        est = new(make, max_iter=1).fit(frame, y)
        assert list(est.feature_names_in_) == names
        assert len(est.predict(pd.DataFrame(X_test, columns=names))) == len(X_test)
        with pytest.raises(ValueError, match="feature names"):
            est.predict(pd.DataFrame(X_test, columns=names[::-1]))


@of_rows
@every
def test_constant_features_cost_nothing(make, technique, few):
    X, y, X_test = few
    est = new(make, technique=technique, max_iter=2)
    used = X[:, X.min(0) < X.max(0)]
    wide = np.column_stack([np.full(300, 3.5), used, np.zeros((300, 5))])
    plain, padded = new(est).fit(used, y), new(est).fit(wide, y)

    def layers(estimator):
        return [layer.nbytes for layer in estimator.packed_.summary().layers[1:]]

    assert layers(plain) == layers(padded)
    assert padded.packed_.nbytes <= plain.packed_.nbytes + 6
    np.testing.assert_array_equal(plain.predict(used), padded.predict(wide))


@both
@every
def test_only_constant_features(make, technique):
    y = np.array(["b"] * 7 + ["a"] * 3)
    est = new(make, technique=technique, max_iter=30).fit(np.full((10, 4), 2.0), y)
    assert list(est.predict(np.array([[2.0] * 4, [9.0] * 4]))) == ["b", "b"]


@both
def test_verbose_prints_a_line_an_epoch(make, few, capsys):
    X, y, _ = few
    new(make, max_iter=3).fit(X, y)
    assert capsys.readouterr().out == ""
    new(make, max_iter=3, verbose=1, early_stopping=True).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert "loss " in lines[0]
    assert "validation accuracy 0." in lines[0]


@both
@every
def test_to_torch_equals_packed(make, technique, digits):
    X, X_test, y, _ = digits
    est = new(make, technique=technique, max_iter=2).fit(X, y)
    network = est.to_torch()
    assert isinstance(network, torch.nn.Module)
    frozen = network(torch.from_numpy(X_test.copy())).numpy()
    scores = est.packed_.scores(X_test)
    assert frozen.dtype == np.float64
    if get_technique(technique).activations != "real":
        assert scores.dtype == np.int32
        np.testing.assert_array_equal(frozen, scores)
    else:
        assert scores.dtype == np.float32
        np.testing.assert_allclose(frozen, scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(est.classes_[frozen.argmax(1)], est.predict(X_test))


@every
def test_no_network_is_linear(technique):
    """Exclusive or: a hidden layer that lost its non-linearity gets half of it wrong."""
    X = np.random.default_rng(0).normal(size=(400, 2))
    y = (X[:, 0] > 0) ^ (X[:, 1] > 0)
    est = BinaryMLPClassifier((64,), technique=technique, n_thresholds=9, random_state=0)
    assert est.fit(X, y).score(X, y) > 0.7


@both
@pytest.mark.parametrize(
    ("params", "X", "y", "message"),
    [
        ({}, [[np.nan], [1.0]], [0, 1], "Input X contains NaN"),
        ({}, [[np.inf], [1.0]], [0, 1], "Input X contains infinity"),
        ({}, [[1e300], [1.0]], [0, 1], "infinity or a value too large for dtype.*float32"),
        ({}, np.zeros((2, 2, 2)), [0, 1], "Found array with dim 3"),
        ({}, [1.0, 2.0], [0, 1], "Expected 2D array, got 1D array"),
        ({}, np.zeros((0, 3)), [], "Found array with 0 sample"),
        ({}, np.zeros((2, 0)), [0, 1], r"Found array with 0 feature\(s\)"),
        ({}, [[0.0], [1.0]], [1, 1], "at least 2 classes in the data.*only one class: .*1"),
        ({}, [[0.0], [1.0]], [0.5, 1.7], "Unknown label type"),
        ({}, [[0.0], [1.0]], [0, 1, 1], "inconsistent numbers of samples"),
        ({"technique": "bnm"}, [[0.0], [1.0]], [0, 1], "Unknown technique 'bnm'.*'float'.*'bnn'"),
        ({"technique": 3}, [[0.0], [1.0]], [0, 1], "The 'technique' parameter"),
        ({"n_thresholds": 0}, [[0.0], [1.0]], [0, 1], "The 'n_thresholds' parameter"),
        ({"max_iter": 0}, [[0.0], [1.0]], [0, 1], "The 'max_iter' parameter"),
        ({"input_dropout": 1.0}, [[0.0], [1.0]], [0, 1], "The 'input_dropout' parameter"),
        ({"early_stopping": True}, [[0.0], [1.0]], [0, 1], "early_stopping could not set a vali"),
    ],
)
def test_bad_training_sets(make, params, X, y, message):
    est = new(make, **params)
    with pytest.raises(ValueError, match=message):
        est.fit(X, y)
    assert [name for name in vars(est) if name.endswith("_")] in ([], ["n_features_in_"])


@both
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([-1.0, 1.0, 1.0], "Negative values in data passed to `sample_weight`"),
        ([0.0, 0.0, 0.0], "All rows have weight 0|at least one non-zero number"),
        ([np.nan, 1.0, 1.0], "NaN"),
        ([1.0, 1.0], "sample_weight.shape == "),
        ([1.0, 0.0, 0.0], "only one class"),
    ],
)
def test_bad_weights(make, weight, message):
    with pytest.raises(ValueError, match=message):
        new(make).fit([[0.0], [1.0], [2.0]], [0, 1, 0], sample_weight=weight)


@both
def test_classes_of_weight_zero(make):
    X, y = [[0.0], [1.0], [2.0]], [0, 1, 2]
    assert list(new(make, class_weight={1: 0}).fit(X, y).classes_) == [0, 2]
    with pytest.raises(ValueError, match="All rows have weight 0"):
        new(make, class_weight=dict.fromkeys(y, 0)).fit(X, y)
    for wrong in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match="class_weight must hold finite numbers"):
            new(make, class_weight={1: wrong}).fit(X, y)


def test_one_class_is_named_plainly():
    for go in (BinaryMLPClassifier().fit, partial(BinaryMLPClassifier().partial_fit, classes=[7])):
        with pytest.raises(ValueError, match="only one class: 7[.]"):
            go([[0.0], [1.0]], [7, 7])


@pytest.mark.parametrize(
    ("make", "says"),
    [(BinaryMLPClassifier(), "-1"), (BinaryCNNClassifier(), r"-1\) and image_shape=\(8, 8")],
    ids=["mlp", "cnn"],
)
def test_images_that_are_no_rows(make, says, few):
    with pytest.raises(ValueError, match=rf"dim 3; .*Pass X\.reshape\(len\(X\), {says}\)"):
        make.fit(np.zeros((4, 8, 8)), [0, 1, 0, 1])
    fitted = new(make, max_iter=1).fit(*few[:2])
    with pytest.raises(ValueError, match=r"dim 3; .*Pass X\.reshape"):
        fitted.predict(np.zeros((4, 8, 8)))


def test_sizes_are_no_truth_values():
    with pytest.raises(ValueError, match="hidden_layer_sizes must be positive whole numbers"):
        BinaryMLPClassifier(True).fit([[0.0], [1.0]], [0, 1])


@both
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_bad_rows_to_predict(make, method, few):
    X, y, X_test = few
    call = getattr(new(make, max_iter=1).fit(X, y), method)
    for bad, message in [
        (X_test[:, :-1], "X has 63 features, but .* is expecting 64 features"),
        (np.where(np.arange(64) == 63, np.nan, X_test), "Input X contains NaN"),
        (np.where(np.arange(64) == 0, -np.inf, X_test), "Input X contains infinity"),
        (X_test[0], "Expected 2D array, got 1D array"),
        (X_test[None], "dim 3"),
        (X_test[:0], r"0 sample\(s\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            call(bad)


@pytest.mark.parametrize("sizes", [(0,), (5, -1), (2.5,), ("a",), 0])
def test_bad_hidden_layer_sizes(sizes):
    with pytest.raises(ValueError, match="hidden_layer_sizes must be positive whole numbers"):
        BinaryMLPClassifier(sizes).fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize("sizes", [7, (7,), [7], np.array([7])])
def test_forms_of_hidden_layer_sizes(sizes, few):
    X, y, _ = few
    est = BinaryMLPClassifier(sizes, max_iter=1, random_state=0).fit(X, y)
    assert [layer.shape for layer in est.packed_.summary().layers[1:]] == [
        f"{est.packed_.operations[0].gives.width} -> 7",
        "7 -> 10",
    ]


@both
def test_only_what_validation_would_change_or_refuse_goes_through_it(make, few, monkeypatch):
    X, y, X_test = few
    est = new(make, max_iter=1).fit(X, y)
    expected = est.predict(X_test.tolist())
    seen = []

    def validate(estimator, X, **settings):
        seen.append(X)
        return validate_data(estimator, X, **settings)

    named = new(make, max_iter=1).fit(pd.DataFrame(X, columns=map(str, range(64))), y)
    monkeypatch.setattr("skbnn.estimators._validation.validate_data", validate)
    for dtype in (np.float64, np.float32, np.uint8):
        for rows in (X_test.astype(dtype), np.asfortranarray(X_test.astype(dtype))):
            np.testing.assert_array_equal(est.predict(rows), expected)
    assert seen == []
    others = X_test.tolist(), X_test.astype(np.int64), X_test.astype(">f8"), csr_array(X_test)
    for rows in others:
        np.testing.assert_array_equal(est.predict(rows), expected)
    for rows in (X_test[0], X_test[:, :3], X_test[:0]):
        with pytest.raises(ValueError):
            est.predict(rows)
    assert len(seen) == 7
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        named.predict(X_test)
