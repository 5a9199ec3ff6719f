"""Kernels that Numba has cached, which it renews only when their own file changes.

A file whose kernels call those of others, or are emitted by them, says what these are by a digest
of their sources, ``_CALLED``. After an edit, this writes the digests anew::

    python tests/bits/test_cache.py
"""

import re
from hashlib import sha256
from pathlib import Path

import pytest

import skbnn.bits

FOLDER = Path(skbnn.bits.__file__).parent
DIGEST = re.compile(r'^_CALLED = "(\w*)"$', re.M)
# The width of a word is all that kernels take from skbnn.bits.packing.
IMPORTED = re.compile(r"^from skbnn\.bits\.(?!packing\b)(\w+) import", re.M)


def source(name):
    """Return the source of a module, its own digest left out."""
    return DIGEST.sub("", (FOLDER / f"{name}.py").read_text())


def called(name):
    """Return the modules that a module imports, and those that these import."""
    found = set(IMPORTED.findall(source(name)))
    return found.union(*map(called, found))


def digest(name):
    """Return the digest of all that the kernels of a module call."""
    return sha256("".join(map(source, sorted(called(name)))).encode()).hexdigest()[:16]


def has_kernels(name):
    """Whether a module has cached kernels that call others."""
    return "cache=True" in source(name) and called(name)


CALLERS = sorted(filter(has_kernels, (path.stem for path in FOLDER.glob("_*.py"))))


def test_callers_are_known():
    assert {"_chain", "_convolutions", "_products", "_sums", "_tokens"} <= set(CALLERS)
    assert called("_chain") >= {"_convolutions", "_products", "_pairs", "_tile", "_images"}


@pytest.mark.parametrize("name", CALLERS)
def test_a_cached_kernel_is_renewed_with_what_it_calls(name):
    assert DIGEST.findall((FOLDER / f"{name}.py").read_text()) == [digest(name)], (
        f"What {name}.py calls has changed; run python {Path(__file__).name} in tests/bits."
    )


if __name__ == "__main__":
    for caller in CALLERS:
        path = FOLDER / f"{caller}.py"
        path.write_text(DIGEST.sub(f'_CALLED = "{digest(caller)}"', path.read_text()))
