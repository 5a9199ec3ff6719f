"""compare_models: planted differences are found, and every form shows the same numbers."""

import csv
import io
import json
import pickle
import time
from dataclasses import fields

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbnn import BinaryLogisticRegression, BinaryMLPClassifier, compare_models
from skbnn.inspection import Comparison, ModelResult
from skbnn.packed.format import to_bytes

matplotlib.use("Agg")


class Planted(ClassifierMixin, BaseEstimator):
    """A classifier of a known size, speed and accuracy."""

    def __init__(self, size=0, wait=0.0, wrong=0.0, random_state=None):
        self.size = size
        self.wait = wait
        self.wrong = wrong
        self.random_state = random_state

    def fit(self, X, y):
        time.sleep(3 * self.wait)
        self.classes_ = np.unique(y)
        self.ballast_ = np.zeros(self.size, np.uint8)
        return self

    def predict(self, X):
        time.sleep(self.wait)
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
    }
    comparison = compare_models(models, X, Y, random_state=0)
    good, large, slow, wrong = comparison.results
    assert [r.model for r in comparison.results] == list(models)
    assert 100_000 <= large.nbytes - good.nbytes < 100_100
    assert large.ratio == pytest.approx(good.nbytes / large.nbytes)
    assert slow.one_us > 20_000 > 10 * good.one_us
    assert slow.batch_us > 20_000 / 50 > 10 * good.batch_us
    assert slow.fit_seconds > 0.06 > good.fit_seconds
    assert good.accuracy == 1
    assert wrong.accuracy == 0.8
    assert wrong.stderr == pytest.approx((0.8 * 0.2 / 50) ** 0.5)
    assert {r.size for r in comparison.results} == {"pickle"}
    assert comparison.setting == {
        "n_train": 150,
        "n_test": 50,
        "n_features": 1,
        "n_classes": 2,
        "n_repeats": 1,
        "test_set": "split off",
    }


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
    assert [r.float32_us is not None for r in comparison.results] == [True, False, False]
    assert comparison.estimators_["float"].packed_.precision == "float64"


def test_references():
    models = {name: Planted(size=size) for name, size in [("a", 0), ("b", 999), ("c", 5000)]}
    size = {r.model: r.nbytes for r in compare_models(models, X, Y).results}

    def ratios(reference):
        return [r.ratio for r in compare_models(models, X, Y, reference=reference).results]

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


@pytest.fixture
def comparison():
    results = [
        ModelResult("a, <b>", 0.98765, 0.00123, 123_456, "pickle", 1.0, 1.5, 12.3, 0.4567, 0.2),
        ModelResult("bits", 0.5, 0.01, 1234, "packed", 100.0, 0.25, 3.21, 0.0321, None),
        ModelResult("none", 1.0, 0.0, 99, "packed", None, 0.25, 3.21, 0.0321, None),
    ]
    return Comparison(results, {"bits": "a, <b>"}, {"n_test": 50}, {})


def test_text(comparison):
    head, *rows = str(comparison).splitlines()
    assert repr(comparison) == str(comparison)
    assert head.split() == (
        "model accuracy +- bytes stored as smaller fit s one, us batch, us/row in float32".split()
    )
    assert rows[0].startswith("a, <b>    0.9877  0.0012  123,456  pickle        1.0x")
    assert rows[1].split() == "bits 0.5000 0.0100 1,234 packed 100.0x 0.25 3.2 0.032 -".split()
    assert rows[2].split()[5] == "-"
    assert len({line.index("p") for line in rows[1:]}) == 1


def test_html(comparison):
    html = comparison._repr_html_()
    assert "a, &lt;b&gt;" in html
    assert "<b>" not in html
    assert html.count("<tr>") == 4
    assert html.count("<td ") == 30
    assert "123,456" in html


def test_data_forms_agree(comparison):
    names = [field.name for field in fields(ModelResult)]
    frame = comparison.to_frame()
    assert list(frame.columns) == names[1:]
    assert list(frame.index) == ["a, <b>", "bits", "none"]
    assert frame.loc["a, <b>", "accuracy"] == 0.98765
    assert np.isnan(frame.loc["none", "ratio"])

    data = json.loads(comparison.to_json())
    assert data == comparison.to_dict()
    assert data["results"][1]["nbytes"] == 1234
    assert data["results"][2]["ratio"] is None
    assert data["reference"] == {"bits": "a, <b>"}

    rows = list(csv.reader(io.StringIO(comparison.to_csv())))
    assert rows[0] == names
    assert rows[1][:2] == ["a, <b>", "0.98765"]
    assert rows[3][names.index("ratio")] == ""
    assert {len(row) for row in rows} == {len(names)}


def test_csv_of_quotes():
    result = ModelResult('say "a", twice', 1.0, 0.0, 1, "packed", None, 0.0, 0.0, 0.0, None)
    text = Comparison([result], {}, {}, {}).to_csv()
    assert list(csv.reader(io.StringIO(text)))[1][0] == 'say "a", twice'


def test_plot(comparison):
    import matplotlib.pyplot as plt

    ax = comparison.plot()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    place_of = {text.get_text(): text.xy for text in ax.texts}
    assert place_of["bits"] == (1234, 0.5)
    # A model without errors keeps a place on a logarithmic axis.
    assert place_of["none"] == (99, 0.5 / 50)
    assert len(place_of) == 3
    assert comparison.plot(ax=ax) is ax
    plt.close(ax.figure)


@pytest.mark.parametrize(
    ("models", "arguments", "message"),
    [
        ({}, {}, "There is no model to compare"),
        ({"a": Planted()}, {"reference": "b"}, r"reference names \['b'\], .* none of \['a'\]"),
        ({"a": Planted()}, {"reference": {"b": "a"}}, r"reference names \['b'\]"),
        ({"a": Planted()}, {"X_test": X}, "Pass both X_test and y_test, or neither"),
        ({"a": Planted()}, {"y_test": Y}, "Pass both X_test and y_test, or neither"),
        ({"a": Planted()}, {"n_repeats": 0}, "n_repeats"),
    ],
)
def test_errors(models, arguments, message):
    with pytest.raises(ValueError, match=message):
        compare_models(models, X, Y, **arguments)


def test_packed_bytes_do_not_depend_on_who_asks(digits):
    rows, _, y, _ = digits
    est = BinaryLogisticRegression(max_iter=1, random_state=0).fit(rows, y)
    assert to_bytes(est.packed_) == to_bytes(pickle.loads(pickle.dumps(est)).packed_)
