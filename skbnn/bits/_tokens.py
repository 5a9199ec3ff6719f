"""Kernels of sequences: bits put in another order, and attention of one-bit queries and keys.

Attention keeps everything of one sequence in small buffers, laid out so that each inner loop runs
over vectors: keys word by word, tokens fastest, for the scores; values transposed, bits along
tokens and columns fastest, for what attends. Words are cut out of the tokens' rows by shifts, so
heads of any size need no padding there.

A cached kernel is renewed only when its own file changes: after an edit of one that it calls, touch
this file too.
"""

import numpy as np
from numba import njit

from skbnn.bits._counting import popcount
from skbnn.bits._encoding import at_least
from skbnn.bits.packing import WORD_BITS

__all__ = ["attend", "gather_bits"]

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_NEVER = np.iinfo(np.int32).max
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
def _take_heads(rows, n, first, size, heads):
    """Write the tokens' bits of each head, heads (n_heads, n_words, n_tokens)."""
    for head in range(heads.shape[0]):
        for word in range(heads.shape[1]):
            done = word * WORD_BITS
            start, n_bits = first + head * size + done, min(WORD_BITS, size - done)
            for token in range(heads.shape[2]):
                heads[head, word, token] = _cut(rows, n, token, start, n_bits)


@njit(cache=True, nogil=True)
def _take_columns(rows, n, first, block, columns):
    """Write the tokens' bits from `first` on as columns (n_words of tokens, n_bits)."""
    n_groups, n_columns = columns.shape
    for group in range(n_groups):
        n_tokens = min(WORD_BITS, rows.shape[1] - group * WORD_BITS)
        for start in range(0, n_columns, WORD_BITS):
            n_bits = min(WORD_BITS, n_columns - start)
            for i in range(n_tokens):
                block[i] = _cut(rows, n, group * WORD_BITS + i, first + start, n_bits)
            for i in range(n_tokens, WORD_BITS):
                block[i] = _ZERO
            _transpose(block)
            for i in range(n_bits):
                columns[group, start + i] = block[i]


@njit(cache=True, nogil=True)
def _transpose(block):
    """Transpose 64 words as a square matrix of bits, in place."""
    width, mask = 32, np.uint64(0x00000000FFFFFFFF)
    while width:
        shift = np.uint64(width)
        for start in range(0, WORD_BITS, 2 * width):
            for i in range(start, start + width):
                moved = ((block[i] >> shift) ^ block[i + width]) & mask
                block[i] ^= moved << shift
                block[i + width] ^= moved
        width >>= 1
        mask ^= mask << np.uint64(width)


@njit(cache=True, nogil=True)
def _limit(counts, n_tokens, from_least, limit, table, share):
    """Return the most mismatches with which a key is attended to; -1 for none."""
    least = np.int64(0)
    if from_least:
        least = counts[0]
        for j in range(n_tokens):
            least = min(least, counts[j])
    if len(table) == 0:
        return least + limit
    total = np.int64(0)
    for j in range(n_tokens):
        total += table[np.uint64(counts[j] - least)]
    # The table falls: the last entry of at least a share of the total.
    low, high = -1, len(table) - 1
    while low < high:
        middle = (low + high + 1) >> 1
        if table[middle] << _SHARE_BITS >= share * total:
            low = middle
        else:
            high = middle - 1
    return least + low if low >= 0 else np.int64(-1)


@njit(cache=True, nogil=True)
def attend(rows, n_heads, from_least, limits, table, shares, thresholds, starts, changes, out):
    """Attend with bits: scores, a rule for each row, the sum of the chosen values, its code."""
    n_tokens, (n_steps, n_units), (n_codes, n_out) = rows.shape[1], thresholds.shape, starts.shape
    size = n_units // n_heads
    n_words, n_groups = -(-size // WORD_BITS), -(-n_tokens // WORD_BITS)
    queries = np.empty((n_heads, n_words, n_tokens), np.uint64)
    keys = np.empty((n_heads, n_words, n_tokens), np.uint64)
    columns = np.empty((n_groups, n_units), np.uint64)
    columns_of = columns.reshape(n_groups, n_heads, size)
    block = np.empty(WORD_BITS, np.uint64)
    counts = np.empty(n_tokens, np.int64)
    chosen = np.empty(n_groups, np.uint64)
    # What lies beyond the last unit is never 1.
    sums = np.zeros(n_out * WORD_BITS, np.int32)
    sums_of = sums[:n_units].reshape(n_heads, size)
    goals = np.full((n_steps, n_out * WORD_BITS), _NEVER, np.int32)
    goals[:, :n_units] = thresholds
    for n in range(len(rows)):
        _take_heads(rows, n, 0, size, queries)
        _take_heads(rows, n, n_units, size, keys)
        _take_columns(rows, n, 2 * n_units, block, columns)
        for token in range(n_tokens):
            for head in range(n_heads):
                for j in range(n_tokens):
                    counts[j] = 0
                for word in range(n_words):
                    query = queries[head, word, token]
                    for j in range(n_tokens):
                        counts[j] += np.int64(popcount(query ^ keys[head, word, j]))
                limit = _limit(counts, n_tokens, from_least, limits[head], table, shares[head])
                n_chosen = np.int32(0)
                for group in range(n_groups):
                    tokens = _ZERO
                    for i in range(min(WORD_BITS, n_tokens - group * WORD_BITS)):
                        is_near = counts[group * WORD_BITS + i] <= limit
                        tokens |= np.uint64(is_near) << np.uint64(i)
                    chosen[group] = tokens
                    n_chosen += np.int32(popcount(tokens))
                for c in range(size):
                    sums_of[head, c] = -n_chosen
                for group in range(n_groups):
                    tokens = chosen[group]
                    for c in range(size):
                        n_plus = np.int32(popcount(tokens & columns_of[group, head, c]))
                        sums_of[head, c] += n_plus + n_plus
            for word in range(n_out):
                start = word * WORD_BITS
                for code in range(n_codes):
                    out[n, token, code, word] = starts[code, word]
                for step in range(n_steps):
                    met = at_least(sums, start, goals, step * len(sums) + start)
                    for code in range(n_codes):
                        if changes[step, code]:
                            out[n, token, code, word] ^= met
