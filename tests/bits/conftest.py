"""What the tests of kernels share: both backends, and results with guards around them."""

import numpy as np
import pytest

from skbnn.bits import backend

GUARD = 256
PATTERN = 0xA5


@pytest.fixture(params=["numpy", "numba"])
def kernels(request):
    """The module of kernels: their NumPy definitions, then the compiled ones."""
    return backend(request.param)


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(0)


@pytest.fixture
def guarded():
    """A maker of arrays for results; nothing outside them may have changed in the end."""
    buffers = []

    def make(shape, dtype):
        n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        buffer = np.full(GUARD + n_bytes + GUARD, PATTERN, np.uint8)
        buffers.append(buffer)
        return buffer[GUARD : GUARD + n_bytes].view(dtype).reshape(shape)

    yield make
    for buffer in buffers:
        assert (buffer[:GUARD] == PATTERN).all(), "written before the result"
        assert (buffer[-GUARD:] == PATTERN).all(), "written behind the result"


@pytest.fixture
def random_bits(rng):
    """A maker of random bits."""
    return lambda *shape: rng.random(shape) < 0.5


@pytest.fixture
def frozen():
    """Make arrays read-only, as most of those that kernels meet are."""

    def freeze(*arrays):
        for array in arrays:
            array.setflags(write=False)
        return arrays[0] if len(arrays) == 1 else arrays

    return freeze
