"""The choice between compiled kernels and their definitions."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import skbnn
from skbnn.bits import backend

ROOT = Path(skbnn.__file__).parent.parent
WITHOUT_NUMBA = "import sys; sys.modules['numba'] = None; from skbnn.bits import backend; "


def run(code):
    """Run code in a fresh interpreter and return what it prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout.strip()


@pytest.mark.parametrize(
    ("name", "module"), [("auto", "kernels"), ("numba", "kernels"), ("numpy", "reference")]
)
def test_backend(name, module):
    assert backend(name).__name__ == f"skbnn.bits.{module}"


@pytest.mark.parametrize("name", ["cuda", "", None])
def test_unknown_backend(name):
    with pytest.raises(ValueError, match=f"{name!r}; known are 'auto', 'numba', 'numpy'"):
        backend(name)


def test_numba_is_imported_late():
    assert run("import sys, skbnn.bits; print('numba' in sys.modules)") == "False"
    code = "from skbnn.bits import backend; backend('numpy'); print('numba' in sys.modules)"
    assert run("import sys; " + code) == "False"


def test_without_numba():
    assert run(WITHOUT_NUMBA + "print(backend('auto').__name__)") == "skbnn.bits.reference"
    code = "\ntry: backend('numba')\nexcept ImportError: print('refused')"
    assert run(WITHOUT_NUMBA + code) == "refused"


def test_backends_define_the_same_kernels():
    kernels, reference = backend("numba"), backend("numpy")
    assert kernels.__all__ == reference.__all__ == sorted(kernels.__all__)
    for name in kernels.__all__:
        compiled, definition = getattr(kernels, name), getattr(reference, name)
        assert inspect.signature(compiled.py_func) == inspect.signature(definition)
        summary = inspect.getdoc(definition).splitlines()[0]
        assert inspect.getdoc(compiled.py_func).splitlines()[0] == summary
