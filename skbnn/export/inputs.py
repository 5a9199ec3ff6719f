"""Emitters of input operations: raw rows to bits, in the order in which the bits lie."""

import numpy as np

from skbnn.bits import pack_bits
from skbnn.export.emit import emit, indent
from skbnn.export.program import n_words32, words32
from skbnn.packed import BitPlanes, ImagePlanes, ImageThermometer, Thermometer, TokenBits

__all__ = []

_NO_BITS = "    (void)in;\n    @fill(out, 0, 32u);"


def _used(program, label, used):
    """Return the test whether element ``i`` of bools is set, with its table; empty if all are."""
    if used.all():
        return ""
    program.need("flag")
    flags = program.table(f"{label}_used", words32(pack_bits(used.ravel()), used.size))
    return f"if (@flag({flags.name}, i))"


@emit.register
def _(operation: Thermometer, program, store=None):
    label, n_features = program.label(), len(operation.counts)
    program.need("writer", "fill")
    n_planes = int(operation.counts.max(initial=0))
    if not n_planes:
        return program.function(label, operation.takes, operation.gives, _NO_BITS)
    used = np.arange(n_planes)[:, None] < operation.counts
    test = _used(program, label, used)
    thresholds = program.table(f"{label}_thresholds", operation.thresholds)
    body = f"""\
    @index plane, feature, bit = 0{", i = 0" if test else ""};
    for (plane = 0; plane < {n_planes}u; ++plane) {{
        for (feature = 0; feature < {n_features}u; ++feature{", ++i" if test else ""}) {{
            {test + " " if test else ""}{{
                @push(out, in[feature] >= {thresholds.read("bit")}, 1u);
                ++bit;
            }}
        }}
    }}"""
    return program.function(label, operation.takes, operation.gives, body)


@emit.register
def _(operation: BitPlanes, program, store=None):
    label = program.label()
    program.need("writer", "fill")
    used = np.zeros(operation.n_features, np.bool_)
    used[operation.columns] = True
    if not used.any():
        fill = f"@index plane;\nfor (plane = 0; plane < 8u; ++plane) {{\n{indent(_NO_BITS)}\n}}"
        body = indent(fill.replace("(out,", "(out + plane,"))
        return program.function(label, operation.takes, operation.gives, body)
    test = _used(program, label, used)
    body = f"""\
    @index plane, i;
    for (plane = 0; plane < 8u; ++plane) {{
        for (i = 0; i < {operation.n_features}u; ++i) {{
            {test + " " if test else ""}{{
                @push(out + plane, ((uint32_t)in[i] >> plane) & 1u, 1u);
            }}
        }}
    }}"""
    return program.function(label, operation.takes, operation.gives, body)


@emit.register
def _(operation: ImageThermometer, program, store=None):
    label = program.label()
    program.need("writer", "fill")
    if not len(operation.thresholds):
        return program.function(label, operation.takes, operation.gives, _NO_BITS)
    thresholds = program.table(f"{label}_thresholds", operation.thresholds)
    channel = ""
    if operation.layout.shape[2] > 1:
        channel = " + " + program.table(f"{label}_channels", operation.channels).read("i")
    push = f"@push(out, *(pixel{channel}) >= {thresholds.read('i')}, 1u);"
    places = _each_pixel(operation.layout, len(operation.thresholds), push)
    body = f"    @index line, column, y, x, i;\n{indent(places)}"
    return program.function(label, operation.takes, operation.gives, body)


@emit.register
def _(operation: ImagePlanes, program, store=None):
    label, layout = program.label(), operation.layout
    program.need("writer", "fill")
    push = "@push(out + plane, ((uint32_t)pixel[i] >> plane) & 1u, 1u);"
    places = indent(_each_pixel(layout, layout.shape[2], push))
    planes = f"for (plane = 0; plane < 8u; ++plane) {{\n{places}\n}}"
    body = f"    @index plane, line, column, y, x, i;\n{indent(planes)}"
    return program.function(label, operation.takes, operation.gives, body)


def _each_pixel(layout, n_bits, push):
    """Return loops over the pixels of all blocks, which push so many bits of each."""
    (lines, columns), block, (_, width, channels) = layout.places, layout.block, layout.shape
    return f"""\
for (line = 0; line < {lines}u; ++line) {{
    for (column = 0; column < {columns}u; ++column) {{
        for (y = 0; y < {block}u; ++y) {{
            for (x = 0; x < {block}u; ++x) {{
                const @input *const pixel = in + {channels}u
                    * ((line * {block}u + y) * {width}u + column * {block}u + x);
                for (i = 0; i < {n_bits}u; ++i) {{
                    {push}
                }}
            }}
        }}
    }}
}}"""


@emit.register
def _(operation: TokenBits, program, store=None):
    label, n_bits = program.label(), len(operation.owners)
    n_tokens, length = operation.counts.size, operation.length
    program.need("take", "writer", "fill")
    if not n_bits:
        return program.function(label, operation.takes, operation.gives, _NO_BITS)
    owners = program.table(f"{label}_owners", operation.owners)
    body = f"""\
for (token = 0; token < {n_tokens}u; ++token) {{
    @index missing = {length}u;
    for (i = 0; i < {n_bits}u; ++i) {{
        if ({owners.read("i")} == token) {{
            @push(out, @take(in, i, 1u), 1u);
            --missing;
        }}
    }}
    @fill(out, 0, missing);
}}"""
    n_planes, names = len(operation.takes.scales), "token, i"
    if n_planes > 1:
        each = indent(f"{body}\nin += {n_words32(n_bits)}u;\n++out;")
        body = f"for (plane = 0; plane < {n_planes}u; ++plane) {{\n{each}\n}}"
        names = f"plane, {names}"
    body = f"    @index {names};\n{indent(body)}"
    return program.function(label, operation.takes, operation.gives, body)
