"""Fixtures that several test files share."""

import os
from zlib import crc32

import pytest

# Processes that share the cores out must not share each of them out again: torch's threads would
# wait for each other at the end of every small operation.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

PLAIN_TECHNIQUES = ("float", "binaryconnect", "binaryconnect-stochastic", "bnn")
SLOW_CHECKS = {
    "check_class_weight_classifiers": "Binary",
    "check_estimator_sparse": "BinaryTransformerClassifier",
}
"""Checks of scikit-learn and the classes that take long in them: the first trains 1000 epochs, the
others fit for each format of sparse arrays."""
FAMILIES = (
    "BinaryLogisticRegression",
    "BinaryMLPClassifier",
    "BinaryCNNClassifier",
    "BinaryTransformerClassifier",
)
SHARES = len(FAMILIES)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Count as slow the longest of scikit-learn's checks, and fits of all but plain techniques.

    Of the latter, one in four is slow and the others exhaustive: every technique passes each check
    in one family of networks, and in all of them with ``-m "slow or exhaustive"``. In the longest
    checks that holds for plain techniques too.
    """
    from skbnn.techniques import list_techniques

    every = list_techniques()
    others = [name for name in every if name not in PLAIN_TECHNIQUES]
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        estimator = parameters.get("estimator")
        names = {v for v in parameters.values() if isinstance(v, str)}
        names.add(getattr(estimator, "technique", None))
        is_check = item.path.name == "test_common.py"
        is_long = any(c in item.name and name in item.name for c, name in SLOW_CHECKS.items())
        shared = every if is_long and "test_variant" in item.name else others
        found = [k for k, name in enumerate(shared) if name in names]
        if found and (is_check or item.path.parent.name == "estimators"):
            item.add_marker(pytest.mark.slow)
            share = crc32(item.nodeid.encode())
            if is_check:
                check = item.name.rpartition(")-")[2]
                share = found[0] + FAMILIES.index(type(estimator).__name__) + crc32(check.encode())
            if share % SHARES:
                item.add_marker(pytest.mark.exhaustive)
        if is_long:
            item.add_marker(pytest.mark.slow)


def _real_data(fetch, name):
    """A data set as read-only arrays, or a skip where it is not in the data home."""
    try:
        bunch = fetch(download_if_missing=False)
    except OSError:
        pytest.skip(f"needs {name} in scikit-learn's data home (SCIKIT_LEARN_DATA)")
    for array in (bunch.data, bunch.target, bunch.images):
        array.setflags(write=False)
    return bunch


@pytest.fixture(scope="session")
def mnist():
    """MNIST from scikit-learn's data home; the test is skipped where it is not there."""
    from skbnn.datasets import fetch_mnist

    return _real_data(fetch_mnist, "MNIST")


@pytest.fixture(scope="session")
def fashion_mnist():
    """Fashion-MNIST from scikit-learn's data home; skipped where it is not there."""
    from skbnn.datasets import fetch_fashion_mnist

    return _real_data(fetch_fashion_mnist, "Fashion-MNIST")


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's digits, split: training and test rows, training and test labels."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
    for part in parts:
        part.setflags(write=False)
    return parts
