"""Peak memory: planted allocations are found."""

import sys
import tracemalloc

import numpy as np
import pytest

from skbnn.inspection.memory import peak_growth, traced_peak

# More than malloc ever keeps for later: it goes back to the system at once.
N = 50_000_000


def allocate():
    np.ones(N, np.uint8)
    np.ones(N // 2, np.uint8)


def test_traced_peak():
    assert N <= traced_peak(allocate) < N + 10_000
    assert not tracemalloc.is_tracing()


def test_traced_peak_leaves_a_running_trace_alone():
    tracemalloc.start()
    try:
        assert traced_peak(allocate) is None
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
def test_peak_growth():
    peak_growth(allocate)
    assert N - 1_000_000 < peak_growth(allocate) < N + 3_000_000
    assert peak_growth(lambda: None) < 1_000_000
