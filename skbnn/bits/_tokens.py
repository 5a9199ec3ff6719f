"""Kernels of sequences: bits put in another order, and attention of one-bit queries and keys.

Attention is two products of each head, by the tile of :mod:`skbnn.bits._products`: queries with
keys, whose comparison with a limit says which tokens are chosen, and these with the values of each
unit, transposed to bits along tokens. For the second product is one of signs too: over the chosen
tokens a column of values sums up to its ones less its mismatches with them. Words are cut out of
the tokens' rows by shifts, so heads of any size need no padding there.

A cached kernel is renewed only when its own file changes, which therefore names what it calls:
``_CALLED`` is a digest of it.
"""

import numpy as np
from numba import njit

from skbnn.bits._counting import popcount
from skbnn.bits._encoding import at_least
from skbnn.bits._products import compare_words, count_mismatches
from skbnn.bits.packing import WORD_BITS

__all__ = ["attend", "gather_bits"]

_CALLED = "45e3d7d5bbf4b17a"
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_LANES = 32
_SHARE_BITS = 16


@njit(cache=True, nogil=True)
def gather_bits(rows, order, out):
    """Put the bits of rows in another order, with zeros between them."""
    n_bits = WORD_BITS * rows.shape[1]
    unpacked = np.zeros(n_bits + 1, np.uint8)
    found, one = np.empty(WORD_BITS, np.uint8), np.ones(WORD_BITS, np.uint8)
    places = np.empty(len(order), np.int64)
    for i in range(len(order)):
        places[i] = order[i] if order[i] >= 0 else n_bits
    for n in range(len(rows)):
        for word in range(rows.shape[1]):
            bits = rows[n, word]
            for i in range(WORD_BITS):
                unpacked[word * WORD_BITS + i] = (bits >> np.uint64(i)) & _ONE
        for word in range(out.shape[1]):
            for i in range(WORD_BITS):
                found[i] = unpacked[places[word * WORD_BITS + i]]
            out[n, word] = at_least(found, 0, one, 0)


@njit(cache=True, nogil=True)
def _cut(rows, n, token, start, n_bits):
    """Return the bits of a token from `start` on, at most 64 of them, as a word."""
    word, shift = start // WORD_BITS, np.uint64(start % WORD_BITS)
    bits = rows[n, token, word] >> shift
    if start % WORD_BITS + n_bits > WORD_BITS:
        bits |= rows[n, token, word + 1] << (np.uint64(WORD_BITS) - shift)
    return bits if n_bits >= WORD_BITS else bits & ((_ONE << np.uint64(n_bits)) - _ONE)


@njit(cache=True, nogil=True)
def _take_rows(rows, n, first, size, heads):
    """Write the tokens' bits of each head, heads (n_heads, n_tokens, n_words)."""
    for head in range(heads.shape[0]):
        for word in range(heads.shape[2]):
            done = word * WORD_BITS
            start, n_bits = first + head * size + done, min(WORD_BITS, size - done)
            for token in range(heads.shape[1]):
                heads[head, token, word] = _cut(rows, n, token, start, n_bits)


@njit(cache=True, nogil=True)
def _take_units(rows, n, first, size, heads):
    """Write the tokens' bits of each head as interleaved units, one for each token."""
    n_heads, _, n_words, _ = heads.shape
    for head in range(n_heads):
        for word in range(n_words):
            done = word * WORD_BITS
            start, n_bits = first + head * size + done, min(WORD_BITS, size - done)
            for token in range(rows.shape[1]):
                bits = _cut(rows, n, token, start, n_bits)
                heads[head, token // _LANES, word, token % _LANES] = bits


@njit(cache=True, nogil=True)
def _take_columns(rows, n, first, size, block, heads):
    """Write the bits of each head as interleaved units, one for each column of the tokens."""
    n_tokens = rows.shape[1]
    side = 8
    while side < min(n_tokens, WORD_BITS):
        side *= 2
    ones = (_ONE << np.uint64(side)) - _ONE if side < WORD_BITS else ~_ZERO
    for head in range(heads.shape[0]):
        for group in range(heads.shape[2]):
            token = group * WORD_BITS
            n_here = min(WORD_BITS, n_tokens - token)
            for start in range(0, size, WORD_BITS):
                n_bits = min(WORD_BITS, size - start)
                for i in range(n_here):
                    block[i] = _cut(rows, n, token + i, first + head * size + start, n_bits)
                block[n_here:side] = 0
                _transpose(block, side)
                for i in range(n_bits):
                    c = start + i
                    bits = (block[i % side] >> np.uint64(i // side * side)) & ones
                    heads[head, c // _LANES, group, c % _LANES] = bits


@njit(cache=True, nogil=True)
def _transpose(block, side):
    """Transpose the squares of bits, side x side, that lie side by side in so many words."""
    width = side // 2
    while width:
        shift, mask = np.uint64(width), ~_ZERO // ((_ONE << np.uint64(width)) + _ONE)
        for start in range(0, side, 2 * width):
            for i in range(start, start + width):
                moved = ((block[i] >> shift) ^ block[i + width]) & mask
                block[i] ^= moved << shift
                block[i + width] ^= moved
        width >>= 1


@njit(cache=True, nogil=True)
def _limit(counts, limit, table, share):
    """Return the most mismatches with which a key is attended to; -1 for none."""
    least = counts[0]
    for count in counts:
        least = min(least, count)
    if len(table) == 0:
        return least + limit
    total = np.int64(0)
    for count in counts:
        total += table[np.uint64(count - least)]
    # The table falls: the last entry of at least a share of the total.
    low, high = -1, len(table) - 1
    while low < high:
        middle = (low + high + 1) >> 1
        if table[middle] << _SHARE_BITS >= share * total:
            low = middle
        else:
            high = middle - 1
    return least + low if low >= 0 else -1


@njit(cache=True, nogil=True)
def _choose(counts, limit, table, share, chosen):
    """Set the bits of the tokens that each query attends to, by a rule that looks at its counts."""
    n_tokens = counts.shape[1]
    for query in range(len(counts)):
        most = _limit(counts[query], limit, table, share)
        for group in range(chosen.shape[1]):
            start, tokens = group * WORD_BITS, _ZERO
            for i in range(min(WORD_BITS, n_tokens - start)):
                tokens |= np.uint64(counts[query, start + i] <= most) << np.uint64(i)
            chosen[query, group] = tokens


@njit(cache=True, nogil=True)
def _limits_of_sums(columns, thresholds, limits):
    """Write the most mismatches with which the sum of a column reaches its threshold.

    The sum of the chosen values, -1 or +1, is the number of ones of the column less its mismatches
    with the chosen tokens. Lanes that are no column have no such number.
    """
    for c in range(len(thresholds)):
        ones = np.int64(0)
        for group in range(columns.shape[1]):
            ones += np.int64(popcount(columns[c // _LANES, group, c % _LANES]))
        limits[c] = ones - thresholds[c]


@njit(cache=True, nogil=True)
def _change(words, start, n_bits, out):
    """Change the bits of each token from `start` on where those of a head are 1."""
    for done in range(0, n_bits, WORD_BITS):
        word, shift = (start + done) // WORD_BITS, np.uint64((start + done) % WORD_BITS)
        n_more = (start + done) % WORD_BITS + min(WORD_BITS, n_bits - done) - WORD_BITS
        for token in range(len(words)):
            bits = words[token, done // WORD_BITS]
            out[token, word] ^= bits << shift
            if n_more > 0:
                out[token, word + 1] ^= bits >> (np.uint64(WORD_BITS) - shift)


@njit(cache=True, nogil=True)
def attend(rows, n_heads, from_least, limits, table, shares, thresholds, starts, changes, out):
    """Attend with bits: scores, a rule for each row, the sum of the chosen values, its code."""
    n_tokens, (n_steps, n_units) = rows.shape[1], thresholds.shape
    size = n_units // n_heads
    n_words, n_groups = -(-size // WORD_BITS), -(-n_tokens // WORD_BITS)
    n_keys, n_columns = -(-n_tokens // _LANES), -(-size // _LANES)
    queries = np.empty((n_heads, n_tokens, n_words), np.uint64)
    keys = np.zeros((n_heads, n_keys, n_words, _LANES), np.uint64)
    columns = np.zeros((n_heads, n_columns, n_groups, _LANES), np.uint64)
    block = np.empty(WORD_BITS, np.uint64)
    counts = np.empty((n_tokens, n_tokens), np.int32)
    chosen = np.empty((n_tokens, n_groups), np.uint64)
    met = np.empty((n_tokens, n_words), np.uint64)
    goals = thresholds.reshape(n_steps, n_heads, size)
    # No count is within a limit below 0: that of what is no key, and no column.
    limits_of_keys = np.full((n_heads, n_keys * _LANES), -1, np.int64)
    limits_of_sums = np.full(n_columns * _LANES, -1, np.int64)
    for head in range(n_heads):
        limits_of_keys[head, :n_tokens] = limits[head]
    for n in range(len(rows)):
        _take_rows(rows, n, 0, size, queries)
        _take_units(rows, n, n_units, size, keys)
        _take_columns(rows, n, 2 * n_units, size, block, columns)
        out[n] = starts
        for head in range(n_heads):
            if from_least:
                count_mismatches(queries[head], keys[head], counts)
                _choose(counts, limits[head], table, shares[head], chosen)
            else:
                compare_words(queries[head], keys[head], limits_of_keys[head], chosen)
            for step in range(n_steps):
                _limits_of_sums(columns[head], goals[step, head], limits_of_sums)
                compare_words(chosen, columns[head], limits_of_sums, met)
                for code in range(len(starts)):
                    if changes[step, code]:
                        _change(met, head * size, size, out[n, :, code])
