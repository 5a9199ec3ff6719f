"""Kernels of products: one generated tile, three ways to end it.

A tile takes a few rows and one block of interleaved units and keeps all their mismatch counts in
registers: ``height x n_vectors`` accumulators of eight 64-bit lanes. For each word of the rows it
loads the units' vectors once, spreads the word of each row over a vector, and adds
``popcount(unit ^ row)``. Rows are places in an array of words: some *runs* of neighbouring words,
a step apart, and a step from one row to the next. A row of a matrix is one run; a window of an
image is one run for each line of pixels that it covers, and neighbouring windows overlap, so a
convolution needs no copy of its windows.

It is written in LLVM's intermediate language, on vectors of eight words, because automatic
vectorisers miss it on most targets; where a processor lacks an instruction, LLVM finds others.
What ends the tile decides which kernel it makes: counts are stored, or compared and packed, or only
the nearest unit is kept.

Rows are taken in blocks that stay in the first levels of cache while all units pass over them.

Intrinsics and their kernels share this file because a cached kernel is renewed only when the file
that defines it changes. Lanes and half words are little-endian.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

__all__ = [
    "compare_mismatches",
    "compare_windows",
    "count_mismatches",
    "count_windows",
    "nearest_units",
]

_LANES = 8
_INT1, _INT8, _INT32, _INT64 = (ir.IntType(width) for width in (1, 8, 32, 64))
_VECTOR = ir.VectorType(_INT64, _LANES)
_HALVES = ir.VectorType(_INT32, _LANES)
_BYTES = ir.VectorType(_INT8, 8 * _LANES)
_BYTE_WORDS = 31
_FEW_ROWS = 32
_MANY_ROWS = 256


class _Tile:
    """Emit a tile: the mismatches of some rows with one block of units.

    Parameters
    ----------
    context, builder
        Numba's target context and LLVM's instruction builder.
    height : int
        Rows of the tile.
    row : LLVM value
        The first of them.
    types_, values : sequence
        Numba types and LLVM values of (n_vectors, rows, steps, first, last, units, block), steps
        being (from row to row, number of runs, from run to run, words of a run).
    """

    def __init__(self, context, builder, height, row, types_, values):
        self.context, self.builder = context, builder
        self.height, self.n_vectors, self.row = height, types_[0].literal_value, row
        self.lanes = _INT64(self.n_vectors * _LANES)
        self.column = builder.mul(values[6], self.lanes)
        self.row_step, n_runs, run_step, self.run_length = cgutils.unpack_tuple(builder, values[2])
        rows = self.element(types_[1], values[1], builder.mul(row, self.row_step))
        width = builder.mul(n_runs, self.run_length)
        units = self.element(types_[5], values[5], builder.mul(self.column, width))
        run_of_units = builder.mul(self.run_length, self.lanes)
        zeros = [_VECTOR(None)] * (self.height * self.n_vectors)

        def count_run(run, counts):
            start = builder.gep(rows, [builder.mul(run, run_step)])
            return self._count(start, builder.gep(units, [builder.mul(run, run_of_units)]), counts)

        self.counts = self._loop(n_runs, zeros, count_run)

    def element(self, array_type, array, offset):
        """Return a pointer to an element of a contiguous array, counted flat."""
        array = self.context.make_array(array_type)(self.context, self.builder, array)
        return self.builder.gep(array.data, [offset])

    def length(self, array_type, array):
        """Return the length of an array's last axis."""
        shape = self.context.make_array(array_type)(self.context, self.builder, array).shape
        return cgutils.unpack_tuple(self.builder, shape)[-1]

    def row_start(self, array_type, array, row):
        """Return a pointer to the first element of a row of a matrix, and the row's length."""
        length = self.length(array_type, array)
        return self.element(array_type, array, self.builder.mul(row, length)), length

    def cells(self):
        """Yield (row of the tile, first unit of the vector, counts) for each accumulator."""
        for index, counts in enumerate(self.counts):
            yield index // self.n_vectors, index % self.n_vectors * _LANES, counts

    def place(self, start, length, row, unit, vector_type):
        """Return a pointer into a matrix, given what belongs to the tile's first row and unit."""
        offset = self.builder.add(self.builder.mul(_INT64(row), length), _INT64(unit))
        pointer = self.builder.gep(start, [offset])
        return self.builder.bitcast(pointer, vector_type.as_pointer())

    def load(self, pointer, offset):
        """Load the vector of words that begins some words behind a pointer."""
        pointer = self.builder.gep(pointer, [_INT64(offset)])
        return self.builder.load(self.builder.bitcast(pointer, _VECTOR.as_pointer()), align=8)

    def spread(self, value):
        """Return a vector that repeats a value."""
        one = self.builder.insert_element(_VECTOR(ir.Undefined), value, _INT32(0))
        return self.builder.shuffle_vector(one, _VECTOR(ir.Undefined), _HALVES(None))

    def _loop(self, stop, carried, body):
        """Emit a loop from 0 to `stop` that carries vectors along, and return the last ones."""
        builder = self.builder
        before = builder.block
        head, inside, after = (builder.append_basic_block() for _ in range(3))
        builder.branch(head)

        builder.position_at_end(head)
        index = builder.phi(_INT64)
        index.add_incoming(_INT64(0), before)
        vectors = [builder.phi(start.type) for start in carried]
        for vector, start in zip(vectors, carried, strict=True):
            vector.add_incoming(start, before)
        builder.cbranch(builder.icmp_signed("<", index, stop), inside, after)

        builder.position_at_end(inside)
        renewed = body(index, vectors)
        for vector, new in zip(vectors, renewed, strict=True):
            vector.add_incoming(new, builder.block)
        index.add_incoming(builder.add(index, _INT64(1)), builder.block)
        builder.branch(head)

        builder.position_at_end(after)
        return vectors

    def _count(self, rows, units, counts):
        """Emit the loop over the words of a run, and return the counts it leads to."""
        if _counts_words(self.context):
            return self._count_words(rows, units, _INT64(0), self.run_length, counts)
        builder = self.builder

        def count_part(part, counts):
            first = builder.mul(part, _INT64(_BYTE_WORDS))
            left = builder.sub(self.run_length, first)
            is_last = builder.icmp_signed("<", left, _INT64(_BYTE_WORDS))
            n_words = builder.select(is_last, left, _INT64(_BYTE_WORDS))
            zeros = [_BYTES(None)] * len(counts)
            found = self._count_words(rows, units, first, n_words, zeros)
            return list(map(builder.add, counts, map(self._widen, found)))

        n_parts = builder.add(self.run_length, _INT64(_BYTE_WORDS - 1))
        n_parts = builder.sdiv(n_parts, _INT64(_BYTE_WORDS))
        return self._loop(n_parts, counts, count_part)

    def _count_words(self, rows, units, first, n_words, counts):
        """Emit the loop over some words; the type of the counts says in what parts to count."""
        builder, part = self.builder, counts[0].type
        popcount = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(part, [part]),
            f"llvm.ctpop.v{part.count}i{part.element.width}",
        )

        def count_word(index, counts):
            word = builder.add(first, index)
            unit = builder.gep(units, [builder.mul(word, self.lanes)])
            vectors = [self.load(unit, v * _LANES) for v in range(self.n_vectors)]
            renewed = []
            for row in range(self.height):
                place = builder.add(builder.mul(_INT64(row), self.row_step), word)
                spread = self.spread(builder.load(builder.gep(rows, [place])))
                for vector in vectors:
                    differing = builder.bitcast(builder.xor(vector, spread), part)
                    ones = builder.call(popcount, [differing])
                    renewed.append(builder.add(counts[len(renewed)], ones))
            return renewed

        return self._loop(n_words, counts, count_word)

    def _widen(self, counts):
        """Return counts of bytes added up to counts of words."""
        builder, counts = self.builder, self.builder.bitcast(counts, _VECTOR)
        for width in (8, 16, 32):
            mask = _VECTOR([sum(((1 << width) - 1) << k for k in range(0, 64, 2 * width))] * _LANES)
            upper = builder.lshr(counts, _VECTOR([width] * _LANES))
            counts = builder.add(builder.and_(counts, mask), builder.and_(upper, mask))
        return counts


def _counts_words(context):
    """Whether the processor counts the ones of 64-bit words in one instruction on vectors.

    Others count those of bytes (or of half bytes, by look-up), and adding bytes up to words costs
    as much again: it is put off until the bytes of 31 words are full.
    """
    return "+avx512vpopcntdq" in context.codegen().magic_tuple()[2]


def _tiles(context, builder, signature, values):
    """Emit the loops over rows, first by fours, then one by one, and yield the tile inside each.

    Where bytes are counted there are 16 registers of half the width, which one row fills.
    """
    first, last = values[3:5]
    n_rest = builder.and_(builder.sub(last, first), _INT64(3))
    fours = builder.sub(last, n_rest) if _counts_words(context) else first
    for height, start, stop in ((4, first, fours), (1, fours, last)):
        if start is not stop:
            step = _INT64(height)
            with cgutils.for_range_slice(builder, start, stop, step, _INT64) as (row, _):
                yield _Tile(context, builder, height, row, signature.args, values)


def _ascending(first):
    """Return a constant vector of ascending numbers."""
    return _VECTOR(list(range(first, first + _LANES)))


def _signature(n_vectors, rows, steps, first, last, units, block, *rest):
    """Return the signature of an intrinsic: contiguous arrays, places and steps as int64."""
    for argument in (rows, units, *rest):
        if isinstance(argument, types.Array) and argument.layout != "C":
            raise TypingError("Kernels take C-contiguous arrays.")
    rest = (types.int64 if isinstance(argument, types.Integer) else argument for argument in rest)
    places = (types.UniTuple(types.int64, 4), types.int64, types.int64)
    return types.void(n_vectors, rows, *places, units, types.int64, *rest)


@intrinsic(prefer_literal=True)
def _store_counts(typing, n_vectors, rows, steps, first, last, units, block, out, out_step):
    """Write the counts of rows and one block of units.

    `out` holds the units of row 0, `out_step` is the step to those of the next row.
    """

    def emit(context, builder, signature, values):
        mask_type = ir.VectorType(_INT1, _LANES)
        store_type = [_HALVES, _HALVES.as_pointer(), _INT32, mask_type]
        store_some = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), store_type),
            "llvm.masked.store.v8i32.p0",
        )
        for tile in _tiles(context, builder, signature, values):
            place = builder.add(builder.mul(tile.row, values[8]), tile.column)
            start = tile.element(signature.args[7], values[7], place)
            n_left = builder.sub(tile.length(signature.args[7], values[7]), tile.column)
            cells = [
                (
                    unit,
                    builder.trunc(counts, _HALVES),
                    tile.place(start, values[8], row, unit, _HALVES),
                )
                for row, unit, counts in tile.cells()
            ]
            is_whole = builder.icmp_signed("<=", tile.lanes, n_left)
            with builder.if_else(is_whole) as (whole, cut):
                with whole:
                    for _, counts, place in cells:
                        builder.store(counts, place, align=4)
                with cut:
                    for unit, counts, place in cells:
                        mask = builder.icmp_signed("<", _ascending(unit), tile.spread(n_left))
                        builder.call(store_some, [counts, place, _INT32(4), mask])
        return context.get_dummy_value()

    return _signature(n_vectors, rows, steps, first, last, units, block, out, out_step), emit


@intrinsic(prefer_literal=True)
def _store_bits(typing, n_vectors, rows, steps, first, last, units, block, limits, out):
    """Write whether counts are within their limits: 32 bits, half a word, for each row."""

    def emit(context, builder, signature, values):
        for tile in _tiles(context, builder, signature, values):
            bounds = tile.element(signature.args[7], values[7], tile.column)
            start, length = tile.row_start(signature.args[8], values[8], tile.row)
            halves = [_INT32(0)] * tile.height
            for row, unit, counts in tile.cells():
                bits = builder.icmp_signed("<=", counts, tile.load(bounds, unit))
                bits = builder.zext(builder.bitcast(bits, _INT8), _INT32)
                halves[row] = builder.or_(halves[row], builder.shl(bits, _INT32(unit)))
            start = builder.bitcast(start, _INT32.as_pointer())
            for row, half in enumerate(halves):
                place = builder.add(builder.mul(_INT64(2 * row), length), values[6])
                builder.store(half, builder.gep(start, [place]))
        return context.get_dummy_value()

    return _signature(n_vectors, rows, steps, first, last, units, block, limits, out), emit


@intrinsic(prefer_literal=True)
def _keep_nearest(typing, n_vectors, rows, steps, first, last, units, block, n_units, best):
    """Lower the keys of `best`, lane by lane: the count in the upper half, the index below."""

    def emit(context, builder, signature, values):
        for tile in _tiles(context, builder, signature, values):
            best_row = builder.sub(tile.row, values[3])
            start, length = tile.row_start(signature.args[8], values[8], best_row)
            column, limit = tile.spread(tile.column), tile.spread(values[7])
            for row, unit, counts in tile.cells():
                place = tile.place(start, length, row, unit, _VECTOR)
                index = builder.add(column, _ascending(unit))
                key = builder.or_(builder.shl(counts, _VECTOR([32] * _LANES)), index)
                kept = builder.load(place, align=8)
                is_lower = builder.icmp_signed("<", key, kept)
                is_unit = builder.icmp_signed("<", index, limit)
                key = builder.select(builder.and_(is_lower, is_unit), key, kept)
                builder.store(key, place, align=8)
        return context.get_dummy_value()

    return _signature(n_vectors, rows, steps, first, last, units, block, n_units, best), emit


@njit(cache=True, nogil=True)
def count_mismatches(rows, units, out):
    """Count the bits in which rows and units differ."""
    steps = (rows.shape[1], 1, 0, rows.shape[1])
    for first in range(0, len(rows), _FEW_ROWS):
        last = min(first + _FEW_ROWS, len(rows))
        for block in range(len(units)):
            if units.shape[2] == 32:
                _store_counts(4, rows, steps, first, last, units, block, out[0], out.shape[1])
            else:
                _store_counts(2, rows, steps, first, last, units, block, out[0], out.shape[1])


@njit(cache=True, nogil=True)
def compare_mismatches(rows, units, limits, out):
    """Compare the mismatches of rows and units with a limit: a whole layer, from bits to bits."""
    steps = (rows.shape[1], 1, 0, rows.shape[1])
    for first in range(0, len(rows), _MANY_ROWS):
        last = min(first + _MANY_ROWS, len(rows))
        if len(units) % 2:
            out[first:last, -1] = 0
        for block in range(len(units)):
            _store_bits(4, rows, steps, first, last, units, block, limits, out)


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
