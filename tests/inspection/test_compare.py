"""compare_models: planted differences are found, and every form shows the same numbers."""

import pickle
import sys
import time

import matplotlib
import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import FitFailedWarning
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbnn import BinaryLogisticRegression, BinaryMLPClassifier, compare_models
from skbnn.inspection.measure import packed_of, saved_size
from skbnn.packed.format import to_bytes

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def no_garbage(monkeypatch):
    """Skip the search for garbage before each fit: it takes longer than fits as short as these."""
    monkeypatch.setattr("skbnn.inspection.memory.gc.collect", lambda: 0)


class Planted(ClassifierMixin, BaseEstimator):
    """A classifier of a known size, speed and accuracy."""

    def __init__(self, size=0, wait=0.0, wrong=0.0, appetite=0, random_state=None):
        self.size = size
        self.wait = wait
        self.wrong = wrong
        self.appetite = appetite
        self.random_state = random_state

    def fit(self, X, y):
        time.sleep(3 * self.wait)
        np.ones(self.appetite, np.uint8)
        self.classes_ = np.unique(y)
        self.ballast_ = np.zeros(self.size, np.uint8)
        return self

    def predict(self, X):
        time.sleep(self.wait)
        np.ones(self.appetite, np.uint8)
        right = np.asarray(X)[:, 0].astype(int)
        right[: round(self.wrong * len(right))] += 1
        return right


X = np.arange(200.0)[:, None] % 2
Y = X[:, 0].astype(int)


def networks(**params):
    return {
        technique: BinaryLogisticRegression(technique=technique, max_iter=1, **params)
        for technique in ("float", "bnn")
    }


def test_planted_differences():
    models = {
        "good": Planted(),
        "large": Planted(size=100_000),
        "slow": Planted(wait=0.02),
        "wrong": Planted(wrong=0.2),
        "hungry": Planted(appetite=30_000_000),
    }
    comparison = compare_models(models, X, Y, random_state=0)
    good, large, slow, wrong, hungry = comparison.results
    assert [r.model for r in comparison.results] == list(models)
    assert 100_000 <= large.nbytes - good.nbytes < 100_100
    assert large.ratio == pytest.approx(good.nbytes / large.nbytes)
    assert slow.one_us > 20_000 > 10 * good.one_us
    assert slow.batch_us > 20_000 / 50 > 10 * good.batch_us
    assert slow.fit_seconds > 0.06 > good.fit_seconds
    assert slow.fit_seconds > 10 * slow.fit_cpu_seconds
    assert good.accuracy == 1
    assert wrong.accuracy == 0.8
    assert wrong.stderr == pytest.approx((0.8 * 0.2 / 50) ** 0.5)
    assert hungry.predict_peak_nbytes >= 30_000_000 > 10 * good.predict_peak_nbytes
    if sys.platform == "linux":
        assert 29_000_000 < hungry.fit_peak_nbytes < 40_000_000
        assert good.fit_peak_nbytes < 3_000_000
    assert {r.size for r in comparison.results} == {"pickle"}
    assert comparison.setting == {
        "n_train": 150,
        "n_test": 50,
        "n_tested": 50,
        "n_features": 1,
        "n_classes": 2,
        "labels": [0, 1],
        "n_repeats": 1,
        "test_set": "split off",
    }


class Sluggish(BinaryLogisticRegression):
    """One-bit weights that predict late."""

    def predict(self, X):
        time.sleep(0.01)
        return super().predict(X)


def test_table_tells_of_slow_and_large_bits(digits):
    rows, _, y, _ = digits
    models = {
        "float": BinaryLogisticRegression(technique="float", max_iter=1),
        "bits": BinaryLogisticRegression(max_iter=1),
        "late bits": Sluggish(max_iter=1),
        "large bits": BinaryMLPClassifier((512,), max_iter=1),
    }
    comparison = compare_models(models, rows[:400], y[:400], random_state=0)
    frame = comparison.to_frame()
    assert frame.one_us["late bits"] > 10_000 > 10 * frame.one_us["bits"]
    assert frame.batch_us["late bits"] > frame.batch_us["float"]
    assert frame.ratio["large bits"] < 1 < frame.ratio["bits"]
    assert frame.binary_ops["large bits"] > 10 * frame.binary_ops["bits"] > 0
    assert frame.float_ops["float"] > frame.binary_ops["float"] == 0
    _, _, _, late, large = str(comparison).splitlines()
    assert f"  {frame.ratio['large bits']:.1f}x  " in large
    assert f"  {frame.one_us['late bits']:.1f}" in late


def test_bytes_are_of_the_file_or_the_pickle(digits, tmp_path):
    rows, _, y, _ = digits
    models = {**networks(random_state=0), "bayes": GaussianNB()}
    comparison = compare_models(models, rows[:400], y[:400], random_state=0)
    for result in comparison.results:
        fitted = comparison.estimators_[result.model]
        if result.model == "bayes":
            assert (result.size, result.nbytes) == ("pickle", len(pickle.dumps(fitted)))
        else:
            fitted.packed_.save(tmp_path / "model.skbnn")
            assert result.size == "packed"
            assert result.nbytes == (tmp_path / "model.skbnn").stat().st_size
    float_bytes, bnn_bytes, _ = (r.nbytes for r in comparison.results)
    assert comparison.results[1].ratio == float_bytes / bnn_bytes


def test_float32_is_timed_for_real_activations_only(digits):
    rows, _, y, _ = digits
    # Columns of several types, as tables have: validation reads them, the packed model alone not.
    frame = pd.DataFrame(rows[:300]).rename(columns=str)
    frame["dark"] = frame["20"] > 8
    comparison = compare_models({**networks(), "bayes": GaussianNB()}, frame, y[:300])
    for name in ("float32_one_us", "float32_us"):
        found = [getattr(r, name) is not None for r in comparison.results]
        assert found == [True, False, False]
    assert comparison.estimators_["float"].packed_.precision == "float64"


def test_references(tmp_path):
    models = {name: Planted(size=size) for name, size in [("a", 0), ("b", 999), ("c", 5000)]}

    def results(reference):
        settings = {"random_state": 0, "resume_dir": tmp_path}
        return compare_models(models, X, Y, reference=reference, **settings).results

    def ratios(reference):
        return [r.ratio for r in results(reference)]

    size = {r.model: r.nbytes for r in results(None)}

    assert ratios(None) == ratios("a") == [size["a"] / size[name] for name in "abc"]
    assert ratios("c") == [size["c"] / size[name] for name in "abc"]
    assert ratios({"b": "c"}) == [None, size["c"] / size["b"], None]


def test_given_test_set():
    wrong = compare_models({"a": Planted()}, X, Y, X_test=X[:10], y_test=1 - Y[:10])
    assert wrong.results[0].accuracy == 0
    assert wrong.setting["n_train"] == 200
    assert wrong.setting["n_test"] == 10
    assert wrong.setting["test_set"] == "given"


def test_split_size():
    comparison = compare_models({"a": Planted()}, X, Y, test_size=0.1)
    assert comparison.setting["n_test"] == 20


def test_repeats_have_different_seeds_and_splits():
    lines = []
    comparison = compare_models(
        {"a": Planted(wrong=0.1), "set": Planted(random_state=7)},
        X,
        Y,
        n_repeats=3,
        random_state=0,
        progress=lines.append,
    )
    assert [line.split(":")[0] for line in lines] == ["a", "set"] * 3
    assert "accuracy 0.9000" in lines[0]
    assert comparison.setting["n_repeats"] == 3
    assert comparison.estimators_["set"].random_state == 7
    assert isinstance(comparison.estimators_["a"].random_state, int)


def test_same_seed_same_result(digits):
    rows, _, y, _ = digits
    a, b, c = (
        compare_models(networks(), rows[:300], y[:300], random_state=seed) for seed in (1, 1, 2)
    )
    assert [r.accuracy for r in a.results] == [r.accuracy for r in b.results]
    assert a.estimators_["bnn"].packed_ == b.estimators_["bnn"].packed_
    assert a.estimators_["bnn"].packed_ != c.estimators_["bnn"].packed_


class Erratic(Planted):
    """Right throughout for an even seed, half wrong for an odd one."""

    def predict(self, X):
        self.wrong = 0.5 * (self.random_state % 2)
        return super().predict(X)


class Failing(Planted):
    """Fails where its seed is odd, or always."""

    def fit(self, X, y):
        if self.wrong or self.random_state % 2:
            raise RuntimeError("out of luck")
        return super().fit(X, y)


def test_spread_over_repeats_counts():
    comparison = compare_models(
        {"a": Erratic()}, X, Y, X_test=X, y_test=Y, n_repeats=8, random_state=0
    )
    (result,) = comparison.results
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=8)  # noqa: NPY002
    accuracies = 1 - 0.5 * (seeds % 2)
    assert result.accuracy == accuracies.mean()
    binomial = (result.accuracy * (1 - result.accuracy) / 200) ** 0.5
    assert result.stderr == pytest.approx(accuracies.std(ddof=1) / 8**0.5)
    assert result.stderr > 2 * binomial


def test_one_failure_does_not_lose_the_rest():
    models = {"good": Planted(), "odd": Failing(), "bad": Failing(wrong=1)}
    with pytest.warns(FitFailedWarning, match="RuntimeError: out of luck"):
        comparison = compare_models(models, X, Y, n_repeats=4, random_state=0, reference="bad")
    assert [r.model for r in comparison.results] == ["good", "odd"]
    good, odd = comparison.results
    assert (good.n_runs, good.ratio) == (4, None)
    assert 0 < odd.n_runs < 4
    assert len(comparison.failures) == 8 - odd.n_runs
    assert "failed: bad, repeat 3: RuntimeError: out of luck" in str(comparison)
    with pytest.raises(ValueError, match="Every fit failed:\nbad: RuntimeError"):
        compare_models({"bad": Failing(wrong=1)}, X, Y)


def test_cross_validation():
    comparison = compare_models({"a": Planted(wrong=0.1)}, X, Y, cv=4, random_state=0)
    (result,) = comparison.results
    assert result.n_runs == 4
    # Every row is tested once, so all of them count.
    assert comparison.setting["n_tested"] == 200
    assert (comparison.setting["n_test"], comparison.setting["n_train"]) == (50, 150)
    assert comparison.setting["test_set"] == "cross-validated"
    assert result.stderr == pytest.approx((0.1 * 0.9 / 200) ** 0.5)
    assert comparison.confusion("a").trace() == 180
    again = compare_models({"a": Planted()}, X, Y, cv=KFold(2), n_repeats=2)
    assert again.results[0].n_runs == 4
    assert again.setting["n_tested"] == 100


class Counted(Planted):
    """Remembers how often it was fitted on all rows, and is stopped by the user once."""

    n_fits, stops = 0, ()

    def fit(self, X, y):
        if len(y) > 100:
            Counted.n_fits += 1
            if Counted.n_fits in Counted.stops:
                raise KeyboardInterrupt
        return super().fit(X, y)


def test_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(Counted, "n_fits", 0)
    monkeypatch.setattr(Counted, "stops", (3,))
    models = {"a": Counted(), "b": Counted(size=999)}
    settings = {"n_repeats": 2, "random_state": 0, "resume_dir": tmp_path / "runs"}
    with pytest.raises(KeyboardInterrupt):
        compare_models(models, X, Y, **settings)
    assert Counted.n_fits == 3
    assert len(list((tmp_path / "runs").iterdir())) == 2
    lines = []
    comparison = compare_models(models, X, Y, **settings, progress=lines.append)
    assert Counted.n_fits == 5
    assert ["before" in line for line in lines] == [True, True, False, False]
    assert [r.n_runs for r in comparison.results] == [2, 2]
    again = compare_models(models, X, Y, **settings)
    assert (Counted.n_fits, again.estimators_) == (5, {})
    assert again.to_dict() == comparison.to_dict()
    # Other parameters, other seeds and other data are other fits.
    compare_models({"a": Counted(size=1)}, X, Y, **settings)
    compare_models({"a": Counted()}, X, Y, **{**settings, "random_state": 1})
    compare_models({"a": Counted()}, X[:-4], Y[:-4], **settings)
    assert Counted.n_fits == 11


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_joblib_backends(backend, digits):
    rows, _, y, _ = digits
    models = {**networks(), "bayes": GaussianNB()}
    alone = compare_models(models, rows[:300], y[:300], n_repeats=2, random_state=0)
    with parallel_config(backend=backend, n_jobs=2):
        shared = compare_models(models, rows[:300], y[:300], n_repeats=2, random_state=0)
    assert [r.accuracy for r in shared.results] == [r.accuracy for r in alone.results]
    assert shared.estimators_["bnn"].packed_ == alone.estimators_["bnn"].packed_


def test_rows_need_not_be_numbers():
    """A pipeline may begin with texts."""
    texts = ["one two", "two three", "four five", "five six"] * 10
    y = np.arange(40) // 2 % 2
    models = {
        "bits": make_pipeline(CountVectorizer(), BinaryLogisticRegression(max_iter=9)),
        "float": make_pipeline(CountVectorizer(), LogisticRegression()),
    }
    for X in (texts, np.array(texts), pd.Series(texts)):
        comparison = compare_models(models, X, y, cv=2, random_state=0)
        assert comparison.setting["n_features"] is None
        assert [r.accuracy for r in comparison.results] == [1, 1]


def test_what_is_saved_of_a_pipeline(digits):
    rows, _, y, _ = digits
    net = BinaryLogisticRegression(max_iter=1, random_state=0)
    scaled = make_pipeline(StandardScaler(), net).fit(rows, y)
    scaler, fitted = scaled[0], scaled[-1]
    both = len(pickle.dumps(scaler)) + len(to_bytes(fitted.packed_))
    assert saved_size(scaled) == (both, "pickle + packed")
    assert saved_size(make_pipeline(net).fit(rows, y))[1] == "packed"
    search = GridSearchCV(net, {"alpha": [0.0]}, cv=2).fit(rows, y)
    assert saved_size(search) == (len(to_bytes(search.best_estimator_.packed_)), "packed")
    assert packed_of(search) == search.best_estimator_.packed_
    assert packed_of(make_pipeline(StandardScaler(), GaussianNB())) is None


def test_models_stay_as_they_are():
    model = make_pipeline(StandardScaler(), Planted())
    comparison = compare_models({"a": model}, X, Y, random_state=0)
    assert not hasattr(model[-1], "classes_")
    assert model[-1].random_state is None
    assert comparison.estimators_["a"][-1].random_state is not None


def test_data_frames_and_string_labels():
    frame, labels = pd.DataFrame({"x": X[:, 0]}), np.array(["no", "yes"])[Y]
    models = {"a": LogisticRegression(), "b": BinaryMLPClassifier((8,), max_iter=20)}
    comparison = compare_models(models, frame, pd.Series(labels), random_state=0)
    assert [r.accuracy for r in comparison.results] == [1, 1]
    assert comparison.estimators_["b"].feature_names_in_ == ["x"]


@pytest.mark.parametrize(
    ("models", "arguments", "message"),
    [
        ({}, {}, "There is no model to compare"),
        ({"a": Planted()}, {"reference": "b"}, r"reference names \['b'\], .* none of \['a'\]"),
        ({"a": Planted()}, {"reference": {"b": "a"}}, r"reference names \['b'\]"),
        ({"a": Planted()}, {"X_test": X}, "Pass both X_test and y_test, or neither"),
        ({"a": Planted()}, {"y_test": Y}, "Pass both X_test and y_test, or neither"),
        ({"a": Planted()}, {"n_repeats": 0}, "n_repeats"),
        ({"a": Planted()}, {"X_test": X, "y_test": Y, "cv": 3}, "either a test set or cv"),
        ({"a": Planted()}, {"resume_dir": "x"}, "resume_dir needs a random_state"),
        ({"a": Planted()}, {"y": None}, "y is missing"),
        ({"a": Planted()}, {"y": Y[1:]}, "inconsistent numbers of samples"),
        ({"a": Planted()}, {"X_test": X, "y_test": Y[1:]}, "inconsistent numbers of samples"),
    ],
)
def test_errors(models, arguments, message):
    with pytest.raises(ValueError, match=message):
        compare_models(models, **{"X": X, "y": Y, **arguments})


@pytest.mark.parametrize("models", [[Planted()], Planted(), {1: Planted()}])
def test_models_need_names(models):
    with pytest.raises(TypeError, match="models must be a dict of names"):
        compare_models(models, X, Y)


def test_packed_bytes_do_not_depend_on_who_asks(digits):
    rows, _, y, _ = digits
    est = BinaryLogisticRegression(max_iter=1, random_state=0).fit(rows, y)
    assert to_bytes(est.packed_) == to_bytes(pickle.loads(pickle.dumps(est)).packed_)
