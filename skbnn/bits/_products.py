"""Kernels of products of one plane: counts of mismatches stored, compared, or searched.

All end the one tile of :mod:`~skbnn.bits._tile`. What ends it decides which kernel it makes: counts
are stored, or compared and packed, or only the nearest unit is kept. Comparisons of wide rows or
windows with many units count by pairs of words, as :mod:`~skbnn.bits._pairs` does. Rows are taken
in blocks that stay in the first levels of cache while all units pass over them.

Intrinsics and their kernels share this file because a cached kernel is renewed only when the file
that defines it changes.
"""

import numpy as np
from numba import njit
from numba.extending import intrinsic

from skbnn.bits._pairs import count_pairs
from skbnn.bits._tile import INT32, INT64, LANES, VECTOR, ascending, signature_of, tiles

__all__ = [
    "compare_mismatches",
    "compare_parities",
    "compare_windows",
    "compare_words",
    "count_few",
    "count_mismatches",
    "count_windows",
    "nearest_units",
]

_CALLED = "5def170f2d50570c"
_FEW_ROWS = 32
_MANY_ROWS = 256
_MANY_PARITIES = 128

# What is inlined "always" is so before compilation: a chain of kernels compiles it once, not twice.


@intrinsic(prefer_literal=True)
def _store_counts(typing, n_vectors, rows, steps, first, last, units, block, out, out_step):
    """Write the counts of rows and one block of units.

    `out` holds the units of row 0, `out_step` is the step to those of the next row.
    """

    def emit(context, builder, signature, values):
        for tile in tiles(context, builder, signature, values):
            tile.store(tile.count(), signature.args[7], values[7], values[8], INT32)
        return context.get_dummy_value()

    return signature_of(n_vectors, rows, steps, first, last, units, block, out, out_step), emit


@intrinsic(prefer_literal=True)
def _store_bits(typing, n_vectors, rows, steps, first, last, units, block, limits, out):
    """Write whether counts are within their limits: a bit for each unit, part of a word."""

    def emit(context, builder, signature, values):
        for tile in tiles(context, builder, signature, values):
            _emit_bits(tile, tile.count(), signature.args[7:], values[7:])
        return context.get_dummy_value()

    return signature_of(n_vectors, rows, steps, first, last, units, block, limits, out), emit


@intrinsic(prefer_literal=True)
def _store_bits_of_pairs(typing, n_vectors, rows, steps, first, last, units, block, limits, out):
    """Write the same, rows and units being given by their running parities."""

    def emit(context, builder, signature, values):
        for tile in tiles(context, builder, signature, values):
            _emit_bits(tile, count_pairs(tile), signature.args[7:], values[7:])
        return context.get_dummy_value()

    return signature_of(n_vectors, rows, steps, first, last, units, block, limits, out), emit


@intrinsic(prefer_literal=True)
def _store_bits_of_strips(typing, n_vectors, rows, steps, first, last, units, block, limits, out):
    """Write the same, the parities of rows going on from the words before them."""

    def emit(context, builder, signature, values):
        for tile in tiles(context, builder, signature, values):
            _emit_bits(tile, count_pairs(tile, is_inside=True), signature.args[7:], values[7:])
        return context.get_dummy_value()

    return signature_of(n_vectors, rows, steps, first, last, units, block, limits, out), emit


def _emit_bits(tile, counts, types_, values):
    """Emit what writes whether the counts of a tile are within their limits."""
    builder = tile.builder
    bounds = tile.element(types_[0], values[0], tile.column)
    start, length = tile.row_start(types_[1], values[1], tile.row)
    parts = tile.bits(counts, "<=", bounds)
    start = builder.bitcast(start, parts[0].type.as_pointer())
    step = builder.mul(length, INT64(64 // parts[0].type.width))
    for row, part in enumerate(parts):
        place = builder.add(builder.mul(INT64(row), step), tile.block)
        builder.store(part, builder.gep(start, [place]))


@intrinsic(prefer_literal=True)
def _keep_nearest(typing, n_vectors, rows, steps, first, last, units, block, n_units, best):
    """Lower the keys of `best`, lane by lane: the count in the upper half, the index below."""

    def emit(context, builder, signature, values):
        for tile in tiles(context, builder, signature, values):
            best_row = builder.sub(tile.row, values[3])
            start, length = tile.row_start(signature.args[8], values[8], best_row)
            column, limit = tile.spread(tile.column), tile.spread(values[7])
            for row, unit, counts in tile.cells(tile.count()):
                place = tile.place(start, length, row, unit, VECTOR)
                index = builder.add(column, ascending(unit))
                key = builder.or_(builder.shl(counts, VECTOR([32] * LANES)), index)
                kept = builder.load(place, align=8)
                is_lower = builder.icmp_signed("<", key, kept)
                is_unit = builder.icmp_signed("<", index, limit)
                key = builder.select(builder.and_(is_lower, is_unit), key, kept)
                builder.store(key, place, align=8)
        return context.get_dummy_value()

    return signature_of(n_vectors, rows, steps, first, last, units, block, n_units, best), emit


@njit(cache=True, nogil=True, inline="always")
def count_few(rows, units, out):
    """Count the bits in which rows and units differ, units in blocks of 16."""
    steps = (rows.shape[1], 1, 0, rows.shape[1])
    for first in range(0, len(rows), _FEW_ROWS):
        last = min(first + _FEW_ROWS, len(rows))
        for block in range(len(units)):
            _store_counts(2, rows, steps, first, last, units, block, out[0], out.shape[1])


@njit(cache=True, nogil=True)
def count_mismatches(rows, units, out):
    """Count the bits in which rows and units differ."""
    if units.shape[2] == 16:
        count_few(rows, units, out)
        return
    steps = (rows.shape[1], 1, 0, rows.shape[1])
    for first in range(0, len(rows), _FEW_ROWS):
        last = min(first + _FEW_ROWS, len(rows))
        for block in range(len(units)):
            _store_counts(4, rows, steps, first, last, units, block, out[0], out.shape[1])


@njit(cache=True, nogil=True, inline="always")
def compare_words(rows, units, limits, out):
    """Compare the mismatches of rows and units with a limit, units in blocks of 32."""
    steps = (rows.shape[1], 1, 0, rows.shape[1])
    for first in range(0, len(rows), _MANY_ROWS):
        last = min(first + _MANY_ROWS, len(rows))
        if len(units) % 2:
            out[first:last, -1] = 0
        for block in range(len(units)):
            _store_bits(4, rows, steps, first, last, units, block, limits, out)


@njit(cache=True, nogil=True, inline="always")
def compare_parities(rows, units, limits, out):
    """Compare the mismatches with a limit, units given by running parities in blocks of 16."""
    width = rows.shape[1]
    steps = (width, 1, 0, width)
    parities = np.empty((min(len(rows), _MANY_PARITIES), width), np.uint64)
    for first in range(0, len(rows), _MANY_PARITIES):
        made = out[first : first + _MANY_PARITIES]
        for n in range(len(made)):
            parity = np.uint64(0)
            for word in range(width):
                parity ^= rows[first + n, word]
                parities[n, word] = parity
        if len(units) % 4:
            made[:, -1] = 0
        for block in range(len(units)):
            _store_bits_of_pairs(2, parities, steps, 0, len(made), units, block, limits, made)


@njit(cache=True, nogil=True)
def compare_mismatches(rows, units, limits, out):
    """Compare the mismatches of rows and units with a limit: a whole layer, from bits to bits."""
    if units.shape[2] == 16:
        compare_parities(rows, units, limits, out)
    else:
        compare_words(rows, units, limits, out)


@njit(cache=True, nogil=True)
def count_windows(images, height, width, stride, units, out):
    """Count the bits in which windows of images and units differ."""
    n_rows, n_columns, n_planes, n_units = out.shape[1:]
    n_words = images.shape[4]
    steps = (stride * n_words, height, images.shape[3] * n_words, width * n_words)
    for n in range(len(images)):
        for plane in range(n_planes):
            for block in range(len(units)):
                for y in range(n_rows):
                    rows, first = images[n, plane, y * stride], out[n, y, 0, plane]
                    step = n_planes * n_units
                    if units.shape[2] == 32:
                        _store_counts(4, rows, steps, 0, n_columns, units, block, first, step)
                    else:
                        _store_counts(2, rows, steps, 0, n_columns, units, block, first, step)


@njit(cache=True, nogil=True)
def compare_windows(images, height, width, stride, units, limits, rows, columns, out):
    """Compare the mismatches of windows and units with limits: a whole convolution."""
    if units.shape[2] == 16:
        _compare_strips(images, height, width, stride, units, limits, rows, columns, out)
        return
    n_words = images.shape[3]
    steps = (stride * n_words, height, images.shape[2] * n_words, width * n_words)
    for n in range(len(images)):
        if len(units) % 2:
            out[n, :, :, -1] = 0
        for block in range(len(units)):
            for i in range(len(rows) - 1):
                for y in range(rows[i], rows[i + 1]):
                    line, bits = images[n, y * stride], out[n, y]
                    for j in range(len(columns) - 1):
                        first, last, bounds = columns[j], columns[j + 1], limits[i, j]
                        _store_bits(4, line, steps, first, last, units, block, bounds, bits)


@njit(cache=True, nogil=True)
def _compare_strips(images, height, width, stride, units, limits, rows, columns, out):
    """Do the same with units given by running parities, column by column of a window.

    A strip is as many lines of an image as a window has, column by column, so that windows are
    single runs of it, and overlap.
    """
    n_rows, n_columns, n_words = out.shape[1], images.shape[2], images.shape[3]
    length = height * n_words
    strips = np.empty((n_rows, 1 + n_columns * length), np.uint64)
    steps = (stride * length, 1, 0, width * length)
    for n in range(len(images)):
        for y in range(n_rows):
            _running_parities(images[n, y * stride : y * stride + height], strips[y])
        if len(units) % 4:
            out[n, :, :, -1] = 0
        for block in range(len(units)):
            for i in range(len(rows) - 1):
                for y in range(rows[i], rows[i + 1]):
                    strip, bits = strips[y, 1:], out[n, y]
                    for j in range(len(columns) - 1):
                        first, last, bounds = columns[j], columns[j + 1], limits[i, j]
                        _store_bits_of_strips(
                            2, strip, steps, first, last, units, block, bounds, bits
                        )


@njit(cache=True, nogil=True)
def _running_parities(lines, strip):
    """Write the running parities of some lines of pixels, column by column, behind a word of 0."""
    parity, place = np.uint64(0), 0
    strip[0] = parity
    for x in range(lines.shape[1]):
        for line in range(len(lines)):
            for word in range(lines.shape[2]):
                parity ^= lines[line, x, word]
                place += 1
                strip[place] = parity


@njit(cache=True, nogil=True)
def nearest_units(rows, units, n_units, index, distance):
    """Find the unit nearest to each row; the lowest of those equally near."""
    steps = (rows.shape[1], 1, 0, rows.shape[1])
    lanes = units.shape[2]
    best = np.empty((_FEW_ROWS, lanes), np.int64)
    for first in range(0, len(rows), _FEW_ROWS):
        last = min(first + _FEW_ROWS, len(rows))
        best[:] = np.iinfo(np.int64).max
        for block in range(len(units)):
            if lanes == 32:
                _keep_nearest(4, rows, steps, first, last, units, block, n_units, best)
            else:
                _keep_nearest(2, rows, steps, first, last, units, block, n_units, best)
        for n in range(first, last):
            key = best[n - first, 0]
            for lane in range(1, lanes):
                key = min(key, best[n - first, lane])
            index[n] = key & 0xFFFFFFFF
            distance[n] = key >> 32
