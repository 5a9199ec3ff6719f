"""Peak memory: planted allocations are found."""

import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from skbnn.inspection.memory import traced_peak

N = 50_000_000


def allocate():
    np.ones(N, np.uint8)
    np.ones(N // 2, np.uint8)


def test_traced_peak():
    assert N <= traced_peak(allocate) < N + 10_000
    assert not tracemalloc.is_tracing()


def test_nothing_is_traced_beside_other_threads():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(traced_peak, allocate).result() is None


def test_traced_peak_leaves_a_running_trace_alone():
    tracemalloc.start()
    try:
        assert traced_peak(allocate) is None
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
def test_peak_growth():
    """In a fresh process: what others had freed before might be in use once more."""
    code = f"""if True:
        import numpy as np
        from skbnn.inspection.memory import peak_growth

        def allocate():
            np.ones({N}, np.uint8)
            np.ones({N // 2}, np.uint8)

        peak_growth(allocate)
        print(peak_growth(allocate), peak_growth(lambda: None))
    """
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    growth, nothing = map(int, result.stdout.split())
    assert N - 1_000_000 < growth < N + 3_000_000
    assert nothing < 1_000_000
