"""The shell of the package: what importing loads, and that every public name is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import skbnn

ROOT = Path(skbnn.__file__).parent.parent
HEAVY = ("torch", "skorch", "sklearn", "scipy", "numba", "matplotlib", "pandas")


def heavy_modules_after(statement):
    """The heavy packages that a fresh interpreter has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import skbnn", ()),
        ("import skbnn; dir(skbnn); skbnn.__version__", ()),
        ("import skbnn.bits", ()),
        ("from skbnn import Technique", ()),
        ("from skbnn import PackedModel, load", ("numba",)),
        ("from skbnn import ThermometerEncoder", ("numba", "sklearn", "scipy", "pandas")),
        ("from skbnn import BinaryMLPClassifier", ("numba", "sklearn", "scipy", "pandas")),
        ("from skbnn import compare_models", ("numba", "sklearn", "scipy", "pandas")),
    ],
)
def test_importing_loads_nothing_heavy(statement, allowed):
    assert heavy_modules_after(statement) <= set(allowed)


@pytest.mark.parametrize("name", skbnn.__all__)
def test_public_name_resolves(name):
    obj = getattr(skbnn, name)
    assert obj.__name__ == name
    assert obj.__doc__
    assert name in dir(skbnn)


@pytest.mark.parametrize("name", sorted(skbnn._SUBMODULES))
def test_submodule_resolves(name):
    assert getattr(skbnn, name).__name__ == f"skbnn.{name}"
    assert name in dir(skbnn)


def test_every_public_name_has_a_module():
    assert sorted(skbnn.__all__) == skbnn.__all__ == sorted(skbnn._MODULE_OF)
    assert {module.split(".")[1] for module in skbnn._MODULE_OF.values()} <= skbnn._SUBMODULES


def test_unknown_name():
    with pytest.raises(AttributeError, match="'skbnn' has no attribute 'BinaryForest'"):
        skbnn.BinaryForest  # noqa: B018


def test_one_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == skbnn.__version__
