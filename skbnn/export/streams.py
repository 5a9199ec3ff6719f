"""Emitters of residual streams, and of one operation at every place."""

from functools import singledispatch

from skbnn.export.emit import Store, accumulate, emit, indent, lower
from skbnn.export.products import emit_output
from skbnn.export.program import Memory, memory_of, n_words32, words32
from skbnn.packed import (
    BitCode,
    EachPlace,
    IntStream,
    Positions,
    Residual,
    Shortcut,
    StreamLevels,
    StreamSign,
)

__all__ = []


@singledispatch
def _row_of_place(value, program, n_places):
    """Return statements that find the ``row`` of a ``place``, and the scratch that they need."""
    raise TypeError(f"{type(value).__name__} has no rows of places in C.")


@_row_of_place.register
def _(value: BitCode, program, n_places):
    n_words, planes = n_words32(value.n_bits), len(value.scales)
    if value.n_bits and value.n_bits % 32 == 0 and planes == 1:
        return f"const uint32_t *const row = in + place * {n_words}u;", ()
    program.need("copy")
    statements = f"""\
@index plane;
        for (plane = 0; plane < {planes}u; ++plane) {{
            @writer to;
            @open(&to, 1u, row + plane * {n_words}u, 0);
            @copy(&to, in + plane * {n_words32(n_places * value.n_bits)}u,
                  place * {value.n_bits}u, {value.n_bits}u);
            @close(&to, 1u);
        }}"""
    return statements, ((Memory("uint32_t", planes * n_words), "row"),)


@_row_of_place.register
def _(value: IntStream, program, n_places):
    return f"const @number *const row = in + place * {value.width}u;", ()


@emit.register
def _(operation: EachPlace, program, store=None):
    label, (lines, columns) = program.label(), operation.places
    inner = emit(operation.operation, program, store)
    n_places, gives = lines * columns, operation.operation.gives
    row, scratch = _row_of_place(operation.operation.takes, program, n_places)
    scratch += tuple((memory, f"scratch{i}") for i, memory in enumerate(inner.scratch))
    out = "out" if memory_of(gives).planes else f"out + place * {gives.width}u"
    rest = "".join(f", scratch{i}" for i in range(len(inner.scratch)))
    body = f"""\
    @index place;
    for (place = 0; place < {n_places}u; ++place) {{
        {row}
        {inner.name}(row, {out}{rest});
    }}"""
    return program.function(label, operation.takes, operation.gives, body, scratch)


@emit.register
def _(operation: Positions, program, store):
    label = program.label()
    table = program.table(f"{label}_table", operation.table)
    value = f"(int32_t)in[i] * {1 << operation.shift} + {table.read('i')}"
    body = f"""\
    @index i;
    for (i = 0; i < {operation.takes.width}u; ++i) {{
        {store("i", value)}
    }}"""
    return program.function(label, operation.takes, operation.gives, body)


@lower.register
def _(operation: Positions, program, source):
    # Each number becomes its own successor, so the stream can stay where it is.
    target = program.own(source)
    program.call(emit(operation, program, Store()), source, target)
    return target


@emit.register
def _(operation: StreamSign, program, store=None):
    label, channels = program.label(), operation.takes.shape[-1]
    program.need("writer", "flag")
    thresholds = program.table(f"{label}_thresholds", operation.thresholds)
    bit = f"in[unit] >= {thresholds.read('unit')}"
    if operation.flips.any():
        flips = program.table(f"{label}_flips", words32(operation.flips, channels))
        bit = f"(uint32_t)({bit}) ^ @flag({flips.name}, unit)"
    body = f"""\
    @index place, unit;
    for (place = 0; place < {operation.takes.width // channels}u; ++place) {{
        for (unit = 0; unit < {channels}u; ++unit) {{
            @push(out, {bit}, 1u);
        }}
        in += {channels}u;
    }}"""
    return program.function(label, operation.takes, operation.gives, body)


@emit.register
def _(operation: StreamLevels, program, store=None):
    label, channels = program.label(), operation.takes.shape[-1]
    output = emit_output(operation.output, program, label, store)
    body = f"""\
    @index place, unit;
    for (place = 0; place < {operation.takes.width // channels}u; ++place) {{
        for (unit = 0; unit < {channels}u; ++unit) {{
            const int32_t sum = in[unit];
{indent(output, 3)}
        }}
        in += {channels}u;
    }}"""
    return program.function(label, operation.takes, operation.gives, body)


@emit.register
def _(operation: Shortcut, program, store):
    label, (_, width, channels) = program.label(), operation.shape
    (lines, columns, _), (high, wide) = operation.gives.shape, operation.pool
    kept = min(channels, operation.channels)
    added = ""
    if operation.channels > kept:
        added = f"""
            for (unit = {kept}u; unit < {operation.channels}u; ++unit) {{
                {store("unit", "0")}
            }}"""
    body = f"""\
    @index line, column, unit, i, j;
    for (line = 0; line < {lines}u; ++line) {{
        for (column = 0; column < {columns}u; ++column) {{
            const @number *const pixels =
                in + (line * {high}u * {width}u + column * {wide}u) * {channels}u;
            for (unit = 0; unit < {kept}u; ++unit) {{
                @number most = pixels[unit];
                for (i = 0; i < {high}u; ++i) {{
                    for (j = 0; j < {wide}u; ++j) {{
                        const @number other = pixels[(i * {width}u + j) * {channels}u + unit];
                        most = other > most ? other : most;
                    }}
                }}
                {store("unit", "most")}
            }}{added}
            out += {operation.channels}u;
        }}
    }}"""
    return program.function(label, operation.takes, operation.gives, body)


@lower.register
def _(operation: Residual, program, source):
    kept = source
    with program.holding(source):
        for skip in operation.skip:
            kept = lower(skip, program, kept)
    if kept is source:
        kept = program.own(source)
        if kept is not source:
            program.copy(source, kept)
    rows, (*before, last) = source, operation.branch
    with program.holding(source, kept):
        for part in before:
            rows = lower(part, program, rows)
        if rows is kept:
            # What is read must not change while it is added to.
            rows = program.buffer(memory_of(operation.takes))
            program.copy(source, rows)
    store = Store(1 << max(0, -operation.shift), 1 << max(0, operation.shift))
    accumulate(last, program, rows, kept, store)
    return kept
