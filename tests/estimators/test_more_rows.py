"""Training that goes on, and training that stops: partial_fit, warm_start, early stopping."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
    KMeansClassifier,
)
from skbnn.packed.format import to_bytes
from skbnn.techniques import get_technique, list_techniques

LABELS = np.arange(10)
# Those that train at all in a last stage alone, and those that have no other.
TRAINED = [name for name in list_techniques() if get_technique(name).optimizer != "none"]
ALONE = [name for name in list_techniques() if get_technique(name).starts_from is None]


def mlp(**params):
    return BinaryMLPClassifier((64,), **{"random_state": 0, "max_iter": 5, **params})


@pytest.mark.parametrize("technique", TRAINED)
@pytest.mark.parametrize("make", [mlp, BinaryLogisticRegression])
def test_a_stream_learns_digits(make, technique, digits):
    X, X_test, y, y_test = digits
    est = make(technique=technique, random_state=0)
    order = np.random.default_rng(0).permutation(len(X))
    calls = 0
    for _ in range(6):
        for rows in np.array_split(order, 4):
            assert est.partial_fit(X[rows], y[rows], classes=LABELS) is est
            calls += 1
    assert est.score(X_test, y_test) > 0.85
    assert est.n_iter_ == len(est.loss_curve_) == len(est.flip_ratios_) == calls
    assert est.loss_curve_[-1] < est.loss_curve_[0]


def test_a_stream_keeps_its_thresholds_and_may_meet_classes_late(digits):
    X, X_test, y, _ = digits
    est = mlp().partial_fit(X[y < 5], y[y < 5], classes=LABELS)
    thresholds = est.packed_.operations[0].thresholds
    assert set(est.predict(X_test)) <= set(range(10))
    for _ in range(8):
        est.partial_fit(X, y)
    np.testing.assert_array_equal(est.packed_.operations[0].thresholds, thresholds)
    assert set(est.predict(X_test)) == set(range(10))


def test_errors_of_partial_fit(digits):
    X, _, y, _ = digits
    est = mlp()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        est.partial_fit(X, y)
    with pytest.raises(ValueError, match=r"y has labels that are not in classes: \[9\]"):
        est.partial_fit(X, y, classes=np.arange(9))
    est.partial_fit(X, y, classes=LABELS)
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
        est.partial_fit(X, y, classes=np.arange(9))
    with pytest.raises(ValueError, match=r"labels that are not in classes: \[12\]"):
        est.partial_fit(X, np.where(y == 9, 12, y))
    with pytest.raises(ValueError, match="63 features, but BinaryMLPClassifier is expecting 64"):
        est.partial_fit(X[:, 1:], y)
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        mlp(class_weight="balanced").partial_fit(X, y, classes=LABELS)


def test_a_failed_partial_fit_changes_nothing(digits):
    X, _, y, _ = digits
    est = mlp().partial_fit(X, y, classes=LABELS)
    before = to_bytes(est.packed_)
    with pytest.raises(ValueError, match="NaN"):
        est.partial_fit(np.where(X > 15, np.nan, X), y)
    assert to_bytes(est.packed_) == before
    assert est.n_iter_ == 1


def test_weights_and_class_weights_of_a_stream(digits):
    X, _, y, _ = digits
    two = {c: 2.0 if c == 3 else 1.0 for c in LABELS}
    a = mlp(class_weight=two).partial_fit(X, y, classes=LABELS)
    b = mlp().partial_fit(X, y, classes=LABELS, sample_weight=np.where(y == 3, 2, 1))
    c = mlp().partial_fit(X, y, classes=LABELS)
    assert to_bytes(a.packed_) == to_bytes(b.packed_) != to_bytes(c.packed_)


@pytest.mark.parametrize("technique", ALONE)
def test_warm_start_goes_on(technique, digits):
    X, _, y, _ = digits
    warm = mlp(technique=technique, warm_start=True, max_iter=4, input_dropout=0, hidden_dropout=0)
    first = warm.fit(X, y).loss_curve_
    second = warm.fit(X, y).loss_curve_
    assert second[0] < first[0]
    assert min(second) < min(first)
    cold = mlp(technique=technique, max_iter=4, input_dropout=0, hidden_dropout=0)
    assert cold.fit(X, y).fit(X, y).loss_curve_ == pytest.approx(first)


def test_warm_start_goes_on_with_the_last_stage(digits):
    X, X_test, y, y_test = digits
    warm = mlp(technique="reactnet", warm_start=True, max_iter=4).fit(X, y)
    before = warm.score(X_test, y_test)
    for _ in range(3):
        warm.fit(X, y)
    assert warm.n_iter_ == len(warm.loss_curve_) == 4
    assert warm.score(X_test, y_test) > before


def test_warm_start_needs_the_same_problem(digits):
    X, _, y, _ = digits
    est = mlp(warm_start=True, max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="warm_start needs the classes of the fit before"):
        est.fit(X[y < 9], y[y < 9])
    with pytest.raises(ValueError, match="63 features"):
        est.fit(X[:, 1:], y)
    est.set_params(warm_start=False).fit(X[:, 1:], np.minimum(y, 5))
    assert est.n_features_in_ == 63


def test_fit_after_partial_fit_starts_anew(digits):
    X, _, y, _ = digits
    a = mlp(max_iter=2).partial_fit(X, y, classes=LABELS).fit(X, y)
    b = mlp(max_iter=2).fit(X, y)
    assert to_bytes(a.packed_) == to_bytes(b.packed_)
    assert a.n_iter_ == 2
    c, d = (e.partial_fit(X, y) for e in (a, b))
    assert to_bytes(c.packed_) == to_bytes(d.packed_)


def test_early_stopping_keeps_the_best(digits):
    X, X_test, y, y_test = digits
    est = mlp(early_stopping=True, n_iter_no_change=3, max_iter=60, learning_rate_init=0.05)
    est.fit(X, y)
    scores = est.validation_scores_
    assert est.n_iter_ == len(scores) == len(est.loss_curve_) < 60
    assert est.best_validation_score_ == max(scores)
    assert max(scores[:-3]) == max(scores)
    assert est.score(X_test, y_test) > 0.85
    # The kept network is that of the best epoch: training alone until then ends in other weights.
    last = mlp(early_stopping=True, n_iter_no_change=99, max_iter=60, learning_rate_init=0.05)
    last.fit(X, y)
    assert last.validation_scores_[: len(scores)] == pytest.approx(scores)


def test_early_stopping_scores_the_kept_network(digits, monkeypatch):
    """A network that gets worse after its first epoch is given back as it was then."""
    from skbnn.nn import early_stopping as watching

    X, _, y, _ = digits
    scores = iter([0.9, 0.1, 0.1, 0.1])
    monkeypatch.setattr(watching, "accuracy", lambda network, examples: next(scores))
    stopped = mlp(early_stopping=True, n_iter_no_change=3, max_iter=30).fit(X, y)
    assert stopped.n_iter_ == 4
    scores = iter([0.9, 0.95])
    monkeypatch.setattr(watching, "accuracy", lambda network, examples: next(scores))
    seen = []
    update = watching.EarlyStopping.update

    def recorded(self, network):
        seen.append(network.arrays())
        return update(self, network) or True

    monkeypatch.setattr(watching.EarlyStopping, "update", recorded)
    once = mlp(early_stopping=True, n_iter_no_change=3, max_iter=30).fit(X, y)
    for name, array in once.state_.items():
        np.testing.assert_array_equal(array, seen[0][name])
        np.testing.assert_array_equal(array, stopped.state_[name])


def test_early_stopping_off_leaves_no_scores(digits):
    X, _, y, _ = digits
    est = mlp(max_iter=1, early_stopping=True).fit(X, y)
    assert est.best_validation_score_ == est.validation_scores_[0]
    est.set_params(early_stopping=False).fit(X, y)
    assert not hasattr(est, "validation_scores_")
    assert not hasattr(est, "best_validation_score_")


@pytest.mark.parametrize(
    ("estimator", "changed"),
    [
        (BinaryMLPClassifier((8, 8)), {"hidden_layer_sizes": (8, 9)}),
        (BinaryMLPClassifier((8, 8)), {"n_thresholds": 5}),
        (BinaryMLPClassifier((8, 8)), {"encoding": "planes"}),
        (BinaryMLPClassifier((8, 8)), {"technique": "float"}),
        (BinaryMLPClassifier((8, 8)), {"technique": "binaryconnect"}),
        (BinaryMLPClassifier((8, 8)), {"technique": "abcnet"}),
        (BinaryMLPClassifier((8, 8), technique="adabin"), {"technique": "bnn"}),
        (BinaryCNNClassifier((8,)), {"image_shape": (4, 16)}),
        (BinaryCNNClassifier((8,)), {"kernel_size": 5}),
        (BinaryTransformerClassifier(16, n_layers=1), {"patch_size": 4}),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, dict) else str(value),
)
def test_training_goes_on_with_the_same_architecture_only(estimator, changed, digits):
    X, _, y, _ = digits
    est = estimator.set_params(max_iter=1, warm_start=True, random_state=0).fit(X[:200], y[:200])
    before = to_bytes(est.packed_)
    est.set_params(**changed)
    for go_on in (est.fit, est.partial_fit):
        with pytest.raises(ValueError, match="shape the network or its inputs have changed"):
            go_on(X[:200], y[:200])
    assert to_bytes(est.packed_) == before
    est.set_params(warm_start=False).fit(X[:200], y[:200])


@pytest.mark.parametrize("technique", TRAINED)
@pytest.mark.parametrize(
    "estimator",
    [
        BinaryLogisticRegression(),
        BinaryMLPClassifier((8,)),
        BinaryCNNClassifier((4,)),
        BinaryTransformerClassifier(8, n_layers=1, n_heads=2),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_stream_takes_a_single_row(estimator, technique, digits):
    X, _, y, _ = digits
    est = clone(estimator).set_params(technique=technique, random_state=0)
    est.partial_fit(X[:100], y[:100], classes=LABELS)
    for index in ([0], [0, 0]):
        est.partial_fit(X[index], y[index])
    assert est.n_iter_ == 3
    assert np.isfinite(est.decision_function(X[:50])).all()
    scores = est.to_torch()(torch.tensor(X)).numpy()
    np.testing.assert_allclose(est.packed_.scores(X), scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("other", ["bop", replace(get_technique("bnn"), optimizer="adamax")])
def test_a_stream_goes_on_with_another_optimizer(other, digits):
    X, _, y, _ = digits
    for before, after in (("bnn", other), (other, "bnn")):
        est = mlp(technique=before).partial_fit(X, y, classes=LABELS)
        est.set_params(technique=after).partial_fit(X, y).partial_fit(X, y)
        assert est.n_iter_ == 3


def test_changed_parameters_are_named(digits):
    X, _, y, _ = digits
    est = mlp(max_iter=1).fit(X, y).set_params(n_thresholds=5, hidden_layer_sizes=(8,))
    with pytest.raises(ValueError, match="before: hidden_layer_sizes, n_thresholds. Set them back"):
        est.partial_fit(X, y)


@pytest.mark.parametrize("technique", ["float", "bnn"])
def test_training_that_diverges_is_refused(technique, digits):
    X, _, y, _ = digits
    est = mlp(technique=technique, learning_rate_init=1e300, max_iter=3)
    with pytest.raises(ValueError, match="Training diverged.*learning_rate_init"):
        est.fit(X, y)
    assert not hasattr(est, "packed_")


def test_statistics_that_diverge_are_refused(digits):
    X, _, y, _ = digits
    est = BinaryCNNClassifier((4, 4), technique="reste", learning_rate_init=1e20, random_state=0)
    with pytest.raises(ValueError, match=r"Training diverged: weights, statistics or the loss"):
        est.fit(X[:300], y[:300])


@pytest.mark.parametrize("make", [mlp, KMeansClassifier])
def test_rows_without_weight_must_be_finite_too(make):
    X = np.array([[0.0, 1.0], [1.0, 0.0], [np.nan, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="NaN"):
        make().fit(X, [0, 1, 0, 1], sample_weight=[1, 1, 0, 1])
