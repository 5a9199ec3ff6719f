"""Emitters of products: dense layers, convolutions, and what becomes of their sums.

A dense layer has one row; a convolution gathers the windows of a pool, each without gaps, and its
units then take the greatest (or least) of the sums of these rows. So one function of a unit's sum
serves both, and the output transform, which is a few statements about ``sum`` and ``unit``.
"""

from functools import singledispatch
from itertools import pairwise

import numpy as np

from skbnn.export.emit import emit, indent
from skbnn.export.program import C_TYPES, Memory, memory_of, n_words32, words32
from skbnn.packed import (
    BinaryConv,
    BinaryLinear,
    ClassScores,
    LevelCodes,
    ShiftedScores,
    SignThreshold,
    Sums,
)

__all__ = ["emit_output"]


@singledispatch
def emit_output(output, program, label, store):
    """Return the statement that stores what becomes of the ``sum`` of a ``unit``.

    Register an implementation for each new kind of output transform.

    Parameters
    ----------
    output : SignThreshold, LevelCodes, ClassScores, ShiftedScores or Sums
        The transform.
    program : Program
        Where its tables go.
    label : str
        Prefix of their names.
    store : Store
        How integers of a stream are written.

    Returns
    -------
    statement : str
    """
    raise TypeError(
        f"There is no C emitter for {type(output).__name__}; register one with "
        "skbnn.export.products.emit_output."
    )


@emit_output.register
def _(output: SignThreshold, program, label, store):
    program.need("writer")
    thresholds = program.table(f"{label}_thresholds", output.thresholds)
    return f"@push(out, sum >= {thresholds.read('unit')}, 1u);"


@emit_output.register
def _(output: LevelCodes, program, label, store):
    program.need("writer")
    n_steps, n_units = output.thresholds.shape
    if n_steps == 0:
        pushes = (
            f"@push(out + {plane}, {output.codes[0] >> plane & 1}u, 1u);"
            for plane in range(len(output.scales))
        )
        return "\n".join(["(void)sum;", *pushes])
    thresholds = program.table(f"{label}_thresholds", output.thresholds)
    changes = program.table(f"{label}_changes", [a ^ b for a, b in pairwise(output.codes)])
    met = f"sum >= {thresholds.read(f'(step * {n_units}u + unit)')}"
    if output.flips.any():
        program.need("flag")
        flips = program.table(f"{label}_flips", words32(output.flips, n_units))
        met = f"((uint32_t)({met}) ^ @flag({flips.name}, unit)) != 0u"
    return f"""\
{{
    uint32_t code = {output.codes[0]}u;
    @index step, plane;
    for (step = 0; step < {n_steps}u; ++step) {{
        if ({met}) {{
            code ^= {changes.read("step")};
        }}
    }}
    for (plane = 0; plane < {len(output.scales)}u; ++plane) {{
        @push(out + plane, (code >> plane) & 1u, 1u);
    }}
}}"""


@emit_output.register
def _(output: ClassScores, program, label, store):
    multipliers = program.table(f"{label}_multipliers", output.multipliers)
    offsets = program.table(f"{label}_offsets", output.offsets)
    score = f"sum * {multipliers.read('unit')} + {offsets.read('unit')}"
    return f"out[unit] = (int32_t)({score});"


@emit_output.register
def _(output: ShiftedScores, program, label, store):
    multipliers = program.table(f"{label}_multipliers", output.multipliers)
    offsets = program.table(f"{label}_offsets", output.offsets)
    product = f"(int64_t)sum * {multipliers.read('unit')} + {offsets.read('unit')}"
    # C does not say what becomes of negative numbers that are shifted.
    return f"""\
{{
    const int64_t score = {product};
    out[unit] = (int32_t)(score < 0 ? ~(~score >> {output.shift}) : score >> {output.shift});
}}"""


@emit_output.register
def _(output: Sums, program, label, store):
    return store("unit", "sum")


@emit.register
def _(operation: BinaryLinear, program, store=None):
    label = program.label()
    body = _units(operation, program, label, "in", store)
    return program.function(label, operation.takes, operation.gives, indent(body))


@emit.register
def _(operation: BinaryConv, program, store=None):
    label, window = program.label(), operation.window
    planes, size = len(operation.takes.scales), n_words32(window.n_taps)
    (lines, columns), (high, wide) = window.pooled, window.pool
    n_rows = high * wide
    _emit_gather(operation, program, label, planes, size)
    zone = _zone_of_place(operation, program, label)
    declared = f"\n            @index zones[{n_rows}];" if zone else ""
    noted = f"\n                zones[row] = {zone};" if zone else ""
    units = _units(operation, program, label, "rows", store, n_rows, bool(zone))
    advance = f"out += {operation.weights.n_units}u;"
    advance = "" if memory_of(operation.gives).planes else f"\n            {advance}"
    body = f"""\
    @index line, column, row;
    for (line = 0; line < {lines}u; ++line) {{
        for (column = 0; column < {columns}u; ++column) {{{declared}
            for (row = 0; row < {n_rows}u; ++row) {{
                const @index y = (@index)(line * {high}u + row / {wide}u);
                const @index x = (@index)(column * {wide}u + row % {wide}u);
                {label}_gather(in, y, x, rows + row * {planes * size}u);{noted}
            }}
{indent(units, 3)}{advance}
        }}
    }}"""
    scratch = ((Memory("uint32_t", n_rows * planes * size), "rows"),)
    return program.function(label, operation.takes, operation.gives, body, scratch)


def _emit_gather(operation, program, label, planes, size):
    """Write the function that gathers one window, plane after plane."""
    program.need("window")
    window, (top, left) = operation.window, operation.window.margins
    sizes = ", ".join(f"{n}u" for n in (*window.shape, *window.kernel))
    padding = "0xffffffffu" if operation.padding_value == 1 else "0u"
    program.code(f"""\
static inline void {label}_gather(const uint32_t *in, @index y, @index x, uint32_t *to)
{{
    @index plane;
    for (plane = 0; plane < {planes}u; ++plane) {{
        @writer out;
        @open(&out, 1u, to + plane * {size}u, 0);
        @window(&out, in + plane * {n_words32(operation.takes.n_bits)}u,
                (@index)(y * {window.stride}u - {top}u), (@index)(x * {window.stride}u - {left}u),
                {sizes}, {padding});
        @close(&out, 1u);
    }}
}}
""")


def _zone_of_place(operation, program, label):
    """Return the zone of the place (y, x), whose windows are cut alike; empty if there is one."""
    lines, columns, correction = operation.corrections()
    if not correction.any():
        return ""
    tables = (
        program.table(f"{label}_{name}", np.repeat(np.arange(len(ends) - 1), np.diff(ends)))
        for name, ends in (("lines", lines), ("columns", columns))
    )
    program.table(f"{label}_corrections", correction)
    line, column = tables
    return f"(@index)({line.read('y')} * {len(columns) - 1}u + {column.read('x')})"


def _units(operation, program, label, rows, store, n_rows=1, in_zones=False):
    """Return the loop over units: sums of one row or of a pool, then the output transform."""
    has_ones = bool(operation.weights.unit_offsets.any())
    size = len(operation.takes.scales) * n_words32(operation.weights.n_bits)
    c_type = _emit_sum(operation, program, label, has_ones)

    def sum_of(row):
        extra = f", ones[{row}]" if has_ones else ""
        text = f"{label}_sum({rows} + {row} * {size}u, unit{extra})"
        if not in_zones:
            return text
        correction = next(t for t in program.tables if t.name == f"{label}_corrections")
        return f"{text} + {correction.read(f'zones[{row}] * {n_units}u + unit')}"

    n_units, lines = operation.weights.n_units, []
    if has_ones:
        lines += [f"{c_type} ones[{n_rows}];"]
    lines += ["@index unit;"]
    if has_ones:
        lines += [
            "@index r;",
            f"for (r = 0; r < {n_rows}u; ++r) {{",
            f"    ones[r] = {label}_ones({rows} + r * {size}u);",
            "}",
        ]
    output = emit_output(operation.output, program, label, store)
    lines += [f"for (unit = 0; unit < {n_units}u; ++unit) {{"]
    if n_rows == 1:
        lines += [f"    const {c_type} sum = {sum_of(0)};"]
    else:
        better = "other > sum"
        if getattr(operation, "minima", None) is not None and operation.minima.any():
            program.need("flag")
            minima = program.table(f"{label}_minima", words32(operation.minima, n_units))
            better = f"(@flag({minima.name}, unit) ? other < sum : other > sum)"
        lines += [
            f"    {c_type} sum = {sum_of(0)};",
            "    @index next;",
            f"    for (next = 1; next < {n_rows}u; ++next) {{",
            f"        const {c_type} other = {sum_of('next')};",
            f"        sum = {better} ? other : sum;",
            "    }",
        ]
    lines += [indent(output), "}"]
    # A block of its own: declarations come first in it.
    return "{\n" + indent("\n".join(lines)) + "\n}"


def _emit_sum(operation, program, label, has_ones):
    """Write the function of a unit's sum of a row, and return the type of sums.

    Sums are added up without signs, where wrapping around is defined, and the result fits.
    """
    weights, code = operation.weights, operation.takes
    n_words, (planes, units) = n_words32(weights.n_bits), weights.words.shape[:2]
    c_type = C_TYPES[np.dtype(operation.sum_dtype)]
    words = program.table(f"{label}_words", words32(weights.words, weights.n_bits))
    program.need("mismatches")
    mismatches = f"@mismatches(row, {words.name} + unit * {n_words}u, {n_words}u)"
    head = f"static inline {c_type} {label}_sum(const uint32_t *row, @index unit"
    if operation.is_plain:
        program.code(
            f"{head})\n{{\n    return {weights.n_bits} - 2 * ({c_type}){mismatches};\n}}\n"
        )
        return c_type
    scales = program.table(f"{label}_scales", np.array(code.scales))
    parts = program.table(f"{label}_parts", weights.plane_scales)
    bases = program.table(f"{label}_bases", operation.terms()[2])
    mismatches = f"@mismatches(row, {words.name} + (k * {units}u + unit) * {n_words}u, {n_words}u)"
    ones, worth = "", ""
    if has_ones:
        offsets = program.table(f"{label}_offsets_of_weights", weights.unit_offsets)
        ones, worth = (
            f", {c_type} ones",
            f"\n    sum += (u{c_type})ones * (u{c_type}){offsets.read('unit')};",
        )
        _emit_ones(operation, program, label, scales, c_type)
    program.code(f"""\
{head}{ones})
{{
    u{c_type} sum = (u{c_type}){bases.read("unit")};
    @index p, k;
    for (p = 0; p < {len(code.scales)}u; ++p) {{
        u{c_type} part = 0;
        for (k = 0; k < {planes}u; ++k) {{
            part += (u{c_type}){parts.read(f"k * {units}u + unit")}
                * {mismatches};
        }}
        sum -= 2u * part * (u{c_type}){scales.read("p")};
        row += {n_words}u;
    }}{worth}
    return ({c_type})sum;
}}
""")
    return c_type


def _emit_ones(operation, program, label, scales, c_type):
    """Write the function of what the ones of a row are worth where a weight is worth one half."""
    n_words = n_words32(operation.weights.n_bits)
    program.need("ones")
    program.code(f"""\
static inline {c_type} {label}_ones(const uint32_t *row)
{{
    u{c_type} sum = 0;
    @index p;
    for (p = 0; p < {len(operation.takes.scales)}u; ++p) {{
        sum += 2u * (u{c_type}){scales.read("p")} * @ones(row, {n_words}u);
        row += {n_words}u;
    }}
    return ({c_type})sum;
}}
""")
