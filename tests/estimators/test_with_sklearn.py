"""The network estimators in scikit-learn's hands: copies, searches, pipelines, callbacks."""

import copy
import io
import pickle
from dataclasses import replace

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skbnn
from skbnn import BinaryLogisticRegression, BinaryMLPClassifier
from skbnn.techniques import get_technique, list_techniques


@pytest.fixture
def callbacks():
    """scikit-learn's callback package, or a skip where it is too old to have it."""
    return pytest.importorskip("sklearn.callback", reason="this scikit-learn has no callbacks")


def logistic(**params):
    return BinaryLogisticRegression(**{"max_iter": 3, "random_state": 0, **params})


def mlp(**params):
    return BinaryMLPClassifier((16,), **{"max_iter": 3, "random_state": 0, **params})


@pytest.fixture(scope="module")
def few(digits):
    X, X_test, y, y_test = digits
    return X[:400], y[:400], X_test, y_test


def by_joblib(estimator):
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e)), by_joblib],
    ids=["copy", "deepcopy", "pickle", "joblib"],
)
@pytest.mark.parametrize("technique", list_techniques())
def test_copies_predict_the_same(duplicate, technique, few):
    X, y, X_test, _ = few
    est = mlp(technique=technique, max_iter=1).fit(X, y)
    again = duplicate(est)
    assert again.packed_ == est.packed_
    np.testing.assert_array_equal(again.decision_function(X_test), est.decision_function(X_test))
    # Both go on from the same weights.
    assert again.partial_fit(X, y).packed_ == copy.deepcopy(est).partial_fit(X, y).packed_


@pytest.mark.parametrize("technique", ["bnn", replace(get_technique("bnn"), name="mine")])
def test_clone(technique, few):
    X, y, _, _ = few
    est = mlp(technique=technique, max_iter=1).fit(X, y)
    again = clone(est)
    assert again.get_params() == est.get_params()
    assert not hasattr(again, "packed_")
    assert again.fit(X, y).packed_ == est.packed_


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_n_jobs_changes_nothing(n_jobs, digits):
    X, X_test, y, _ = digits
    rows = np.concatenate([X, X_test])
    for technique in ("bnn", "float"):
        est = mlp(technique=technique, max_iter=1).fit(X, y)
        many = mlp(technique=technique, max_iter=1, n_jobs=n_jobs).fit(X, y)
        assert many.packed_ == est.packed_
        for method in ("predict", "predict_proba", "decision_function"):
            a, b = (getattr(e, method)(rows) for e in (est, many))
            np.testing.assert_array_equal(a, b)


def test_grid_search_over_techniques(few):
    X, y, X_test, _ = few
    mine = replace(get_technique("bnn"), name="mine", surrogate="approx_sign")
    grid = {"technique": ["binaryconnect", "bnn", mine]}
    search = GridSearchCV(mlp(max_iter=8), grid, cv=2, n_jobs=1).fit(X, y)
    assert list(search.cv_results_["param_technique"]) == ["binaryconnect", "bnn", mine]
    assert min(search.cv_results_["mean_test_score"][1:]) > 0.6
    assert search.best_estimator_.technique_ == get_technique(search.best_params_["technique"])
    in_processes = GridSearchCV(mlp(max_iter=8), grid, cv=2, n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(
        in_processes.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"]
    )
    np.testing.assert_array_equal(in_processes.predict(X_test), search.predict(X_test))


def test_pipeline_and_cross_validation(few):
    X, y, X_test, y_test = few
    pipeline = make_pipeline(StandardScaler(), mlp(max_iter=10))
    assert pipeline.fit(X, y).score(X_test, y_test) > 0.8
    assert pipeline[-1].n_features_in_ == 64
    scores = cross_val_score(logistic(max_iter=10), X, y, cv=3)
    assert scores.min() > 0.7


def test_calibration(few):
    X, y, X_test, y_test = few
    calibrated = CalibratedClassifierCV(logistic(max_iter=10), cv=2).fit(X, y)
    probability = calibrated.predict_proba(X_test)
    np.testing.assert_allclose(probability.sum(1), 1)
    assert calibrated.score(X_test, y_test) > 0.7


class Recorder:
    """A callback that keeps what it is told, and stops a fit after some epochs."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.events = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        score = fitted_estimator.score(X, y)
        assert fitted_estimator.packed_.predict(X).shape == y.shape
        self.events.append(f"end {context.task_name}")
        self.scores = [*getattr(self, "scores", []), score]
        return self.stop_after and len(self.scores) >= self.stop_after


def epochs(n):
    return [event for i in range(n) for event in (f"begin epoch {i}", f"end epoch {i}")]


@pytest.mark.parametrize("make", [logistic, mlp])
def test_callback_sees_every_epoch(make, few, callbacks):
    X, y, _, _ = few
    recorder = Recorder()
    est = make().set_callbacks(recorder).fit(X, y)
    assert recorder.events == ["setup", "begin fit", *epochs(3), "end fit", "teardown"]
    assert recorder.scores[-1] == recorder.scores[-2] == est.score(X, y)
    # Watching does not change what is watched.
    assert est.packed_ == make().fit(X, y).packed_


def test_callback_stops_a_fit(few, callbacks):
    X, y, _, _ = few
    recorder = Recorder(stop_after=2)
    est = mlp(max_iter=9).set_callbacks(recorder).fit(X, y)
    assert est.n_iter_ == len(est.loss_curve_) == 2
    assert est.score(X, y) == recorder.scores[1]


def test_callback_hears_nothing_of_a_fit_that_cannot_start(few, callbacks):
    X, y, _, _ = few
    recorder = Recorder()
    with pytest.raises(ValueError, match="Unknown technique"):
        mlp(technique="bnm").set_callbacks(recorder).fit(X, y)
    assert recorder.events == []


def test_scoring_monitor(few, callbacks):
    X, y, _, _ = few
    monitor = callbacks.ScoringMonitor(scoring="accuracy")
    est = mlp().set_callbacks(monitor).fit(X, y)
    score_of = {entry["task_name"]: entry["accuracy"] for entry in monitor.get_logs().data}
    assert sorted(score_of) == ["epoch 0", "epoch 1", "epoch 2", "fit"]
    assert score_of["fit"] == score_of["epoch 2"] == est.score(X, y)


def test_progress_bar_through_a_pipeline_in_a_search(few, callbacks, capsys):
    pytest.importorskip("rich", reason="scikit-learn's ProgressBar needs rich")
    X, y, _, _ = few
    search = GridSearchCV(make_pipeline(StandardScaler(), logistic()), {}, cv=2)
    search.set_callbacks(callbacks.ProgressBar(max_propagation_depth=None)).fit(X, y)
    assert "BinaryLogisticRegression" in capsys.readouterr().out


def test_without_callbacks_in_scikit_learn(few, monkeypatch):
    """The stand-ins for scikit-learn before 1.9 do nothing and lack nothing."""
    import importlib
    import sys

    from skbnn.estimators import _callbacks

    real = dict(vars(_callbacks))
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    try:
        importlib.reload(_callbacks)
        assert _callbacks.with_callbacks(len) is len
        assert vars(_callbacks.CallbackSupportMixin()) == {}
        report = _callbacks.FitReport(_callbacks.CallbackSupportMixin(), None, None, 3)
        assert report.epoch_ended(0, dict) is False
        assert report.ended({}) is None
    finally:
        vars(_callbacks).update(real)


def test_tags_and_html():
    est = mlp()
    assert est.__sklearn_tags__().input_tags.sparse
    assert "BinaryMLPClassifier" in est._repr_html_()
    assert skbnn.BinaryMLPClassifier is BinaryMLPClassifier
