"""Steps of the magnitudes of float32 numbers: where a table of an even function has its value.

A step is all numbers of the same exponent and the same first eight binary digits behind the first,
so that each doubling has 256, from ``2**-8`` to ``2**10``. Smaller numbers count as the first,
larger ones as the last.
"""

import numpy as np

__all__ = ["DIGITS", "FIRST_STEP", "LAST_STEP", "magnitude_steps"]

DIGITS = 15
"""Binary digits at the end of a float32 that a step leaves open."""
FIRST_STEP = (127 - 8) << (23 - DIGITS)
"""The open digits cut off, what the bits of the numbers of the first step are."""
LAST_STEP = (18 << (23 - DIGITS)) - 1
"""Number of the last step, the first being 0."""


def magnitude_steps():
    """Return the middle of each step.

    Returns
    -------
    middles : float32 ndarray of shape (LAST_STEP + 1,)
    """
    starts = np.arange(LAST_STEP + 1, dtype=np.int32) + np.int32(FIRST_STEP) << DIGITS
    return (starts + np.int32(1 << (DIGITS - 1))).view(np.float32)
