"""Displays of what was learned show the packed model's own numbers."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import LearningCurveDisplay, ValidationCurveDisplay
from sklearn.naive_bayes import GaussianNB

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
    KMeansClassifier,
    ThermometerEncoder,
)
from skbnn.inspection import (
    LayerBytesDisplay,
    ThermometerDisplay,
    TrainingCurveDisplay,
    WeightsDisplay,
)

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def quick(kind, digits, **params):
    rows, _, y, _ = digits
    if hasattr(kind(), "alpha"):
        params = {"max_iter": 1, **params}
    return kind(random_state=0, **params).fit(rows[:300], y[:300])


def test_training_curve(digits):
    net = quick(BinaryMLPClassifier, digits, hidden_layer_sizes=(8,), max_iter=3)
    display = TrainingCurveDisplay.from_estimator(net, name="bits")
    loss, flips = display.ax_.lines[0], display.flip_ax_.lines[0]
    np.testing.assert_array_equal(loss.get_ydata(), net.loss_curve_)
    np.testing.assert_array_equal(flips.get_ydata(), net.flip_ratios_)
    assert loss.get_xdata().tolist() == [1, 2, 3]
    assert display.ax_.get_title() == "bits"
    # Without flips there is nothing at the right.
    assert TrainingCurveDisplay([1.0, 0.5], [0.0, 0.0]).plot().flip_ax_ is None
    with pytest.raises(ValueError, match="GaussianNB has recorded no loss_curve_"):
        TrainingCurveDisplay.from_estimator(GaussianNB().fit([[0], [1]], [0, 1]))


def test_weights_of_one_layer_are_those_of_the_scores(digits):
    rows, *_ = digits
    clf = quick(BinaryLogisticRegression, digits, n_thresholds=1)
    display = WeightsDisplay.from_estimator(clf)
    assert display.images.shape == (10, 8, 8)
    assert display.names == [str(c) for c in clf.classes_]
    # One bit for each pixel that varies: sums of the shown signs are those of the scores.
    encoding, layer = clf.packed_.operations
    thresholds = np.full(64, np.nan)
    thresholds[encoding.features] = encoding.thresholds
    signs = np.where(np.isnan(thresholds), 0, np.where(rows >= thresholds, 1, -1))
    sums = signs @ display.images.reshape(10, 64).T
    scores = layer.output.multipliers * sums + layer.output.offsets
    np.testing.assert_array_equal(scores, clf.packed_.scores(rows))
    np.testing.assert_array_equal(display.axes_.flat[3].images[0].get_array(), display.images[3])


@pytest.mark.parametrize("technique", ["binary", "float"])
def test_weights_of_clusters(technique, digits):
    clf = quick(KMeansClassifier, digits, technique=technique)
    display = WeightsDisplay.from_estimator(clf)
    assert display.names == [str(c) for c in clf.cluster_classes_]
    if technique == "float":
        np.testing.assert_array_equal(display.images.reshape(10, 64), clf.cluster_centers_)
    else:
        assert np.abs(display.images).max() == 1


@pytest.mark.parametrize("technique", ["bnn", "float", "binaryconnect"])
def test_weights_of_networks(technique, digits):
    net = quick(BinaryMLPClassifier, digits, hidden_layer_sizes=(12,), technique=technique)
    display = WeightsDisplay.from_estimator(net, n_units=5)
    assert display.images.shape == (5, 8, 8)
    assert display.names is None
    constant = np.ptp(digits[0][:300], axis=0) == 0
    assert not display.images.reshape(5, 64)[:, constant].any()
    assert display.images.any()


@pytest.mark.parametrize("technique", ["bnn", "float"])
@pytest.mark.parametrize("block", [1, 2])
def test_weights_of_windows(technique, block, digits):
    net = quick(
        BinaryCNNClassifier, digits, channels=(4,), technique=technique, space_to_depth=block
    )
    images = WeightsDisplay.from_estimator(net).images
    assert images.shape == (4, 3 * block, 3 * block)
    # The mean over a picture is that of all weights of the unit, whatever their order.
    layer = net.packed_.operations[1]
    if technique == "float":
        np.testing.assert_allclose(images.mean((1, 2)), layer.weights.mean(1), atol=1e-6)


def test_what_has_no_weights_to_show(digits):
    with pytest.raises(TypeError, match="GaussianNB has no packed model"):
        WeightsDisplay.from_estimator(GaussianNB().fit([[0], [1]], [0, 1]))
    with pytest.raises(NotFittedError):
        WeightsDisplay.from_estimator(BinaryLogisticRegression())
    for wrong in ({"n_units": 0}, {"n_columns": 0}):
        with pytest.raises(ValueError, match="must be positive"):
            WeightsDisplay.from_estimator(quick(BinaryLogisticRegression, digits), **wrong)
    net = quick(BinaryTransformerClassifier, digits, d_model=16, n_layers=1)
    with pytest.raises(TypeError, match="cannot be shown|is unknown"):
        WeightsDisplay.from_estimator(net)


def test_layers(digits):
    net = quick(BinaryMLPClassifier, digits, hidden_layer_sizes=(8,))
    display = LayerBytesDisplay.from_estimator(net)
    summary = net.packed_.summary()
    in_float, stored = display.ax_.containers
    assert [bar.get_width() for bar in stored] == [layer.nbytes for layer in summary.layers]
    widths = [bar.get_width() for bar in in_float]
    assert np.isnan(widths[0])
    assert widths[1:] == [layer.float32_nbytes for layer in summary.layers[1:]]
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels[1].endswith("1 bit")
    with pytest.raises(TypeError, match="GaussianNB has no packed model"):
        LayerBytesDisplay.from_estimator(GaussianNB().fit([[0], [1]], [0, 1]))


@pytest.mark.parametrize(
    "kind", [ThermometerEncoder, BinaryLogisticRegression, BinaryCNNClassifier]
)
def test_thermometer(kind, digits):
    rows, *_ = digits
    if kind is ThermometerEncoder:
        est = kind(n_thresholds=2).fit(rows[:300])
    else:
        est = quick(kind, digits, n_thresholds=2)
    display = ThermometerDisplay.from_estimator(est, rows[:3])
    assert display.bits.shape == (3, 2, 8, 8)
    assert display.axes_.shape == (3, 3)
    bits = display.bits.reshape(3, 2, 64)
    # A bit is lit only where the one below it is.
    assert (np.nan_to_num(bits[:, 1]) <= np.nan_to_num(bits[:, 0])).all()
    if kind is ThermometerEncoder:
        coded = est.transform(rows[:3])
        lit = bits.transpose(0, 2, 1)
        np.testing.assert_array_equal(lit[~np.isnan(lit)].reshape(3, -1), coded)


def test_thermometer_of_wrong_rows(digits):
    net = quick(BinaryLogisticRegression, digits)
    with pytest.raises(ValueError, match="Reshape your data"):
        ThermometerDisplay.from_estimator(net, digits[0][0])
    with pytest.raises(ValueError, match="X has 49 features, but .* was fitted on 64"):
        ThermometerDisplay.from_estimator(net, digits[0][:2, :49])


def test_thermometer_of_real_inputs(digits):
    net = quick(BinaryLogisticRegression, digits, technique="float")
    message = r"Standardize has no thresholds\. Fit with encoding='thermometer' and a technique"
    with pytest.raises(TypeError, match=message):
        ThermometerDisplay.from_estimator(net, digits[0][:1])
    with pytest.raises(TypeError, match="GaussianNB does not read thermometer bits"):
        ThermometerDisplay.from_estimator(GaussianNB().fit([[0], [1]], [0, 1]), [[0]])


FAMILIES = {
    BinaryLogisticRegression: {"max_iter": 1},
    BinaryMLPClassifier: {"max_iter": 1, "hidden_layer_sizes": (8,)},
    BinaryCNNClassifier: {"max_iter": 1, "channels": (4,)},
    BinaryTransformerClassifier: {"max_iter": 1, "d_model": 16, "n_layers": 1},
    KMeansClassifier: {"n_clusters": 20},
}
SLOW = {
    kind: pytest.param(kind, marks=pytest.mark.slow)
    for kind in (BinaryMLPClassifier, BinaryCNNClassifier, BinaryTransformerClassifier)
}


@pytest.mark.parametrize("kind", [SLOW.get(kind, kind) for kind in FAMILIES])
def test_scikit_learns_displays_and_tools(kind, digits):
    rows, _, y, _ = digits
    X, y = rows[:240], y[:240]
    est = kind(random_state=0, **FAMILIES[kind])
    fitted = est.fit(X, y)
    shown = ConfusionMatrixDisplay.from_estimator(fitted, X, y)
    assert shown.confusion_matrix.trace() == round(fitted.score(X, y) * len(X))
    curve = LearningCurveDisplay.from_estimator(est, X, y, train_sizes=[0.5, 1.0], cv=2)
    assert np.isfinite(curve.test_scores).all()
    values = ValidationCurveDisplay.from_estimator(
        est, X, y, param_name="n_thresholds", param_range=[1, 2], cv=2
    )
    assert np.isfinite(values.test_scores).all()
    importances = permutation_importance(fitted, X, y, n_repeats=1, random_state=0)
    assert importances.importances_mean.any()
    # A pixel that never changes cannot matter.
    assert not importances.importances_mean[np.ptp(X, axis=0) == 0].any()
    calibrated = CalibratedClassifierCV(est, cv=2).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(1), 1)
