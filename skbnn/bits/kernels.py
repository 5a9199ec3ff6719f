"""The compiled kernels: what the functions of :mod:`skbnn.bits.reference` define, fast.

Every kernel is compiled at its first call and cached, releases the GIL and never starts threads;
callers share rows out over threads. Arrays must be C-contiguous and may be read-only.
"""

from skbnn.bits._activations import bend, bend_moments, level_moments, quantize_levels
from skbnn.bits._chain import first_largest, run_chain, run_convolutions
from skbnn.bits._convolutions import convolve_signs, convolve_sums
from skbnn.bits._counting import count_columns, count_ones
from skbnn.bits._encoding import encode_images, encode_planes, encode_thresholds, threshold_sums
from skbnn.bits._images import gather_windows, pool_channels, pool_images
from skbnn.bits._products import (
    compare_mismatches,
    compare_windows,
    count_mismatches,
    count_windows,
    nearest_units,
)
from skbnn.bits._signed import signed_sums
from skbnn.bits._sums import add_scaled, code_products, sum_products
from skbnn.bits._tokens import attend, gather_bits
from skbnn.bits._training import (
    clipped_gradient,
    clipped_moments,
    column_moments,
    normalize_signs,
    pool_sums,
    round_columns,
    round_rows,
    scale_sums,
    spread_levels,
    tabulated_gradient,
)
from skbnn.bits._unfolding import unfold_images

__all__ = [
    "add_scaled",
    "attend",
    "bend",
    "bend_moments",
    "clipped_gradient",
    "clipped_moments",
    "code_products",
    "column_moments",
    "compare_mismatches",
    "compare_windows",
    "convolve_signs",
    "convolve_sums",
    "count_columns",
    "count_mismatches",
    "count_ones",
    "count_windows",
    "encode_images",
    "encode_planes",
    "encode_thresholds",
    "first_largest",
    "gather_bits",
    "gather_windows",
    "level_moments",
    "nearest_units",
    "normalize_signs",
    "pool_channels",
    "pool_images",
    "pool_sums",
    "quantize_levels",
    "round_columns",
    "round_rows",
    "run_chain",
    "run_convolutions",
    "scale_sums",
    "signed_sums",
    "spread_levels",
    "sum_products",
    "tabulated_gradient",
    "threshold_sums",
    "unfold_images",
]
