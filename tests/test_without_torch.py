"""What training needs is not needed afterwards: torch, skorch and scikit-learn may be missing."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import skbnn
from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
    KMeansClassifier,
)

ROOT = Path(skbnn.__file__).parent.parent

ESTIMATORS = {
    "logistic": BinaryLogisticRegression(max_iter=1, random_state=0),
    "mlp": BinaryMLPClassifier((20, 20), max_iter=1, random_state=0),
    "mlp-float": BinaryMLPClassifier((20,), technique="float", max_iter=1, random_state=0),
    "mlp-connect": BinaryMLPClassifier(
        (20,), technique="binaryconnect", max_iter=1, random_state=0
    ),
    "cnn": BinaryCNNClassifier((8,), max_iter=1, random_state=0),
    "cnn-float": BinaryCNNClassifier((8,), technique="float", max_iter=1, random_state=0),
    "transformer": BinaryTransformerClassifier(8, patch_size=4, max_iter=1, random_state=0),
    "transformer-float": BinaryTransformerClassifier(
        8, patch_size=4, technique="float", max_iter=1, random_state=0
    ),
    "kmeans": KMeansClassifier(random_state=0),
    "kmeans-float": KMeansClassifier(technique="float", random_state=0),
}

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ModuleNotFoundError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture(scope="module")
def fitted(digits, tmp_path_factory):
    """A folder with fitted estimators, saved models, test rows and what they should give."""
    X, X_test, y, _ = digits
    folder = tmp_path_factory.mktemp("fitted")
    np.save(folder / "X.npy", X_test)
    for name, estimator in ESTIMATORS.items():
        labels = np.array(list("abcdefghij"))[y]
        estimator.fit(X, labels)
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(estimator))
        estimator.packed_.save(folder / f"{name}.skbnn")
        np.save(folder / f"{name}.npy", estimator.predict(X_test))
    return folder


def run(folder, blocked, code):
    """Run code in a fresh interpreter where some packages cannot be imported."""
    head = BLOCK.format(names=blocked) + "import numpy as np\nX = np.load('X.npy')\n"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", head + code],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


EVERY = f"for name in {list(ESTIMATORS)}:\n"


def test_pickles_predict_without_torch(fitted):
    code = """
    est = pickle.load(open(f"{name}.pickle", "rb"))
    assert (est.predict(X) == np.load(f"{name}.npy")).all(), name
    if hasattr(est, "predict_proba"):
        assert est.predict_proba(X).shape == (len(X), 10)
assert "sklearn" in sys.modules
"""
    run(fitted, ["torch", "skorch"], "import pickle\n" + EVERY + code)


@pytest.mark.parametrize("numba", [True, False], ids=["numba", "numpy alone"])
def test_saved_models_predict_without_scikit_learn(fitted, numba):
    blocked = ["torch", "skorch", "sklearn", "scipy", "joblib", "pandas"]
    code = """
    model = skbnn.load(f"{name}.skbnn")
    assert (model.predict(X) == np.load(f"{name}.npy")).all(), name
    model.summary(), model.decision_function(X)
"""
    run(fitted, blocked if numba else [*blocked, "numba"], "import skbnn\n" + EVERY + code)


def test_blocking_blocks(fitted):
    code = """
try:
    import skbnn
    est = skbnn.BinaryLogisticRegression().fit(X, X[:, 2] > 5)
except ModuleNotFoundError as error:
    assert "torch is blocked" in str(error)
else:
    raise AssertionError
"""
    run(fitted, ["torch", "skorch"], code)
