"""The C runtime: the few functions that generated programs are made of.

Each piece of :data:`PIECES` names the pieces it needs; a program holds those that it uses and no
others. ``@`` stands for the prefix of every name, ``@@`` for the same in capitals.
"""

from typing import NamedTuple

__all__ = ["PIECES", "Piece", "in_order"]


class Piece(NamedTuple):
    """A piece of C and the pieces that it needs, space-separated."""

    text: str
    needs: str = ""


PIECES = {
    "memory": Piece("""\
/* Tables lie in program memory where that is another address space. */
#if defined(__AVR__)
#include <avr/pgmspace.h>
#define @@TABLE PROGMEM
#define @@READ8(p) pgm_read_byte(p)
#define @@READ16(p) pgm_read_word(p)
#define @@READ32(p) pgm_read_dword(p)
#define @@READ64(p) \\
    (((uint64_t)pgm_read_dword((const uint8_t *)(p) + 4) << 32) | pgm_read_dword(p))
#define @@READF(p) pgm_read_float(p)
typedef uint16_t @index;
#else
#define @@TABLE
#define @@READ8(p) (*(p))
#define @@READ16(p) (*(p))
#define @@READ32(p) (*(p))
#define @@READ64(p) (*(p))
#define @@READF(p) (*(p))
typedef uint32_t @index;
#endif
"""),
    "popcount": Piece(
        """\
/* Number of bits 1. To choose how they are counted, define one of @@POPCOUNT_BUILTIN,
   @@POPCOUNT_TABLE and @@POPCOUNT_SWAR, or @@POPCOUNT(x) itself. */
#if !defined(@@POPCOUNT) && !defined(@@POPCOUNT_BUILTIN) && !defined(@@POPCOUNT_TABLE) \\
    && !defined(@@POPCOUNT_SWAR)
#if defined(__POPCNT__) || defined(__aarch64__) || defined(__AVR__) || defined(__riscv_zbb)
#define @@POPCOUNT_BUILTIN
#else
#define @@POPCOUNT_SWAR
#endif
#endif
#if !defined(@@POPCOUNT) && defined(@@POPCOUNT_TABLE)
static const uint8_t @ones_of[16] @@TABLE = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
#endif

static inline uint32_t @popcount(uint32_t x)
{
#if defined(@@POPCOUNT)
    return (uint32_t)(@@POPCOUNT(x));
#elif defined(@@POPCOUNT_TABLE)
    uint32_t count = 0;
    uint8_t digit;
    for (digit = 0; digit < 8u; ++digit) {
        count += @@READ8(@ones_of + (x & 15u));
        x >>= 4;
    }
    return count;
#elif defined(@@POPCOUNT_SWAR)
    x -= (x >> 1) & 0x55555555u;
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0fu;
    x += x >> 8;
    return (x + (x >> 16)) & 63u;
#else
    return (uint32_t)(sizeof(unsigned int) >= sizeof x ? __builtin_popcount((unsigned int)x)
                                                       : __builtin_popcountl(x));
#endif
}
""",
        "memory",
    ),
    "mismatches": Piece(
        """\
/* Bits in which a row and a stored one differ. */
static inline uint32_t @mismatches(const uint32_t *row, const uint32_t *unit, @index n_words)
{
    uint32_t count = 0;
    @index i;
    for (i = 0; i < n_words; ++i) {
        count += @popcount(row[i] ^ @@READ32(unit + i));
    }
    return count;
}
""",
        "popcount",
    ),
    "ones": Piece(
        """\
/* Bits 1 of a row. */
static inline uint32_t @ones(const uint32_t *row, @index n_words)
{
    uint32_t count = 0;
    @index i;
    for (i = 0; i < n_words; ++i) {
        count += @popcount(row[i]);
    }
    return count;
}
""",
        "popcount",
    ),
    "flag": Piece(
        """\
/* One bit of a table. */
static inline uint32_t @flag(const uint32_t *table, @index i)
{
    return (@@READ32(table + i / 32u) >> (i % 32u)) & 1u;
}
""",
        "memory",
    ),
    "writer": Piece(
        """\
/* A row of bits that is written from its first bit to its last. */
typedef struct {
    uint32_t *to;
    uint32_t word;
    uint32_t filled;
} @writer;

static inline void @open(@writer *out, @index n_planes, uint32_t *to, @index n_words)
{
    @index i;
    for (i = 0; i < n_planes; ++i) {
        out[i].to = to + i * n_words;
        out[i].word = 0;
        out[i].filled = 0;
    }
}

/* Write 1 to 32 bits; those above them are 0. */
static inline void @push(@writer *out, uint32_t bits, uint32_t n)
{
    out->word |= bits << out->filled;
    out->filled += n;
    if (out->filled >= 32u) {
        *out->to++ = out->word;
        out->filled -= 32u;
        out->word = out->filled ? bits >> (n - out->filled) : 0u;
    }
}

static inline void @close(@writer *out, @index n_planes)
{
    @index i;
    for (i = 0; i < n_planes; ++i) {
        if (out[i].filled) {
            *out[i].to = out[i].word;
        }
    }
}
""",
        "memory",
    ),
    "fill": Piece(
        """\
/* Write n times the same bit, given as a word of it. */
static inline void @fill(@writer *out, uint32_t word, @index n)
{
    for (; n > 32u; n -= 32u) {
        @push(out, word, 32u);
    }
    if (n) {
        @push(out, word >> (32u - n), n);
    }
}
""",
        "writer",
    ),
    "take": Piece(
        """\
/* The 1 to 32 bits of a row from one on. */
static inline uint32_t @take(const uint32_t *row, @index start, uint32_t n)
{
    const uint32_t *const word = row + start / 32u;
    const uint32_t shift = start % 32u;
    uint32_t bits = word[0] >> shift;
    if (shift + n > 32u) {
        bits |= word[1] << (32u - shift);
    }
    return n < 32u ? bits & (((uint32_t)1 << n) - 1u) : bits;
}
""",
        "memory",
    ),
    "copy": Piece(
        """\
/* Write n bits of a row, from one on. */
static inline void @copy(@writer *out, const uint32_t *row, @index start, @index n)
{
    for (; n > 32u; n -= 32u) {
        @push(out, @take(row, start, 32u), 32u);
        start += 32u;
    }
    if (n) {
        @push(out, @take(row, start, n), n);
    }
}
""",
        "writer take",
    ),
    "window": Piece(
        """\
/* Write the pixels under a window; outside of the image there is padding. A line or column above
   or left of the image has wrapped around, and so lies beyond its end. */
static inline void @window(@writer *out, const uint32_t *image, @index top, @index left,
                           @index height, @index width, @index channels,
                           @index n_lines, @index n_columns, uint32_t padding)
{
    @index i, j;
    for (i = 0; i < n_lines; ++i) {
        const @index line = (@index)(top + i);
        for (j = 0; j < n_columns; ++j) {
            const @index column = (@index)(left + j);
            if (line < height && column < width) {
                @copy(out, image, (line * width + column) * channels, channels);
            } else {
                @fill(out, padding, channels);
            }
        }
    }
}
""",
        "copy fill",
    ),
    "differ": Piece(
        """\
/* Bits in which two parts of a row differ. */
static inline uint32_t @differ(const uint32_t *row, @index here, @index there, @index n)
{
    uint32_t count = 0;
    for (; n > 32u; n -= 32u) {
        count += @popcount(@take(row, here, 32u) ^ @take(row, there, 32u));
        here += 32u;
        there += 32u;
    }
    return count + @popcount(@take(row, here, n) ^ @take(row, there, n));
}
""",
        "popcount take",
    ),
    "exp": Piece("""\
/* e to the power of a number that is not positive. */
static inline float @exp(float x)
{
    const float halvings = x * -1.44269504f;
    int32_t n = halvings < 126.0f ? (int32_t)halvings : 126;
    float rest = x < -87.0f ? 0.0f : (x + (float)n * 0.693359375f) - (float)n * 2.12194440e-4f;
    float y = 1.0f + rest * (1.0f + rest * (0.5f + rest * (0.166666667f + rest * (0.0416666667f
              + rest * (0.00833333333f + rest * (0.00138888889f + rest * (1.98412698e-4f
              + rest * 2.48015873e-5f)))))));
    for (; n > 0; --n) {
        y *= 0.5f;
    }
    return y;
}
"""),
}


def in_order(names):
    """Return the pieces of these names and all that they need, each after those that it needs.

    Parameters
    ----------
    names : iterable of str
        Names in :data:`PIECES`.

    Returns
    -------
    texts : dict of str to str
        Texts by name.
    """
    found = {}

    def visit(name):
        if name not in found:
            for need in PIECES[name].needs.split():
                visit(need)
            found[name] = PIECES[name].text

    for name in names:
        visit(name)
    return found
