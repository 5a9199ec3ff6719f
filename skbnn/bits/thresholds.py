"""Thresholds of the input encoding, gathered as its kernel reads them.

The kernel compares windows of 64 neighbouring features with 64 thresholds at a time. What is made
here says which windows, which thresholds, and where the bits go.
"""

from typing import NamedTuple

import numpy as np

from skbnn.bits.packing import WORD_BITS, pack_bits, unpack_bits

__all__ = ["ThresholdLayout", "open_layout", "threshold_layout", "token_layout"]

_ONE = np.uint64(1)


class ThresholdLayout(NamedTuple):
    """The thresholds of an input encoding, gathered by windows of 64 neighbouring features.

    An entry is one plane of one window of features. Comparing the window's values with the entry's
    thresholds gives one word; the bits of the features that have no such threshold are dropped
    from it, the others close up, and the result lands at its place in the encoded row. In an open
    layout nothing closes up: each entry is a word of the row, with zeros where bits were dropped.

    Attributes
    ----------
    table : uint8 or float32 ndarray of shape (n_entries, 64)
        Thresholds; 0 where a feature has none.
    firsts : int64 ndarray of shape (n_entries,)
        First feature of each entry's window. Windows do not reach beyond the last feature, unless
        there are fewer than 64.
    starts : int64 ndarray of shape (n_entries,)
        Bit of the encoded row that the entry's first bit becomes.
    masks : uint64 ndarray of shape (n_entries, 7), or (n_entries, 1) if open
        Bits that are kept; then, for each step ``s`` of six, the bits that move down by
        ``2 ** s`` places so that the kept ones close up.

    References
    ----------
    .. [1] Henry S. Warren, "Hacker's Delight", second edition, section 7-4 (compress), 2012.
    """

    table: np.ndarray
    firsts: np.ndarray
    starts: np.ndarray
    masks: np.ndarray


def threshold_layout(counts, thresholds):
    """Derive the layout that the input encoding reads.

    Parameters
    ----------
    counts : uint8 ndarray of shape (n_features,)
        Number of thresholds of each feature, 0 for one that is not encoded.
    thresholds : uint8 or float32 ndarray of shape (n_bits,)
        The first threshold of every feature that has one, in feature order, then the second of
        every feature that has two, and so on.

    Returns
    -------
    layout : ThresholdLayout
    """
    planes = _planes(counts, thresholds)
    return _layout(len(counts), thresholds.dtype, planes, [(0, len(counts), 0)])


def token_layout(counts, thresholds, owners, n_words):
    """Derive the layout of rows whose bits are shared out to tokens, features side by side.

    Parameters
    ----------
    counts, thresholds : ndarray
        As of :func:`threshold_layout`.
    owners : int ndarray of shape (n_features,)
        Token of each feature; of those that are not encoded, any number above all tokens.
    n_words : int
        Words of a token; its bits are in the order that they would have without tokens.

    Returns
    -------
    order : int64 ndarray of shape (n_features,)
        Features in the order in which the layout reads them, token after token.
    layout : ThresholdLayout
        Of rows of as many words as all tokens have.
    """
    order = np.argsort(owners, kind="stable")
    tokens, begins = np.unique(owners[order], return_index=True)
    ends = [*begins[1:], len(order)]
    parts = [
        (begin, end, token * n_words * WORD_BITS)
        for token, begin, end in zip(tokens.tolist(), begins, ends, strict=True)
    ]
    places = np.argsort(order)
    planes = []
    for features, limits in _planes(counts, thresholds):
        rising = np.argsort(places[features])
        planes.append((places[features][rising], limits[rising]))
    return order, _layout(len(counts), thresholds.dtype, planes, parts)


def _planes(counts, thresholds):
    """Return for each plane the features that have a threshold in it, and those thresholds."""
    planes, start = [], 0
    for plane in range(int(counts.max(initial=0))):
        features = np.flatnonzero(counts > plane)
        planes.append((features, thresholds[start : start + len(features)]))
        start += len(features)
    return planes


def _layout(n_features, dtype, planes, parts):
    """Return the layout of some ranges of features, each with the bit at which its own begin."""
    last = max(0, n_features - WORD_BITS)
    entries = []
    for begin, end, start in parts:
        for features, limits in planes:
            i, stop = np.searchsorted(features, [begin, end])
            while i < stop:
                first = min(int(features[i]), last)
                j = min(stop, np.searchsorted(features, first + WORD_BITS))
                entries.append((first, start, features[i:j] - first, limits[i:j]))
                start += j - i
                i = j
    # Neighbouring entries read neighbouring features.
    entries.sort(key=lambda entry: entry[0])
    table = np.zeros((len(entries), WORD_BITS), dtype)
    used = np.zeros(table.shape, np.bool_)
    for entry, (_, _, lanes, limits) in enumerate(entries):
        table[entry, lanes] = limits
        used[entry, lanes] = True
    firsts, starts = (np.array([entry[k] for entry in entries], np.int64) for k in (0, 1))
    return ThresholdLayout(table, firsts, starts, _compress_masks(pack_bits(used)[:, 0]))


def open_layout(layout):
    """Return the layout of the same entries, each a word of the row, and where bits then are.

    Parameters
    ----------
    layout : ThresholdLayout
        A layout that closes up.

    Returns
    -------
    layout : ThresholdLayout
    places : int64 ndarray of shape (n_bits,)
        Place in the open row of each bit of the closed one.

    Examples
    --------
    >>> layout = threshold_layout(np.array([1, 0, 2], np.uint8), np.array([3, 5, 7], np.uint8))
    >>> open_layout(layout)[1]
    array([ 0,  2, 66])
    """
    table, firsts, starts, masks = layout
    entries, lanes = np.nonzero(unpack_bits(masks[:, :1], WORD_BITS))
    ranks = np.arange(len(entries)) - np.searchsorted(entries, entries)
    places = np.empty(len(entries), np.int64)
    places[starts[entries] + ranks] = entries * WORD_BITS + lanes
    words = WORD_BITS * np.arange(len(firsts))
    return ThresholdLayout(table, firsts, words, np.ascontiguousarray(masks[:, :1])), places


def _compress_masks(keep):
    """Return, for each word of bits to keep, that word and the six moves that close it up."""
    masks = np.empty((len(keep), 7), np.uint64)
    masks[:, 0] = keep
    dropped_below = ~keep << _ONE
    for step in range(6):
        parity = dropped_below
        for shift in range(6):
            parity = parity ^ (parity << np.uint64(1 << shift))
        moves = parity & keep
        keep = (keep ^ moves) | (moves >> np.uint64(1 << step))
        dropped_below = dropped_below & ~parity
        masks[:, step + 1] = moves
    return masks
