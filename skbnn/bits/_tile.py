"""The tile of all products, generated: some rows with one block of units, and what ends it.

A tile takes a few rows and one block of interleaved units and keeps all their mismatch counts in
registers: ``height x n_vectors`` accumulators of eight 64-bit lanes. For each word of the rows it
loads the units' vectors once, spreads the word of each row over a vector, and adds
``popcount(unit ^ row)``. Rows are places in an array of words: some *runs* of neighbouring words,
a step apart, and a step from one row to the next. A row of a matrix is one run; a window of an
image is one run for each line of pixels that it covers, and neighbouring windows overlap, so a
convolution needs no copy of its windows.

Products of several planes go through it plane by plane: the counts of each pair of a row's plane
and a unit's are multiplied by what a mismatch is worth and added to sums, which stay with the tile
until all pairs are done. A pair so costs hardly more than a product of signs, and no counts go
through memory. Sums are of the type of these worths: where that is 32 bits, counts are cut to their
lower halves first, sixteen to a vector, because few processors multiply words of 64 bits quickly.

It is written in LLVM's intermediate language, on vectors of eight words, because automatic
vectorisers miss it on most targets; where a processor lacks an instruction, LLVM finds others.

What ends a tile is an intrinsic beside its kernels, in :mod:`~skbnn.bits._products` and
:mod:`~skbnn.bits._sums`. A cached kernel is renewed only when its own file changes; ``_CALLED``
there is a digest of what it calls, this file too. Lanes and half words are little-endian.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError

__all__ = [
    "INT32",
    "INT64",
    "LANES",
    "VECTOR",
    "ascending",
    "counts_words",
    "signature_of",
    "tiles",
]

LANES = 8
_INT1, _INT8, INT32, INT64 = (ir.IntType(width) for width in (1, 8, 32, 64))
VECTOR = ir.VectorType(INT64, LANES)
_HALVES = ir.VectorType(INT32, 2 * LANES)
_BYTES = ir.VectorType(_INT8, 8 * LANES)
_BYTE_STEPS = 31


class Tile:
    """Emit a tile: the mismatches of some rows with one block of units, or sums of them.

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
        self.lanes = INT64(self.n_vectors * LANES)
        self.block = values[6]
        self.column = builder.mul(self.block, self.lanes)
        self.row_step, self.n_runs, self.run_step, self.run_length = cgutils.unpack_tuple(
            builder, values[2]
        )
        self.rows = self.element(types_[1], values[1], builder.mul(row, self.row_step))
        self.units = self.element(types_[5], values[5], INT64(0))

    def count(self, shift=None, block=None):
        """Emit the counts of rows that begin some words on, with one block of units: its own."""
        builder = self.builder
        rows = self.rows if shift is None else builder.gep(self.rows, [shift])
        run_of_units = builder.mul(self.run_length, self.lanes)
        first = builder.mul(self.block if block is None else block, self.n_runs)
        units = builder.gep(self.units, [builder.mul(first, run_of_units)])

        def count_run(run, counts):
            start = builder.gep(rows, [builder.mul(run, self.run_step)])
            return self._count(start, builder.gep(units, [builder.mul(run, run_of_units)]), counts)

        zeros = [VECTOR(None)] * (self.height * self.n_vectors)
        return self.loop(self.n_runs, zeros, count_run)

    def sums(self, types_, values):
        """Emit the sums of the products of all planes, cell by cell, of the factors' type.

        Parameters
        ----------
        types_, values : sequence
            Numba types and LLVM values of (planes, factors, ones, base), planes being (planes of
            a row, words from one to the next, planes of a unit).
        """
        builder = self.builder
        n_planes, plane_step, n_unit_planes = cgutils.unpack_tuple(builder, values[0])
        n_pairs = builder.mul(n_planes, n_unit_planes)
        n_ones = self.length(types_[2], values[2])
        n_factors = builder.mul(builder.add(n_pairs, n_ones), self.lanes)
        factors = self.element(types_[1], values[1], builder.mul(self.block, n_factors))
        ones = self.element(types_[2], values[2], builder.mul(self.row, n_ones))
        base = self.element(types_[3], values[3], self.column)
        kind = factors.type.pointee
        start = self.load_block(base) * self.height

        def add(sums, index, counts):
            """Add counts, each times its vector of a row of factors."""
            place = builder.gep(factors, [builder.mul(index, self.lanes)])
            worth = self.load_block(place) * self.height
            return list(map(builder.add, sums, map(builder.mul, counts, worth)))

        def add_ones(plane, sums):
            found = []
            for row in range(self.height):
                place = builder.add(builder.mul(INT64(row), n_ones), plane)
                one = builder.load(builder.gep(ones, [place]))
                one = self.spread(one if kind == INT32 else builder.sext(one, INT64))
                found += [one] * (len(start) // self.height)
            return add(sums, builder.add(n_pairs, plane), found)

        def add_plane(plane, sums):
            def add_pair(unit_plane, sums):
                block = builder.add(builder.mul(self.block, n_unit_planes), unit_plane)
                pair = builder.add(builder.mul(plane, n_unit_planes), unit_plane)
                counts = self.count(builder.mul(plane, plane_step), block)
                return add(sums, pair, self.narrow(counts) if kind == INT32 else counts)

            return self.loop(n_unit_planes, sums, add_pair)

        return self.loop(n_planes, self.loop(n_ones, start, add_ones), add_plane)

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

    def cells(self, vectors):
        """Yield (row of the tile, first unit of the vector, vector) for each accumulator."""
        of_row = len(vectors) // self.height
        for index, vector in enumerate(vectors):
            yield index // of_row, index % of_row * vector.type.count, vector

    def narrow(self, vectors):
        """Return vectors of words as half as many of their lower halves."""
        halves = [self.builder.bitcast(vector, _HALVES) for vector in vectors]
        lower = _HALVES(list(range(0, 4 * LANES, 2)))
        pairs = zip(halves[::2], halves[1::2], strict=True)
        return [self.builder.shuffle_vector(*pair, lower) for pair in pairs]

    def bits(self, vectors, predicate, bounds):
        """Emit part of a word for each row: how its vectors compare with the units' bounds."""
        builder, part = self.builder, ir.IntType(self.n_vectors * LANES)
        parts = [part(0)] * self.height
        for row, unit, vector in self.cells(vectors):
            bits = builder.icmp_signed(predicate, vector, self.load(bounds, unit))
            bits = builder.bitcast(bits, ir.IntType(vector.type.count))
            bits = bits if bits.type == part else builder.zext(bits, part)
            parts[row] = builder.or_(parts[row], builder.shl(bits, part(unit)))
        return parts

    def store(self, vectors, array_type, array, step, kind):
        """Emit the stores of whole numbers cut to a type, rows a step apart, padding left out."""
        builder = self.builder
        if kind.width <= 32 and vectors[0].type == VECTOR:
            vectors = self.narrow(vectors)
        given = vectors[0].type
        vector, mask_type = ir.VectorType(kind, given.count), ir.VectorType(_INT1, given.count)
        store_some = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), INT32, mask_type]),
            f"llvm.masked.store.v{vector.count}i{kind.width}.p0",
        )
        start = self.element(
            array_type, array, builder.add(builder.mul(self.row, step), self.column)
        )
        n_left = builder.sub(self.length(array_type, array), self.column)
        cells = [
            (
                unit,
                found if vector == given else builder.trunc(found, vector),
                self.place(start, step, row, unit, vector),
            )
            for row, unit, found in self.cells(vectors)
        ]
        align = kind.width // 8
        with builder.if_else(builder.icmp_signed("<=", self.lanes, n_left)) as (whole, cut):
            with whole:
                for _, found, place in cells:
                    builder.store(found, place, align=align)
            with cut:
                end = n_left if given == VECTOR else builder.trunc(n_left, INT32)
                for unit, found, place in cells:
                    mask = builder.icmp_signed("<", ascending(unit, given), self.spread(end))
                    builder.call(store_some, [found, place, INT32(align), mask])

    def place(self, start, length, row, unit, vector_type):
        """Return a pointer into a matrix, given what belongs to the tile's first row and unit."""
        offset = self.builder.add(self.builder.mul(INT64(row), length), INT64(unit))
        pointer = self.builder.gep(start, [offset])
        return self.builder.bitcast(pointer, vector_type.as_pointer())

    def load(self, pointer, offset):
        """Load the vector of numbers that begins some of them behind a pointer."""
        pointer = self.builder.gep(pointer, [INT64(offset)])
        kind = pointer.type.pointee
        vector = VECTOR if kind == INT64 else _HALVES
        pointer = self.builder.bitcast(pointer, vector.as_pointer())
        return self.builder.load(pointer, align=kind.width // 8)

    def load_block(self, pointer):
        """Load a number for each unit of a block."""
        step = LANES if pointer.type.pointee == INT64 else 2 * LANES
        return [self.load(pointer, unit) for unit in range(0, self.n_vectors * LANES, step)]

    def spread(self, value):
        """Return a vector that repeats a value."""
        vector = VECTOR if value.type == INT64 else _HALVES
        one = self.builder.insert_element(vector(ir.Undefined), value, INT32(0))
        places = ir.VectorType(INT32, vector.count)(None)
        return self.builder.shuffle_vector(one, vector(ir.Undefined), places)

    def loop(self, stop, carried, body):
        """Emit a loop from 0 to `stop` that carries vectors along, and return the last ones."""
        builder = self.builder
        before = builder.block
        head, inside, after = (builder.append_basic_block() for _ in range(3))
        builder.branch(head)

        builder.position_at_end(head)
        index = builder.phi(INT64)
        index.add_incoming(INT64(0), before)
        vectors = [builder.phi(start.type) for start in carried]
        for vector, start in zip(vectors, carried, strict=True):
            vector.add_incoming(start, before)
        builder.cbranch(builder.icmp_signed("<", index, stop), inside, after)

        builder.position_at_end(inside)
        renewed = body(index, vectors)
        for vector, new in zip(vectors, renewed, strict=True):
            vector.add_incoming(new, builder.block)
        index.add_incoming(builder.add(index, INT64(1)), builder.block)
        builder.branch(head)

        builder.position_at_end(after)
        return vectors

    def _count(self, rows, units, counts):
        """Emit the loop over the words of a run, and return the counts it leads to."""
        builder = self.builder

        def differing(word, _):
            unit = builder.gep(units, [builder.mul(word, self.lanes)])
            vectors = [self.load(unit, v * LANES) for v in range(self.n_vectors)]
            for row in range(self.height):
                spread = self.load_spread(rows, row, word)
                for vector in vectors:
                    yield builder.xor(vector, spread), None

        return self.tally(self.run_length, counts, (), differing)[0]

    def tally(self, n_steps, counts, states, found):
        """Emit a loop that adds to counts the ones of what each step finds.

        Parameters
        ----------
        n_steps : LLVM value
            Steps of the loop.
        counts : sequence of LLVM vectors
            A count for each vector that a step finds.
        states : sequence of LLVM vectors
            What else is carried along: nothing, or as many.
        found : callable
            ``found(index, states)`` emits a step and yields pairs of a vector and its new state.

        Returns
        -------
        counts, states : list of LLVM vectors
            The last ones.
        """
        if counts_words(self.context):
            return self._tally_part(INT64(0), n_steps, counts, states, found)
        builder = self.builder

        def count_part(part, carried):
            first = builder.mul(part, INT64(_BYTE_STEPS))
            left = builder.sub(n_steps, first)
            is_last = builder.icmp_signed("<", left, INT64(_BYTE_STEPS))
            n_here = builder.select(is_last, left, INT64(_BYTE_STEPS))
            zeros = [_BYTES(None)] * len(counts)
            ones, last = self._tally_part(first, n_here, zeros, carried[len(counts) :], found)
            return list(map(builder.add, carried, map(self._widen, ones))) + last

        n_parts = builder.add(n_steps, INT64(_BYTE_STEPS - 1))
        n_parts = builder.sdiv(n_parts, INT64(_BYTE_STEPS))
        carried = self.loop(n_parts, [*counts, *states], count_part)
        return carried[: len(counts)], carried[len(counts) :]

    def _tally_part(self, first, n_steps, counts, states, found):
        """Emit the loop over some steps; the type of the counts says in what parts to count."""
        builder, n_counts = self.builder, len(counts)

        def count_step(index, carried):
            sums, last = [], []
            for vector, state in found(builder.add(first, index), carried[n_counts:]):
                ones = self.popcount(builder.bitcast(vector, counts[0].type))
                sums.append(builder.add(carried[len(sums)], ones))
                last += [] if state is None else [state]
            return sums + last

        carried = self.loop(n_steps, [*counts, *states], count_step)
        return carried[:n_counts], carried[n_counts:]

    def popcount(self, vector):
        """Return how many ones each number of a vector has."""
        kind = vector.type
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(kind, [kind]),
            f"llvm.ctpop.v{kind.count}i{kind.element.width}",
        )
        return self.builder.call(function, [vector])

    def load_spread(self, rows, row, word):
        """Return a vector that repeats a word of a row of the tile."""
        place = self.builder.add(self.builder.mul(INT64(row), self.row_step), word)
        return self.spread(self.builder.load(self.builder.gep(rows, [place])))

    def _widen(self, counts):
        """Return counts of bytes added up to counts of words."""
        builder, counts = self.builder, self.builder.bitcast(counts, VECTOR)
        for width in (8, 16, 32):
            mask = VECTOR([sum(((1 << width) - 1) << k for k in range(0, 64, 2 * width))] * LANES)
            upper = builder.lshr(counts, VECTOR([width] * LANES))
            counts = builder.add(builder.and_(counts, mask), builder.and_(upper, mask))
        return counts


def counts_words(context):
    """Whether the processor counts the ones of 64-bit words in one instruction on vectors.

    Others count those of bytes (or of half bytes, by look-up), and adding bytes up to words costs
    as much again: it is put off until the bytes of 31 words are full.
    """
    return "+avx512vpopcntdq" in context.codegen().magic_tuple()[2]


def tiles(context, builder, signature, values):
    """Emit the loops over rows, first by fours, then one by one, and yield the tile inside each.

    Where bytes are counted there are 16 registers of half the width, which one row fills.
    """
    first, last = values[3:5]
    n_rest = builder.and_(builder.sub(last, first), INT64(3))
    fours = builder.sub(last, n_rest) if counts_words(context) else first
    for height, start, stop in ((4, first, fours), (1, fours, last)):
        if start is not stop:
            step = INT64(height)
            with cgutils.for_range_slice(builder, start, stop, step, INT64) as (row, _):
                yield Tile(context, builder, height, row, signature.args, values)


def ascending(first, vector=VECTOR):
    """Return a constant vector of ascending numbers."""
    return vector(list(range(first, first + vector.count)))


def signature_of(n_vectors, rows, steps, first, last, units, block, *rest):
    """Return the signature of an intrinsic: contiguous arrays, places and steps as int64."""
    for argument in (rows, units, *rest):
        if isinstance(argument, types.Array) and argument.layout != "C":
            raise TypingError("Kernels take C-contiguous arrays.")
    rest = (_whole_numbers(argument) for argument in rest)
    places = (types.UniTuple(types.int64, 4), types.int64, types.int64)
    return types.void(n_vectors, rows, *places, units, types.int64, *rest)


def _whole_numbers(argument):
    """Return an argument's type with all that is a number, or several, as int64."""
    if isinstance(argument, types.BaseTuple):
        return types.UniTuple(types.int64, len(argument))
    return types.int64 if isinstance(argument, types.Integer) else argument
