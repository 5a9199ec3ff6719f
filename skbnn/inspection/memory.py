"""Peak memory of a call: of the whole process, or of what Python and NumPy allocate."""

import ctypes
import gc
import tracemalloc
from threading import current_thread, main_thread

__all__ = ["peak_growth", "traced_peak"]


def peak_growth(call):
    """Call a function and return by how much the memory of the process grew at most.

    The operating system counts, so what compiled libraries allocate is included, and nothing
    slows down. Memory that is free but kept by the C library is handed back before, so that its
    use counts as growth.

    Parameters
    ----------
    call : callable
        Called without arguments.

    Returns
    -------
    nbytes : int or None
        None where the operating system does not tell; Linux does.
    """
    gc.collect()
    before = _restart_peak()
    call()
    if before is None:
        return None
    return max(0, _status("VmHWM") - before)


def _restart_peak():
    """Forget the peak so far and return the memory now in use, or None."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        return _status("VmRSS")
    except (AttributeError, OSError, TypeError):
        return None


def _status(name):
    """Return an entry of the process's status in bytes."""
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def traced_peak(call):
    """Call a function and return how much memory Python and NumPy allocated at most.

    Exact down to the byte, but slow, and blind to what compiled libraries allocate by themselves.

    Parameters
    ----------
    call : callable
        Called without arguments.

    Returns
    -------
    nbytes : int or None
        None where somebody else is tracing already, and in all threads but the main one: beside
        it others allocate, which would count here, and before Python 3.12.9 the end of a trace can
        crash them: github.com/python/cpython/issues/128679.
    """
    if tracemalloc.is_tracing() or current_thread() is not main_thread():
        call()
        return None
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        call()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return max(0, peak - before)
