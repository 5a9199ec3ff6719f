"""The picture of a comparison: places, front, and what scikit-learn's searches found."""

from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from skbnn.inspection import ComparisonDisplay
from skbnn.inspection.measure import saved_size

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def result(model, accuracy, nbytes, **costs):
    reach = {"accuracy_low": accuracy - 0.01, "accuracy_high": min(1.0, accuracy + 0.01)}
    return SimpleNamespace(model=model, accuracy=accuracy, nbytes=nbytes, **reach, **costs)


RESULTS = [
    result("best", 1.0, 1000, one_us=4.0),
    result("beaten", 0.9, 1000, one_us=2.0),
    result("small", 0.8, 10, one_us=None),
    result("worse", 0.7, 20, one_us=1.0),
]


def test_places_and_front():
    display = ComparisonDisplay(RESULTS, n_test=50).plot()
    ax = display.ax_
    assert display.figure_ is ax.figure
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    place_of = {text.get_text(): text.xy for text in ax.texts}
    assert place_of["worse"] == (20, pytest.approx(0.3))
    # A model without errors keeps a place on a logarithmic axis.
    assert place_of["best"] == (1000, 0.5 / 50)
    assert len(place_of) == 4
    assert display.front_ == ["small", "best"]


def test_other_costs():
    _, ax = plt.subplots()
    display = ComparisonDisplay(RESULTS, n_test=50).plot(ax, x="one_us")
    assert display.ax_ is ax
    assert ax.get_xlabel() == "µs for one example"
    assert display.front_ == ["worse", "beaten", "best"]
    assert len(ax.texts) == 3
    with pytest.raises(ValueError, match="x must be one of"):
        display.plot(x="price")
    with pytest.raises(ValueError, match="has a cost 'fit_seconds'"):
        ComparisonDisplay([result("a", 0.5, 1)]).plot(x="fit_seconds")


def test_names_keep_apart():
    crowd = [result(f"model {i}", 0.9 - i / 1000, 1000 + i) for i in range(6)]
    ax = ComparisonDisplay(crowd).plot().ax_
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    clear = [not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert all(clear)


def test_from_search(digits):
    X, _, y, _ = digits
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 5]}, cv=3)
    display = ComparisonDisplay.from_cv_results(search.fit(X[:300], y[:300]).cv_results_)
    shallow, deep = display.results
    assert [shallow.model, deep.model] == ["max_depth=1", "max_depth=5"]
    assert deep.accuracy == search.best_score_
    spread = search.cv_results_["std_test_score"][1] / 2**0.5
    assert deep.accuracy_high == pytest.approx(deep.accuracy + 1.96 * spread)
    assert display.ax_.get_xlabel() == "seconds to fit"


def test_from_cross_validation(digits):
    X, _, y, _ = digits
    models = {"bayes": GaussianNB(), "dummy": DummyClassifier()}
    found = {
        name: cross_validate(model, X[:300], y[:300], cv=3, return_estimator=True)
        for name, model in models.items()
    }
    display = ComparisonDisplay.from_cv_results(found)
    bayes, _ = display.results
    scores = found["bayes"]["test_score"]
    assert bayes.accuracy == scores.mean()
    sizes = [saved_size(fitted)[0] for fitted in found["bayes"]["estimator"]]
    assert bayes.nbytes == np.median(sizes)
    assert display.ax_.get_xlabel() == "bytes of the saved model"
    assert set(display.front_) == {"dummy", "bayes"}
