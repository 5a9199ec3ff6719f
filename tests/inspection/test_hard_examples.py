"""hard_examples and the pairs and changes of confusion: planted mistakes are found."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skbnn import BinaryLogisticRegression, KMeansClassifier
from skbnn.inspection import ConfusedPairsDisplay, ConfusionChangeDisplay, hard_examples

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


class Scores(ClassifierMixin, BaseEstimator):
    """Its scores are its rows."""

    classes_ = np.array(["a", "b", "c"])

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def decision_function(self, X):
        return X

    def predict(self, X):
        return self.classes_[X.argmax(1)]


X = np.array([[5.0, 1, 0, 0], [1, 5, 0, 0], [5, 0, 4, 0], [0, 2, 3, 0], [0, 9, 1, 0]])[:, :3]
Y = np.array(["a", "a", "c", "b", "b"])


def test_ranking():
    found = hard_examples(Scores(), X, Y)
    assert found.index.tolist() == [1, 2, 3, 0, 4]
    assert found.margin.tolist() == [-4, -1, -1, 4, 8]
    assert found.true.tolist() == ["a", "c", "b", "a", "b"]
    assert found.predicted.tolist() == ["b", "a", "c", "a", "b"]
    assert str(found).splitlines()[0] == "row 1: true a, predicted b, margin -4"
    assert len(hard_examples(Scores(), X, Y, n_examples=2)) == 2
    frame = found.to_frame()
    assert frame.loc[3].tolist() == [-1, "b", "c"]


@pytest.mark.parametrize(
    "model",
    [
        BinaryLogisticRegression(max_iter=1, random_state=0),
        KMeansClassifier(5, random_state=0),
        KMeansClassifier(5, technique="float", random_state=0),
        LogisticRegression(max_iter=2000),
        DecisionTreeClassifier(max_depth=3, random_state=0),
        make_pipeline(BinaryLogisticRegression(max_iter=1, random_state=0)),
        make_pipeline(StandardScaler(), KMeansClassifier(5, random_state=0)),
    ],
)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_every_kind_of_score(model, n_classes, digits):
    rows, _, y, _ = digits
    few = np.flatnonzero(y < n_classes)[:150]
    model.fit(rows[few], y[few])
    found = hard_examples(model, rows[few], y[few])
    wrong = found.predicted != found.true
    assert (np.diff(found.margin) >= 0).all()
    assert wrong[found.margin < 0].all()
    assert not wrong[found.margin > 0].any()
    np.testing.assert_array_equal(found.predicted, model.predict(rows[few])[found.index])


def test_errors():
    with pytest.raises(ValueError, match="does not know: \\['z'\\]"):
        hard_examples(Scores(), X, ["z", *Y[1:]])
    with pytest.raises(ValueError, match="X has 5 rows, but y has 2"):
        hard_examples(Scores(), X, Y[:2])

    with pytest.raises(ValueError, match="n_examples must be positive"):
        hard_examples(Scores(), X, Y, n_examples=0)
    with pytest.raises(ValueError, match="1d array"):
        hard_examples(Scores(), X, np.column_stack([Y, Y]))
    column = hard_examples(Scores(), X, Y[:, None])
    assert str(column) == str(hard_examples(Scores(), X, Y))

    class Silent(Scores):
        decision_function = property()

    with pytest.raises(TypeError, match="Silent gives no scores"):
        hard_examples(Silent(), X, Y)


def test_confused_pairs():
    display = ConfusedPairsDisplay.from_estimator(Scores(), X, Y)
    pairs = {(p.true, p.predicted): (p.count, p.index, p.nearest) for p in display.pairs}
    # Row 4 is nearer to row 1 than row 3 is, and row 0 nearer to row 2 than row 1 is.
    assert pairs == {("a", "b"): (1, 1, 4), ("c", "a"): (1, 2, 0), ("b", "c"): (1, 3, 2)}
    one = ConfusedPairsDisplay.from_estimator(Scores(), X, Y, pairs=[("c", "a")])
    assert [(p.true, p.predicted) for p in one.pairs] == [("c", "a")]
    titles = [ax.get_title() for ax in one.axes_.flat]
    assert titles == ["c → a (1)", "nearest a"]
    np.testing.assert_array_equal(one.axes_[0, 0].images[0].get_array(), X[[2]])
    with pytest.raises(ValueError, match="nothing to show"):
        ConfusedPairsDisplay.from_predictions(Y, Y, X)
    for pairs in (("a", "b"), [("a", "b", "c")]):
        with pytest.raises(ValueError, match="a list of two classes each"):
            ConfusedPairsDisplay.from_estimator(Scores(), X, Y, pairs=pairs)
    with pytest.raises(ValueError, match=r"classes that y does not have: \['z'\]"):
        ConfusedPairsDisplay.from_estimator(Scores(), X, Y, pairs=[("a", "z")])
    with pytest.raises(ValueError, match="n_pairs must be positive"):
        ConfusedPairsDisplay.from_estimator(Scores(), X, Y, n_pairs=0)


def test_confused_pairs_of_digits_take_the_hardest(digits):
    rows, test_rows, y, truth = digits
    clf = KMeansClassifier(10, random_state=0).fit(rows, y)
    figure = plt.figure()
    display = ConfusedPairsDisplay.from_estimator(clf, test_rows, truth, n_pairs=3, figure=figure)
    assert display.figure_ is figure
    counts = [pair.count for pair in display.pairs]
    assert counts == sorted(counts, reverse=True)
    pair, found = display.pairs[0], hard_examples(clf, test_rows, truth)
    same = (found.true == pair.true) & (found.predicted == pair.predicted)
    assert pair.count == same.sum()
    assert pair.index == found.index[same][0]
    assert truth[pair.nearest] == pair.predicted
    assert display.images.shape[1:] == (8, 8)


def test_confusion_change():
    truth = ["a", "a", "b", "b", "c"]
    display = ConfusionChangeDisplay.from_predictions(
        truth, ["a", "a", "b", "a", "c"], ["b", "a", "b", "b", "c"]
    )
    np.testing.assert_array_equal(display.change, [[-1, 1, 0], [-1, 1, 0], [0, 0, 0]])
    assert display.lost.tolist() == [1, -1, 0]
    texts = [(text.get_position(), text.get_text()) for text in display.ax_.texts]
    assert texts == [((0, 0), "-1"), ((1, 0), "+1"), ((0, 1), "-1"), ((1, 1), "+1")]
    _, ax = plt.subplots()
    twins = ConfusionChangeDisplay.from_estimators(Scores(), Scores(), X, Y, ax=ax)
    assert twins.ax_ is ax
    assert not twins.change.any()
