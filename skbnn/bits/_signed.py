"""The kernel of real rows times one-bit weights: numbers added where the weight's bit is 1.

``sum_i w_i x_i`` with every w in {-1, +1} is ``2 sum_{w_i = +1} x_i - sum_i x_i``: a product takes
no multiplication and reads one bit for each weight. A tile keeps the sums of a few rows and 32
units in registers; for each input it reads the 32 bits of the units as the mask of an addition. The
inputs are added one after the other whatever the tile, so a row's sums do not depend on the rows
beside it, to the last digit.

Intrinsics and their kernels share this file because a cached kernel is renewed only when the file
that defines it changes. Lanes are little-endian.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

__all__ = ["signed_sums"]

_UNITS = 32
_ROWS = 256
_INT32, _INT64 = ir.IntType(32), ir.IntType(64)
_MASK = ir.VectorType(ir.IntType(1), _UNITS)


@intrinsic(prefer_literal=True)
def _add_where(typing, height, rows, row, units, block, sums):
    """Add up the inputs of some rows where the bits of one block of units are 1.

    ``sums[r, l]`` becomes the sum of ``rows[row + r, i]`` over the inputs i of which bit l of
    ``units[block, i]`` is 1.
    """
    if any(array.layout != "C" for array in (rows, units, sums)):
        raise TypingError("Kernels take C-contiguous arrays.")

    def emit(context, builder, signature, arguments):
        real = context.get_value_type(signature.args[1].dtype)
        vector = ir.VectorType(real, _UNITS)
        size = context.get_abi_sizeof(real)

        def start(k, first):
            array = context.make_array(signature.args[k])(context, builder, arguments[k])
            n_columns = cgutils.unpack_tuple(builder, array.shape)[1]
            return builder.gep(array.data, [builder.mul(first, n_columns)]), n_columns

        (row, n_inputs), (unit, _) = start(1, arguments[2]), start(3, arguments[4])
        n_rows = signature.args[0].literal_value
        totals = [cgutils.alloca_once_value(builder, vector(None)) for _ in range(n_rows)]
        with cgutils.for_range(builder, n_inputs) as loop:
            bits = builder.load(builder.gep(unit, [loop.index]))
            mask = builder.bitcast(bits, _MASK)
            for r, total in enumerate(totals):
                offset = builder.add(builder.mul(_INT64(r), n_inputs), loop.index)
                x = builder.load(builder.gep(row, [offset]))
                spread = builder.insert_element(vector(ir.Undefined), x, _INT32(0))
                spread = builder.shuffle_vector(
                    spread, vector(ir.Undefined), ir.VectorType(_INT32, _UNITS)(None)
                )
                kept = builder.load(total)
                builder.store(builder.select(mask, builder.fadd(kept, spread), kept), total)
        out, _ = start(5, _INT64(0))
        for r, total in enumerate(totals):
            place = builder.gep(out, [_INT64(r * _UNITS)])
            place = builder.bitcast(place, vector.as_pointer())
            builder.store(builder.load(total), place, align=size)
        return context.get_dummy_value()

    places = (rows, types.int64, units, types.int64, sums)
    return types.void(height, *places), emit


@njit(cache=True, nogil=True)
def signed_sums(rows, units, out):
    """Add up the inputs of rows with the signs of units."""
    n_rows, n_inputs = rows.shape
    n_units = out.shape[1]
    sums = np.empty((4, _UNITS), rows.dtype)
    totals = np.empty(_ROWS, rows.dtype)
    for first in range(0, n_rows, _ROWS):
        last = min(first + _ROWS, n_rows)
        for row in range(first, last):
            total = rows.dtype.type(0)
            for i in range(n_inputs):
                total += rows[row, i]
            totals[row - first] = total
        for block in range(len(units)):
            row = first
            while row < last:
                height = 4 if last - row >= 4 else 1
                if height == 4:
                    _add_where(4, rows, row, units, block, sums)
                else:
                    _add_where(1, rows, row, units, block, sums)
                for r in range(height):
                    total = totals[row + r - first]
                    for unit in range(block * _UNITS, min(n_units, (block + 1) * _UNITS)):
                        out[row + r, unit] = 2 * sums[r, unit - block * _UNITS] - total
                row += height
