"""The compiled kernels: what the functions of :mod:`skbnn.bits.reference` define, fast.

Every kernel is compiled at its first call and cached, releases the GIL and never starts threads;
callers share rows out over threads. Arrays must be C-contiguous and may be read-only.
"""

from skbnn.bits._chain import run_chain
from skbnn.bits._counting import combine_counts, count_columns, count_ones
from skbnn.bits._encoding import encode_planes, encode_thresholds, threshold_sums
from skbnn.bits._products import compare_mismatches, count_mismatches, nearest_units
from skbnn.bits._signed import signed_sums

__all__ = [
    "combine_counts",
    "compare_mismatches",
    "count_columns",
    "count_mismatches",
    "count_ones",
    "encode_planes",
    "encode_thresholds",
    "nearest_units",
    "run_chain",
    "signed_sums",
    "threshold_sums",
]
