"""What the definitions of kernels share: bounded blocks of rows, and counts of differing bits."""

import numpy as np

__all__ = ["mismatches", "plain_units", "row_blocks"]

_BLOCK_ELEMENTS = 1 << 18


def row_blocks(n_rows, row_elements):
    """Yield slices of rows that hold a bounded number of elements."""
    size = max(1, _BLOCK_ELEMENTS // max(1, row_elements))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def mismatches(rows, units, n_units):
    """Return the mismatches of every row and unit, int32 of shape (n_rows, n_units)."""
    counts = np.zeros((len(rows), n_units), np.int32)
    for word in range(units.shape[1]):
        lane = units[:, word].reshape(-1)[:n_units]
        counts += np.bitwise_count(rows[:, word, None] ^ lane)
    return counts


def plain_units(units, taps=(1, 1)):
    """Return interleaved words for what :func:`~skbnn.bits.comparison_layout` has made of them."""
    if units.shape[2] == 32:
        return units
    words = np.concatenate([units[:, :1], units[:, 1:] ^ units[:, :-1]], axis=1)
    by_columns = words.reshape(len(units), *taps[::-1], -1, units.shape[2])
    return by_columns.swapaxes(1, 2).reshape(units.shape)
