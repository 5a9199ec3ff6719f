"""Counting by pairs of words: one population count for two words, where parities are at hand.

Let ``x_w`` be the mismatches of word w of a row and a unit, and ``p_w = x_1 ^ ... ^ x_w`` their
running parity. A full adder turns the three bits ``p_w``, ``x_w+1`` and ``x_w+2`` into their
parity, ``p_w+2``, and a carry that is worth two. So over a whole row, bit by bit,

    sum_w popcount(x_w) = popcount(p_W) + 2 sum_k popcount(carry_k),

with a carry for each pair of words; a first word that has no partner is paired with a word of
zeros. And if the parity does not start from zeros but from ``p_0``, the sum has the ones of
``p_0`` too. So windows that begin anywhere in a row of running parities can be counted.

A full adder would cost what the population count does that it saves. But the parity of mismatches
is the mismatch of parities: where rows and units are given by their running parities, ``p`` is one
exclusive or, like ``x`` was. And the carry is a choice, one instruction: where ``p_w+1`` is 1 it
is the contrary of ``p_w+2``, elsewhere it is ``p_w``. Two words take five instructions (two
exclusive ors, the choice, a count, an addition) instead of six, and half the population counts,
which are dear where a processor has no instruction for them.

Each cell has two vectors, a count and a parity. So a tile is half as wide.
"""

from llvmlite import ir
from numba.core import cgutils

from skbnn.bits._tile import INT32, INT64, LANES, VECTOR, counts_words

__all__ = ["count_pairs"]

_CARRY = 0b01110100
"""Truth table of the carry, by the bits (``p_w``, ``p_w+1``, ``p_w+2``) as a number."""


def count_pairs(tile, is_inside=False):
    """Emit the counts of a tile whose rows and units are given by their running parities.

    Parameters
    ----------
    tile : Tile
        Its rows are single runs.
    is_inside : bool, default=False
        Whether the parity of a row goes on from the word before it, instead of from zeros.

    Returns
    -------
    counts : list of LLVM vectors
        As :meth:`~skbnn.bits._tile.Tile.count` returns them.
    """
    builder, n_words = tile.builder, tile.run_length
    block = builder.mul(tile.block, builder.mul(n_words, tile.lanes))
    units = builder.gep(tile.units, [block])
    zeros = [VECTOR(None)] * (tile.height * tile.n_vectors)

    def parities(words):
        """Yield the parities of mismatches up to each of some words, cell by cell."""
        starts = [builder.gep(units, [builder.mul(word, tile.lanes)]) for word in words]
        vectors = [[tile.load(start, v * LANES) for start in starts] for v in range(tile.n_vectors)]
        for row in range(tile.height):
            spread = [tile.load_spread(tile.rows, row, word) for word in words]
            for of_units in vectors:
                yield list(map(builder.xor, of_units, spread))

    def carries(pair, before):
        """Yield the carry of a pair of words and the parity behind it, cell by cell."""
        word = builder.add(n_single, builder.mul(pair, INT64(2)))
        words = word, builder.add(word, INT64(1))
        for parity, (middle, last) in zip(before, parities(words), strict=True):
            yield _carry(tile, parity, middle, last), last

    def carry_of_first(index, before):
        """Yield the same for a word behind one of zeros."""
        for parity, (last,) in zip(before, parities([index]), strict=True):
            yield _carry(tile, parity, parity, last), last

    first = zeros
    if is_inside:
        spread = [tile.load_spread(tile.rows, row, INT64(-1)) for row in range(tile.height)]
        first = [parity for parity in spread for _ in range(tile.n_vectors)]
    n_single = builder.and_(n_words, INT64(1))
    counts, middle = tile.tally(n_single, zeros, first, carry_of_first)
    n_pairs = builder.lshr(n_words, INT64(1))
    counts, last = tile.tally(n_pairs, counts, middle, carries)
    twice = map(builder.add, counts, counts)
    found = map(builder.add, twice, map(tile.popcount, last))
    return list(map(builder.sub, found, map(tile.popcount, first)))


def _carry(tile, before, middle, last):
    """Emit the choice of the carry: not `last` where `middle` is 1, elsewhere `before`."""
    builder = tile.builder
    if counts_words(tile.context):
        kind = ir.FunctionType(VECTOR, [VECTOR] * 3 + [INT32])
        name = "llvm.x86.avx512.pternlog.q.512"
        look_up = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(look_up, [before, middle, last, INT32(_CARRY)])
    where = builder.and_(middle, builder.not_(last))
    return builder.or_(where, builder.and_(builder.not_(middle), before))
