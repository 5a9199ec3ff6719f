"""Fixtures that several test files share."""

import pytest

SLOW_CHECK = "check_class_weight_classifiers"
PLAIN_TECHNIQUES = ("float", "binaryconnect", "binaryconnect-stochastic", "bnn")
SLOW_ESTIMATORS = ("BinaryCNNClassifier", "BinaryTransformerClassifier")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Count as slow what sets max_iter to 1000, and fits of all but the plain techniques."""
    from skbnn.techniques import list_techniques

    others = set(list_techniques()).difference(PLAIN_TECHNIQUES)
    for item in items:
        parameters = getattr(item, "callspec", None)
        names = [v for v in parameters.params.values() if isinstance(v, str)] if parameters else []
        if others.intersection(names) and item.path.parent.name == "estimators":
            item.add_marker(pytest.mark.slow)
        if SLOW_CHECK in item.name and any(name in item.name for name in SLOW_ESTIMATORS):
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
