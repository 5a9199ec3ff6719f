"""The definitions of kernels of sequences, in plain NumPy; see :mod:`skbnn.bits.reference`."""

import numpy as np

from skbnn.bits._blocks import row_blocks
from skbnn.bits.packing import pack_bits, unpack_bits

__all__ = ["attend", "gather_bits"]


def gather_bits(rows, order, out):
    """Put the bits of rows in another order, with zeros between them.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n_rows, n_words)
        Packed rows.
    order : int64 ndarray of shape (n_words_out * 64,)
        Bit of the row that each bit of the result is; -1 for a zero.
    out : uint64 ndarray of shape (n_rows, n_words_out)
        Packed rows.
    """
    for block in row_blocks(len(rows), len(order) + 64 * rows.shape[1]):
        bits = unpack_bits(rows[block], 64 * rows.shape[1])
        padded = np.concatenate([bits, np.zeros((len(bits), 1), np.bool_)], 1)
        out[block] = pack_bits(padded[:, order])


def attend(rows, n_heads, from_least, limits, table, shares, thresholds, starts, changes, out):
    """Attend with bits: scores, a rule for each row, the sum of the chosen values, its code.

    The bits of a token are queries, keys and values, ``n_units`` each, each head after head.
    With ``m_ij`` the mismatches of query i and key j in one head, and ``d_ij`` the same less the
    least of row i where ``from_least``, token i attends to token j if

        ``d_ij <= limit``, or, with a table,
        ``2^16 table[d_ij] >= share * sum_j table[d_ij]``.

    A unit's sum is that of its values, -1 or +1, over the tokens attended to.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n_rows, n_tokens, n_words(3 * n_units))
        Packed tokens; at least one.
    n_heads : int
        Heads; they divide ``n_units``.
    from_least : bool
        Whether mismatches are counted from the least of their row on.
    limits : int64 ndarray of shape (n_heads,)
        Most mismatches of each head; of no use with a table.
    table : int64 ndarray of shape (n_units // n_heads + 1,) or (0,)
        Weight of each number of mismatches, falling, from at most ``2^20`` on; or no table.
    shares : int64 ndarray of shape (n_heads,)
        Least share of each head, in units of ``2^-16``; of no use without a table.
    thresholds : int32 ndarray of shape (n_steps, n_units)
        Thresholds of each unit's sum: a step is met where the sum reaches its threshold.
    starts : uint64 ndarray of shape (n_codes, n_words(n_units))
        Each plane of the code before any step; padding bits are 0.
    changes : bool ndarray of shape (n_steps, n_codes)
        Planes that a step changes where it is met.
    out : uint64 ndarray of shape (n_rows, n_tokens, n_codes, n_words(n_units))
        Packed codes of the tokens.
    """
    n_tokens, n_units = rows.shape[1], thresholds.shape[1]
    for block in row_blocks(len(rows), n_tokens * (3 * n_units + n_heads * n_tokens)):
        bits = unpack_bits(rows[block], 3 * n_units)
        parts = np.where(bits, 1, -1).reshape(len(bits), n_tokens, 3, n_heads, -1)
        queries, keys, values = parts.transpose(2, 0, 3, 1, 4)
        counts = (queries.shape[-1] - queries @ keys.swapaxes(2, 3)) // 2
        if from_least:
            counts -= counts.min(3, keepdims=True)
        chosen = counts <= limits[:, None, None]
        if len(table):
            weights = table[counts]
            total = weights.sum(3, keepdims=True)
            chosen = weights << 16 >= shares[:, None, None] * total
        sums = (chosen.astype(np.int64) @ values).transpose(0, 2, 1, 3)
        sums, codes = sums.reshape(len(bits), n_tokens, 1, n_units), out[block]
        codes[:] = starts
        for goals, changed in zip(thresholds, changes, strict=True):
            codes[:, :, changed] ^= pack_bits(sums >= goals)
