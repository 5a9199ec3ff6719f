"""Emitters of what chooses: attention and its rules, and nearest codewords."""

import math
from functools import singledispatch

import numpy as np

from skbnn.export.emit import emit, indent
from skbnn.export.products import emit_output
from skbnn.export.program import Memory, n_words32, words32
from skbnn.packed import (
    Attention,
    AttentionLevels,
    NearestCodeword,
    RowMaximum,
    ScoreThreshold,
    SoftmaxShare,
)

_FAR = 1 << 30

__all__ = ["emit_rule"]

_LEAST = """\
@count least = counts[0];
@index j;
for (j = 1; j < {n_tokens}u; ++j) {{
    least = counts[j] < least ? counts[j] : least;
}}
"""


@singledispatch
def emit_rule(rule, program, label, n_tokens):
    """Return statements that set ``limit``, the most mismatches of keys that are attended to.

    They read the mismatches of all tokens in ``counts`` and the number ``head``. Register an
    implementation for each new rule.
    """
    raise TypeError(
        f"There is no C emitter for {type(rule).__name__}; register one with "
        "skbnn.export.choices.emit_rule."
    )


@emit_rule.register
def _(rule: ScoreThreshold, program, label, n_tokens):
    limits = program.table(f"{label}_limits", rule.limits)
    return f"limit = {limits.read('head')};"


@emit_rule.register
def _(rule: RowMaximum, program, label, n_tokens):
    # No count is as large; the sum could be.
    limits = program.table(f"{label}_limits", rule.limits.clip(-_FAR, _FAR))
    return f"{_LEAST.format(n_tokens=n_tokens)}limit = (int32_t)least + {limits.read('head')};"


@emit_rule.register
def _(rule: SoftmaxShare, program, label, n_tokens):
    # Not narrowed: the entries are shifted as numbers without a sign.
    table = program.table(f"{label}_exponentials", rule.table.astype(np.uint32))
    shares = program.table(f"{label}_shares", rule.shares)
    return f"""\
{_LEAST.format(n_tokens=n_tokens)}uint64_t total = 0;
for (j = 0; j < {n_tokens}u; ++j) {{
    total += {table.read("(counts[j] - least)")};
}}
total *= {shares.read("head")};
/* The table falls: the last entry that is at least the share. */
limit = {len(rule.table) - 1};
while (limit >= 0 && ((uint64_t){table.read("limit")} << 16) < total) {{
    --limit;
}}
limit = limit < 0 ? -1 : (int32_t)least + limit;"""


@emit.register
def _(operation: Attention, program, store=None):
    label, n_units = program.label(), len(operation.thresholds)
    program.need("writer", "flag")
    thresholds = program.table(f"{label}_thresholds", operation.thresholds)
    bit = f"sum >= {thresholds.read('unit')}"
    if operation.flips.any():
        flips = program.table(f"{label}_flips", words32(operation.flips, n_units))
        bit = f"(uint32_t)({bit}) ^ @flag({flips.name}, unit)"
    return _emit_attention(operation, program, label, n_units, f"@push(out, {bit}, 1u);")


@emit.register
def _(operation: AttentionLevels, program, store=None):
    label = program.label()
    output = emit_output(operation.output, program, label, store)
    return _emit_attention(operation, program, label, operation.output.n_units, output)


def _emit_attention(operation, program, label, n_units, output):
    """Write the function of an attention; ``output`` stores the ``sum`` of a ``unit``'s values."""
    n_tokens, n_heads = math.prod(operation.places), operation.rule.n_heads
    size = n_units // n_heads
    program.need("differ", "take")
    rule = emit_rule(operation.rule, program, label, n_tokens)
    body = f"""\
    @index token, head, other, i;
    for (token = 0; token < {n_tokens}u; ++token) {{
        for (head = 0; head < {n_heads}u; ++head) {{
            const @index query = token * {3 * n_units}u + head * {size}u;
            const @index key = {n_units}u + head * {size}u;
            const @index value = {2 * n_units}u + head * {size}u;
            int32_t n_chosen = 0, limit;
            for (other = 0; other < {n_tokens}u; ++other) {{
                counts[other] =
                    (@count)@differ(in, query, other * {3 * n_units}u + key, {size}u);
            }}
            {{
{indent(rule, 4)}
            }}
            for (i = 0; i < {size}u; ++i) {{
                plus[i] = 0;
            }}
            for (other = 0; other < {n_tokens}u; ++other) {{
                if ((int32_t)counts[other] <= limit) {{
                    const @index start = other * {3 * n_units}u + value;
                    ++n_chosen;
                    for (i = 0; i < {size}u; ++i) {{
                        plus[i] = (@count)(plus[i] + @take(in, start + i, 1u));
                    }}
                }}
            }}
            for (i = 0; i < {size}u; ++i) {{
                const @index unit = head * {size}u + i;
                const int32_t sum = 2 * (int32_t)plus[i] - n_chosen;
{indent(output, 4)}
            }}
        }}
    }}"""
    scratch = (Memory("@count", n_tokens), "counts"), (Memory("@count", size), "plus")
    return program.function(label, operation.takes, operation.gives, body, scratch)


@emit.register
def _(operation: NearestCodeword, program, store=None):
    label, (codewords, n_classes) = program.label(), (operation.codewords, operation.n_classes)
    program.need("mismatches")
    n_words = n_words32(codewords.n_bits)
    words = program.table(f"{label}_words", words32(codewords.words, codewords.n_bits))
    owners = program.table(f"{label}_owners", operation.owners)
    body = f"""\
    int32_t farthest = 0;
    @index i;
    for (i = 0; i < {n_classes}u; ++i) {{
        out[i] = 1;
    }}
    for (i = 0; i < {codewords.n_units}u; ++i) {{
        const int32_t score =
            -(int32_t)@mismatches(in, {words.name} + i * {n_words}u, {n_words}u);
        int32_t *const best = out + {owners.read("i")};
        *best = *best > 0 || score > *best ? score : *best;
        farthest = score < farthest ? score : farthest;
    }}
    /* A class without codewords is farther than any other. */
    for (i = 0; i < {n_classes}u; ++i) {{
        out[i] = out[i] > 0 ? 2 * farthest - 1 : out[i];
    }}"""
    return program.function(label, operation.takes, operation.gives, body)
