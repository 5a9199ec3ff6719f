"""scikit-learn's own checks, for every public estimator and every technique."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

import skbnn
from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
    KMeansClassifier,
    ThermometerEncoder,
)
from skbnn.estimators._base import NetworkClassifier
from skbnn.techniques import list_techniques

ROOT = Path(skbnn.__file__).parent.parent

EXPECTED_FAILED_CHECKS = {}
"""Estimator name to checks and reasons; it is to stay empty."""

ESTIMATORS = [
    public
    for public in (getattr(skbnn, name) for name in skbnn.__all__)
    if isinstance(public, type) and issubclass(public, BaseEstimator)
]

VARIANTS = [
    *(BinaryLogisticRegression(technique=t) for t in list_techniques()),
    *(BinaryMLPClassifier((64,), technique=t) for t in list_techniques()),
    *(BinaryCNNClassifier((8, 16), technique=t) for t in list_techniques()),
    *(BinaryTransformerClassifier(16, n_layers=1, technique=t) for t in list_techniques()),
    *(BinaryTransformerClassifier(16, attention=a) for a in ("row-max", "softmax")),
    *(KMeansClassifier(technique=t) for t in ("binary", "float")),
    *(ThermometerEncoder(strategy=s) for s in ("distinct", "quantile", "uniform")),
]


def expected_failed_checks(estimator):
    return EXPECTED_FAILED_CHECKS.get(type(estimator).__name__, {})


def run_check(estimator, check):
    """Run a check; the one that only runs under SCIPY_ARRAY_API has a subprocess of its own."""
    name = getattr(check, "func", check).__name__
    if name == "check_array_api_input" and not os.environ.get("SCIPY_ARRAY_API"):
        pytest.skip("runs with SCIPY_ARRAY_API=1, in test_with_array_api")
    check(estimator)


def test_no_failure_is_expected():
    assert EXPECTED_FAILED_CHECKS == {}


def test_every_estimator_is_checked():
    assert ESTIMATORS == [
        BinaryCNNClassifier,
        BinaryLogisticRegression,
        BinaryMLPClassifier,
        BinaryTransformerClassifier,
        KMeansClassifier,
        ThermometerEncoder,
    ]
    assert {type(variant) for variant in VARIANTS} == set(ESTIMATORS)
    networks = {type(v) for v in VARIANTS if isinstance(v, NetworkClassifier)}
    assert len(networks) == 4
    for network in networks:
        techniques = {v.technique for v in VARIANTS if type(v) is network}
        assert techniques == set(list_techniques())


@parametrize_with_checks(
    [estimator() for estimator in ESTIMATORS], expected_failed_checks=expected_failed_checks
)
def test_default(estimator, check):
    run_check(estimator, check)


@pytest.mark.slow
@parametrize_with_checks(VARIANTS, expected_failed_checks=expected_failed_checks)
def test_variant(estimator, check):
    run_check(estimator, check)


@pytest.mark.slow
def test_with_array_api():
    """SciPy reads the variable when it is imported, so the checks need a fresh interpreter.

    One of them trains 1000 epochs, whatever the variable says.
    """
    test = f"{__file__}::test_default"
    chosen = ["-k", "not check_class_weight_classifiers", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", *chosen, test],
        cwd=ROOT,
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    assert "skipped" not in result.stdout, result.stdout
