"""Estimators of every family and technique, compiled: the same classes and scores as Python."""

import gc
import tempfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
    KMeansClassifier,
)
from skbnn.export import CompiledModel, to_c
from skbnn.techniques import get_technique, list_techniques

FAMILIES = {
    "logistic": BinaryLogisticRegression(max_iter=2, random_state=0),
    "mlp": BinaryMLPClassifier((70, 33), max_iter=2, random_state=0),
    "cnn": BinaryCNNClassifier((8, 9), max_iter=1, random_state=0),
    "cnn-zeros": BinaryCNNClassifier((8, 9), padding_value=0, max_iter=1, random_state=0),
    "cnn-residual": BinaryCNNClassifier((8, 9), residual=True, max_iter=1, random_state=0),
    "cnn-strides": BinaryCNNClassifier(
        (8, 9), stride=(1, 2), pool_size=1, residual=True, max_iter=1, random_state=0
    ),
    **{
        f"transformer-{rule}": BinaryTransformerClassifier(
            32, n_heads=4, attention=rule, max_iter=1, random_state=0
        )
        for rule in ("threshold", "row-max", "softmax")
    },
    "k-means": KMeansClassifier(technique="binary", n_clusters=30, random_state=0),
}
CODED = [name for name in list_techniques() if get_technique(name).activations != "real"]


def compare(estimator, X):
    """Check that compiled C gives Python's classes and integers."""
    try:
        compiled = CompiledModel(estimator.packed_)
    except RuntimeError as error:
        pytest.skip(str(error))
    np.testing.assert_array_equal(compiled.scores(X), estimator.packed_.scores(X))
    np.testing.assert_array_equal(compiled.predict(X), estimator.predict(X))


def test_digits(digits):
    X, X_test, y, _ = digits
    labels = np.array(list("abcdefghij"))[y]
    compare(FAMILIES["mlp"].fit(X, labels), X_test)
    compare(FAMILIES["k-means"].fit(X.astype(np.uint8), labels), X_test)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_on_floats(digits, family):
    X, X_test, y, _ = digits
    compare(FAMILIES[family].fit(X, y), np.concatenate([X, X_test]))


@pytest.mark.slow
@pytest.mark.parametrize("technique", CODED)
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "k-means"])
def test_every_family_and_technique(digits, family, technique):
    X, X_test, y, _ = (part.astype(np.uint8) for part in digits)
    estimator = clone(FAMILIES[family]).set_params(technique=technique)
    compare(estimator.fit(X, y), np.concatenate([X, X_test]))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_all_test_images_of_mnist(mnist, family):
    X, y = mnist.data, mnist.target
    estimator = FAMILIES[family]
    compare(estimator.fit(X[:1000], y[:1000]), X[-10_000:])


@pytest.mark.parametrize("technique", ["float", "binaryconnect"])
def test_real_activations_are_refused(digits, technique):
    X, _, y, _ = digits
    model = BinaryLogisticRegression(technique=technique, max_iter=1).fit(X, y).packed_
    with pytest.raises(ValueError, match="real numbers"):
        to_c(model, "net")


def test_rows_are_checked(models):
    model, X = models["mlp"]
    compiled = CompiledModel(model)
    with pytest.raises(ValueError, match="8 features"):
        compiled.scores(np.zeros((2, 8)))
    with pytest.raises(ValueError, match="NaN or infinity"):
        compiled.scores(np.full((2, 7), np.nan))
    assert compiled.scores(X[:0]).shape == (0, 3)


def test_without_a_compiler(models, monkeypatch):
    model, _ = models["mlp"]
    with pytest.raises(RuntimeError, match="none of no-such-compiler"):
        CompiledModel(model, compiler="no-such-compiler")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="No C compiler found: none of cc, gcc, clang"):
        CompiledModel(model)


def test_the_compiler_fails(models):
    with pytest.raises(RuntimeError, match="cannot compile the model"):
        CompiledModel(models["mlp"][0], flags=["-no-such-flag"])


def test_no_folder_is_left(models, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    compiled = CompiledModel(models["mlp"][0])
    assert len(list(Path(tmp_path).iterdir())) == 1
    del compiled
    gc.collect()
    assert list(Path(tmp_path).iterdir()) == []
