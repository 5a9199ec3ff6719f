"""Kernels of products of several planes: as integer sums, or as the codes that these become.

Both end the one tile of :mod:`~skbnn.bits._tile`, after all planes. Intrinsics and their kernels
share this file because a cached kernel is renewed only when the file that defines it changes.
"""

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils
from numba.extending import intrinsic

from skbnn.bits._counting import count_ones
from skbnn.bits._tile import INT32, INT64, signature_of, tiles

__all__ = ["add_scaled", "code_products", "sum_products", "sum_windows"]

_CALLED = "d51af9a6cf651bfd"
_FEW_ROWS = 32
_MANY_ROWS = 256


@intrinsic(prefer_literal=True)
def _store_sums(
    typing, n_vectors, rows, steps, first, last, units, block, planes, factors, ones, base, out
):
    """Write the sums of the products of all planes, cut to the type of `out`."""

    def emit(context, builder, signature, values):
        kind = ir.IntType(signature.args[11].dtype.bitwidth)
        for tile in tiles(context, builder, signature, values):
            sums = tile.sums(signature.args[7:11], values[7:11])
            step = tile.length(signature.args[11], values[11])
            tile.store(sums, signature.args[11], values[11], step, kind)
        return context.get_dummy_value()

    rest = (planes, factors, ones, base, out)
    return signature_of(n_vectors, rows, steps, first, last, units, block, *rest), emit


@intrinsic(prefer_literal=True)
def _store_steps(
    typing, n_vectors, rows, steps, first, last, units, block, planes, factors, ones, base,
    thresholds, out,
):  # fmt: skip
    """Write which thresholds the sums reach: 32 bits, half a word, for each row and step."""

    def emit(context, builder, signature, values):
        for tile in tiles(context, builder, signature, values):
            sums = tile.sums(signature.args[7:11], values[7:11])
            shape = context.make_array(signature.args[11])(context, builder, values[11]).shape
            n_steps, n_units = cgutils.unpack_tuple(builder, shape)
            length = tile.length(signature.args[12], values[12])
            start = tile.element(
                signature.args[12],
                values[12],
                builder.mul(builder.mul(tile.row, n_steps), length),
            )
            start = builder.bitcast(start, INT32.as_pointer())
            bounds = tile.element(signature.args[11], values[11], tile.column)
            with cgutils.for_range(builder, n_steps) as loop:
                limits = builder.gep(bounds, [builder.mul(loop.index, n_units)])
                for row, half in enumerate(tile.bits(sums, ">=", limits)):
                    line = builder.add(builder.mul(INT64(row), n_steps), loop.index)
                    place = builder.mul(builder.mul(line, length), INT64(2))
                    place = builder.gep(start, [builder.add(place, tile.block)])
                    builder.store(half, place)
        return context.get_dummy_value()

    rest = (planes, factors, ones, base, thresholds, out)
    return signature_of(n_vectors, rows, steps, first, last, units, block, *rest), emit


@njit(cache=True, nogil=True)
def _sum_some(rows, units, factors, ones, base, out):
    """Sum the products of coded rows and units, whose ones have been counted."""
    n_rows, n_planes, width = rows.shape
    steps, n_blocks, lanes = (n_planes * width, 1, 0, width), len(factors), units.shape[2]
    planes = (n_planes, width, len(units) // n_blocks)
    for block in range(n_blocks):
        if lanes == 32:
            _store_sums(4, rows, steps, 0, n_rows, units, block, planes, factors, ones, base, out)
        else:
            _store_sums(2, rows, steps, 0, n_rows, units, block, planes, factors, ones, base, out)


@njit(cache=True, nogil=True)
def _compare_some(rows, units, factors, ones, base, thresholds, out):
    """Compare the sums of the products of coded rows and units with the thresholds of all steps."""
    n_rows, n_planes, width = rows.shape
    steps, n_blocks = (n_planes * width, 1, 0, width), len(factors)
    planes = (n_planes, width, len(units) // n_blocks)
    if n_blocks % 2:
        out[:, :, -1] = 0
    for block in range(n_blocks):
        _store_steps(
            4, rows, steps, 0, n_rows, units, block, planes, factors, ones, base, thresholds, out
        )


@njit(cache=True, nogil=True)
def _count(rows, ones):
    """Count the ones of each plane of some rows, if anybody asks for them."""
    if ones.shape[1]:
        count_ones(rows.reshape(rows.shape[0] * rows.shape[1], rows.shape[2]), ones.reshape(-1))


@njit(cache=True, nogil=True)
def sum_products(rows, units, factors, base, out):
    """Sum the products of coded rows and units, all planes with all planes."""
    n_rows, n_planes, _ = rows.shape
    n_pairs = n_planes * (len(units) // len(factors))
    ones = np.empty((min(n_rows, _FEW_ROWS), factors.shape[1] - n_pairs), np.int32)
    for first in range(0, n_rows, _FEW_ROWS):
        some = rows[first : first + _FEW_ROWS]
        counted = ones[: len(some)]
        _count(some, counted)
        _sum_some(some, units, factors, counted, base, out[first : first + _FEW_ROWS])


@njit(cache=True, nogil=True)
def code_products(rows, units, factors, base, thresholds, starts, changes, out):
    """Code the sums of the products of coded rows and units."""
    n_rows, n_planes, _ = rows.shape
    n_pairs = n_planes * (len(units) // len(factors))
    n_steps, (_, n_codes, n_words) = len(thresholds), out.shape
    ones = np.empty((min(n_rows, _MANY_ROWS), factors.shape[1] - n_pairs), np.int32)
    met = np.empty((min(n_rows, _MANY_ROWS), n_steps, n_words), np.uint64)
    for first in range(0, n_rows, _MANY_ROWS):
        some = rows[first : first + _MANY_ROWS]
        counted, reached = ones[: len(some)], met[: len(some)]
        _count(some, counted)
        _compare_some(some, units, factors, counted, base, thresholds, reached)
        for row in range(len(some)):
            for plane in range(n_codes):
                for word in range(n_words):
                    bits = starts[plane, word]
                    for step in range(n_steps):
                        if changes[step, plane]:
                            bits ^= reached[row, step, word]
                    out[first + row, plane, word] = bits


@njit(cache=True, nogil=True)
def sum_windows(images, taps, units, factors, ones, base, out):
    """Sum the products of windows of coded images and units, whose ones have been counted."""
    n_images, n_planes, n_lines, n_columns, n_words = images.shape
    height, width, stride = taps
    n_rows, n_places, n_blocks = out.shape[1], out.shape[2], len(factors)
    steps = (stride * n_words, height, n_columns * n_words, width * n_words)
    planes = (n_planes, n_lines * n_columns * n_words, len(units) // n_blocks)
    for n in range(n_images):
        for block in range(n_blocks):
            for y in range(n_rows):
                # The first plane's line; those of the others lie whole planes further on.
                line, counted, sums = images[n, 0, y * stride], ones[n, y], out[n, y]
                if units.shape[2] == 32:
                    _store_sums(
                        4, line, steps, 0, n_places, units, block, planes, factors, counted, base,
                        sums,
                    )  # fmt: skip
                else:
                    _store_sums(
                        2, line, steps, 0, n_places, units, block, planes, factors, counted, base,
                        sums,
                    )  # fmt: skip


@njit(cache=True, nogil=True)
def add_scaled(sums, others, factors, out):
    """Add two scaled sums in one pass."""
    of_rows, of_others, to_rows = sums.ravel(), others.ravel(), out.ravel()
    # Numbers of the result's own type: LLVM then computes in as few bits. It would not for shifts.
    factor, other_factor = factors
    for start in range(0, len(of_rows), max(1, len(of_others))):
        row, to = of_rows[start:], to_rows[start:]
        for i in range(len(of_others)):
            to[i] = row[i] * factor + of_others[i] * other_factor
