"""What is estimated before flashing is what compilers make."""

import pickle

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryTransformerClassifier,
    KMeansClassifier,
)
from skbnn.export import AccuracyWithin, footprint, measure
from skbnn.export.footprints import TARGETS


def test_parts_add_up(models):
    model, _ = models["mlp"]
    found = model.footprint("cortex-m4")
    assert found == footprint(model, "cortex-m4")
    assert found.flash_nbytes == found.table_nbytes + found.code_nbytes
    assert found.binary_ops == model.summary().binary_ops
    assert found.to_dict()["flash_nbytes"] == found.flash_nbytes
    assert f"{found.flash_nbytes:,} bytes of flash" in str(found)
    # Tables in the narrowest types: fewer bytes than the arrays of 64-bit words.
    assert 200 < found.table_nbytes < model.nbytes


@pytest.mark.parametrize(
    "estimator", [BinaryLogisticRegression(max_iter=1), KMeansClassifier(technique="binary")]
)
def test_host(digits, estimator):
    X, _, y, _ = digits
    model = estimator.fit(X.astype(np.uint8), y).packed_
    try:
        measured = measure(model, "host")
    except RuntimeError as error:
        pytest.skip(str(error))
    estimated = footprint(model, "host")
    assert estimated.table_nbytes == measured.table_nbytes
    assert abs(estimated.ram_nbytes - measured.ram_nbytes) <= 32
    assert abs(estimated.flash_nbytes / measured.flash_nbytes - 1) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("target", [name for name in TARGETS if name != "host"])
@pytest.mark.parametrize(
    "estimator",
    [
        BinaryLogisticRegression(max_iter=1),
        BinaryCNNClassifier((16, 24), max_iter=1),
        BinaryCNNClassifier((24, 16), padding_value=1, n_thresholds=1, max_iter=1),
        BinaryTransformerClassifier(48, max_iter=1),
    ],
    ids=["logistic", "cnn", "cnn-one-threshold", "transformer"],
)
def test_devices(digits, target, estimator):
    X, _, y, _ = digits
    model = estimator.fit(X.astype(np.uint8), y).packed_
    try:
        measured = measure(model, target)
    except RuntimeError as error:
        pytest.skip(str(error))
    estimated = model.footprint(target)
    allowed = 0.15 if target == "avr" else 0.1
    assert abs(estimated.flash_nbytes / measured.flash_nbytes - 1) < allowed
    assert abs(estimated.ram_nbytes - measured.ram_nbytes) <= 0.1 * measured.ram_nbytes


def test_unknown_target(models):
    for call in (footprint, measure):
        with pytest.raises(ValueError, match="Unknown target 'z80'; known are cortex-m0plus"):
            call(models["mlp"][0], "z80")
    with pytest.raises(ValueError, match="Unknown target 'z80'"):
        AccuracyWithin(flash=1000, target="z80")


def test_only_packed_models_are_measured(digits):
    X, _, y, _ = digits
    with pytest.raises(ValueError, match="DummyClassifier has no packed model to measure"):
        AccuracyWithin(flash=1000)(DummyClassifier().fit(X, y), X, y)
    est = BinaryLogisticRegression(max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match=r"is no packed model; pass estimator\.packed_"):
        footprint(est)


def test_a_search_within_a_budget(digits):
    X, _, y, _ = digits
    fitted = BinaryLogisticRegression(max_iter=5, random_state=0).fit(X, y)
    size = fitted.packed_.footprint().flash_nbytes
    accuracy = fitted.score(X, y)
    assert AccuracyWithin(flash=size)(fitted, X, y) == AccuracyWithin()(fitted, X, y) == accuracy
    assert AccuracyWithin(flash=size - 1)(fitted, X, y) == -size / (size - 1)
    assert AccuracyWithin(ram=10)(fitted, X, y) < -1
    pipeline = make_pipeline(MinMaxScaler(), BinaryLogisticRegression(max_iter=2))
    scoring = pickle.loads(pickle.dumps(AccuracyWithin(flash=size + 200)))
    grid = {"binarylogisticregression__n_thresholds": [3, 12]}
    search = GridSearchCV(pipeline, grid, scoring=scoring, cv=2).fit(X, y)
    small, large = search.cv_results_["mean_test_score"]
    assert small > 0 > large
