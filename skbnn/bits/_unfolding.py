"""The kernel that unfolds images of bytes, for the gradient of the filters of a convolution.

A line of a window is a run of bytes, short and of any length: too short for the loops that a
compiler makes of it. The C library's copy of memory is three times as fast.

The intrinsic and its kernel share this file because a cached kernel is renewed only when the file
that defines it changes.
"""

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

__all__ = ["unfold_images"]


@intrinsic
def _copy(typing, source, first, target, place, size):
    """Copy elements of an array, counted through, to some place of another of the same dtype."""
    if source.dtype != target.dtype or any(array.layout != "C" for array in (source, target)):
        raise TypingError("Only between C-contiguous arrays of one dtype.")

    def emit(context, builder, signature, arguments):
        def element(k):
            array = context.make_array(signature.args[k])(context, builder, arguments[k])
            return builder.gep(array.data, [arguments[k + 1]])

        n_bytes = context.get_abi_sizeof(context.get_data_type(source.dtype))
        cgutils.raw_memcpy(builder, element(2), element(0), arguments[4], n_bytes)
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64, types.int64), emit


@njit(cache=True, nogil=True)
def unfold_images(images, height, width, padding, out):
    """Copy the window around each pixel."""
    n_images, n_lines, n_columns, n_channels = images.shape
    top, left = height // 2, width // 2
    line, span = n_columns * n_channels, width * n_channels
    step = line + 2 * left * n_channels
    padded = np.empty((n_lines + 2 * top, step), images.dtype)
    padded[:] = padding
    place = 0
    for n in range(n_images):
        for y in range(n_lines):
            start = (y + top) * step + left * n_channels
            _copy(images, (n * n_lines + y) * line, padded, start, line)
        for y in range(n_lines):
            for x in range(n_columns):
                for i in range(height):
                    _copy(padded, (y + i) * step + x * n_channels, out, place, span)
                    place += span
