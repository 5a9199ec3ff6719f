"""Frozen equals packed on every MNIST test image, and freezing changes next to nothing."""

import numpy as np
import pytest
import torch

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
    KMeansClassifier,
)
from skbnn.nn import networks
from skbnn.techniques import get_technique, list_techniques, stages_of

FAMILIES = {
    "logistic": BinaryLogisticRegression(max_iter=1, batch_size=50, random_state=0),
    "mlp": BinaryMLPClassifier((64, 64), max_iter=1, batch_size=50, random_state=0),
    "cnn": BinaryCNNClassifier((8, 12), max_iter=1, batch_size=50, random_state=0),
    "residual cnn": BinaryCNNClassifier(
        (8, 8, 12), pool_size=(1, 2, 2), residual=True, max_iter=1, batch_size=50, random_state=0
    ),
    "transformer": BinaryTransformerClassifier(
        24, n_heads=2, patch_size=10, max_iter=2, batch_size=50, random_state=0
    ),
    "deep mlp": BinaryMLPClassifier((1024, 1024, 1024), max_iter=1, random_state=0),
}
EPOCHS = {family: est.max_iter for family, est in FAMILIES.items()}
WHOLE_TRAINING_SET = {"deep mlp"}
QUICK = {"bnn"}
TECHNIQUES = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in list_techniques()
]


def in_parts(network, X):
    """Return what a network gives for many rows."""
    with torch.no_grad():
        return np.concatenate([network(torch.from_numpy(part)) for part in np.array_split(X, 20)])


def fitted(family, technique, mnist, monkeypatch):
    """Return a fitted estimator and its network as training left it, in evaluation mode."""
    trained = []
    name = FAMILIES[family]._builder
    build = getattr(networks, name)
    monkeypatch.setattr(
        networks, name, lambda *a, **kw: trained.append(build(*a, **kw)) or trained[-1]
    )
    rows = mnist.train if family in WHOLE_TRAINING_SET else slice(3000)
    est = FAMILIES[family].set_params(technique=technique)
    # An epoch for each stage; the network of the last one is what was trained.
    stages = stages_of(get_technique(technique), 1000)
    params = {**est.get_params(), "max_iter": max(EPOCHS[family], len(stages))}
    est = type(est)(**params).fit(mnist.data[rows], mnist.target[rows])
    return est, trained[len(stages_of(est.technique_, est.max_iter)) - 1].eval()


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize(
    "family",
    [
        "logistic",
        "mlp",
        "cnn",
        pytest.param("residual cnn", marks=pytest.mark.slow),
        "transformer",
        pytest.param("deep mlp", marks=pytest.mark.slow),
    ],
)
def test_training_frozen_and_packed_agree(family, technique, mnist, monkeypatch):
    est, network = fitted(family, technique, mnist, monkeypatch)
    X = mnist.data[mnist.test].copy()
    frozen = in_parts(est.to_torch(), X)
    scores = est.packed_.scores(X)
    if get_technique(technique).activations != "real":
        assert scores.dtype == np.int32
        np.testing.assert_array_equal(frozen, scores)
    else:
        np.testing.assert_allclose(scores, frozen, rtol=1e-4, atol=1e-4 * np.abs(frozen).max())
    np.testing.assert_array_equal(est.classes_[frozen.argmax(1)], est.predict(X))
    if not est.__sklearn_tags__().classifier_tags.poor_score:
        assert est.score(X, mnist.target[mnist.test]) > 0.5

    rows = network.inputs.rows(X)
    unfrozen = np.concatenate(
        [
            network(rows.batch(part)).detach().argmax(1)
            for part in np.array_split(np.arange(len(X)), 20)
        ]
    )
    assert (unfrozen != scores.argmax(1)).sum() <= 2


def test_forms_of_pixels_give_the_same_scores(mnist):
    rows = slice(3000)
    est = BinaryLogisticRegression(max_iter=1, random_state=0)
    est.fit(mnist.data[rows], mnist.target[rows])
    X = mnist.data[mnist.test][:2000]
    expected = est.packed_.scores(X)
    for dtype in (np.float64, np.float32, np.int64):
        np.testing.assert_array_equal(est.packed_.scores(X.astype(dtype)), expected)
    order = np.random.default_rng(0).permutation(2000)
    np.testing.assert_array_equal(est.packed_.scores(X[order]), expected[order])
    one_by_one = np.concatenate([est.packed_.scores(X[i : i + 1]) for i in range(100)])
    np.testing.assert_array_equal(one_by_one, expected[:100])


def test_binary_k_means_is_near_float(mnist):
    X, y = mnist.data[:3000], mnist.target[:3000]
    X_test, y_test = mnist.data[mnist.test], mnist.target[mnist.test]
    score = {
        technique: KMeansClassifier(40, technique=technique, random_state=0)
        .fit(X, y)
        .score(X_test, y_test)
        for technique in ("binary", "float")
    }
    assert score["float"] > 0.7
    assert score["binary"] > score["float"] - 0.05
