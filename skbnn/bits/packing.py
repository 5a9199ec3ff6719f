"""What a bit means, and how bits lie in words.

Everything that is packed anywhere in the package follows one contract:

* A bit of 1 means +1, a bit of 0 means -1. The sign of zero is +1.
* Bit ``i`` of a row is bit ``i % 64`` of word ``i // 64``. Words are ``uint64`` and the last axis
  is the packed one.
* Padding bits, those of the last word that stand for nothing, are 0 in *both* operands of a
  product, where they cancel. The true ``n_bits`` therefore always travels with the words.
* Then ``dot(a, w) = n_bits - 2 * popcount(a ^ w)``: a product counts mismatches.

The kernels read two layouts that are derived from these canonical rows when a program is prepared
and are never stored: units interleaved for vectors (:func:`interleave`), and the thresholds of the
input encoding gathered by windows of 64 features (:func:`threshold_layout`).
"""

import math
from typing import NamedTuple

import numpy as np

__all__ = [
    "WORD_BITS",
    "ThresholdLayout",
    "aligned_words",
    "complement",
    "interleave",
    "lanes_for",
    "n_words",
    "open_layout",
    "pack_bits",
    "sign_bits",
    "signs",
    "tail_mask",
    "threshold_layout",
    "unit_masks",
    "unpack_bits",
]

WORD_BITS = 64
_ONE = np.uint64(1)
_LINE_WORDS = 8


def n_words(n_bits):
    """Return the number of words that hold a row of bits.

    Parameters
    ----------
    n_bits : int
        Bits in a row.

    Returns
    -------
    n_words : int

    Examples
    --------
    >>> n_words(784)
    13
    """
    return -(-n_bits // WORD_BITS)


def sign_bits(x):
    """Return the sign of numbers as bits: whether ``x >= 0``.

    Parameters
    ----------
    x : array-like of numbers

    Returns
    -------
    bits : bool ndarray of the same shape
    """
    return np.asarray(x) >= 0


def signs(bits):
    """Return bits as numbers: -1 and +1.

    Parameters
    ----------
    bits : bool ndarray
        True is +1.

    Returns
    -------
    signs : int8 ndarray of the same shape

    Examples
    --------
    >>> signs(np.array([True, False]))
    array([ 1, -1], dtype=int8)
    """
    ones = bits.view(np.int8)
    doubled = ones + ones
    doubled -= 1
    return doubled


def pack_bits(bits):
    """Pack the last axis of an array of bits into words.

    Parameters
    ----------
    bits : bool array-like of shape (..., n_bits)
        True is +1.

    Returns
    -------
    words : uint64 ndarray of shape (..., n_words(n_bits))
        C-contiguous; padding bits are 0.

    Examples
    --------
    >>> pack_bits([True, False, True])
    array([5], dtype=uint64)
    """
    bits = np.asarray(bits, np.bool_)
    packed = np.packbits(bits, axis=-1, bitorder="little")
    octets = np.zeros((*bits.shape[:-1], 8 * n_words(bits.shape[-1])), np.uint8)
    octets[..., : packed.shape[-1]] = packed
    return octets.view("<u8").astype(np.uint64, copy=False)


def unpack_bits(words, n_bits):
    """Unpack words into an array of bits, the inverse of :func:`pack_bits`.

    Parameters
    ----------
    words : uint64 ndarray of shape (..., n_words(n_bits))
        Packed rows.
    n_bits : int
        Bits in a row.

    Returns
    -------
    bits : bool ndarray of shape (..., n_bits)
    """
    octets = np.ascontiguousarray(words, "<u8").view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=n_bits, bitorder="little").view(np.bool_)


def tail_mask(n_bits):
    """Return the words of a row whose bits are all 1: the mask of the valid bits.

    Parameters
    ----------
    n_bits : int
        Bits in a row.

    Returns
    -------
    mask : uint64 ndarray of shape (n_words(n_bits),)
    """
    return pack_bits(np.ones(n_bits, np.bool_))


def complement(words, n_bits):
    """Negate packed rows; padding bits stay 0.

    Parameters
    ----------
    words : uint64 ndarray of shape (..., n_words(n_bits))
        Packed rows.
    n_bits : int
        Bits in a row.

    Returns
    -------
    negated : uint64 ndarray of the same shape
    """
    return words ^ tail_mask(n_bits)


def lanes_for(n_units):
    """Return how many units the kernels should treat side by side.

    Parameters
    ----------
    n_units : int
        Units of a layer.

    Returns
    -------
    lanes : {16, 32}
        16 (two vectors of eight words) for the few units of an output layer, else 32.
    """
    return 16 if n_units <= 16 else 32


def interleave(words, lanes):
    """Lay out packed units so that the same word of several units fills whole vectors.

    Parameters
    ----------
    words : uint64 ndarray of shape (n_units, n_words)
        Canonical rows, one for each unit.
    lanes : {16, 32}
        Units in a block.

    Returns
    -------
    units : uint64 ndarray of shape (n_blocks, n_words, lanes)
        ``units[j, w, l] = words[j * lanes + l, w]``, C-contiguous and aligned to cache lines; the
        missing units of the last block are 0.

    Examples
    --------
    >>> words = np.arange(40, dtype=np.uint64).reshape(20, 2)
    >>> units = interleave(words, 16)
    >>> units.shape
    (2, 2, 16)
    >>> units[1, 0, :5]
    array([32, 34, 36, 38,  0], dtype=uint64)
    """
    n_units, width = words.shape
    n_blocks = -(-n_units // lanes)
    padded = np.zeros((n_blocks * lanes, width), np.uint64)
    padded[:n_units] = words
    units = aligned_words((n_blocks, width, lanes))
    units[:] = padded.reshape(n_blocks, lanes, width).transpose(0, 2, 1)
    return units


def aligned_words(shape):
    """Return an array of words that begins at a cache line.

    Vectors that straddle two lines load at half the speed, which a single row notices.

    Parameters
    ----------
    shape : tuple of int
        Its shape.

    Returns
    -------
    words : uint64 ndarray
        C-contiguous; its content is arbitrary.
    """
    n_words = math.prod(shape)
    room = np.empty(n_words + _LINE_WORDS, np.uint64)
    start = -(room.ctypes.data // room.itemsize) % _LINE_WORDS
    return room[start : start + n_words].reshape(shape)


def unit_masks(words, n_bits):
    """Lay out packed units so that the bits of 32 units for one input are one number.

    Parameters
    ----------
    words : uint64 ndarray of shape (n_units, n_words(n_bits))
        Canonical rows, one for each unit.
    n_bits : int
        Inputs of each unit.

    Returns
    -------
    masks : uint32 ndarray of shape (n_blocks, n_bits)
        Bit ``l`` of ``masks[j, i]`` is bit i of unit ``32 j + l``; the missing units of the last
        block are 0.

    Examples
    --------
    >>> unit_masks(pack_bits([[True, False, True], [False, False, True]]), 3)
    array([[1, 0, 3]], dtype=uint32)
    """
    n_blocks = -(-len(words) // 32)
    bits = np.zeros((n_blocks * 32, n_bits), np.bool_)
    bits[: len(words)] = unpack_bits(words, n_bits)
    columns = np.ascontiguousarray(bits.reshape(n_blocks, 32, n_bits).transpose(0, 2, 1))
    masks = np.packbits(columns, axis=-1, bitorder="little").view("<u4")
    return masks[..., 0].astype(np.uint32, copy=False)


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
    last = max(0, len(counts) - WORD_BITS)
    entries, start = [], 0
    for plane in range(int(counts.max(initial=0))):
        features = np.flatnonzero(counts > plane)
        while len(features):
            first = min(int(features[0]), last)
            inside = np.searchsorted(features, first + WORD_BITS)
            entries.append((first, start, features[:inside] - first))
            features, start = features[inside:], start + inside
    # Neighbouring entries read neighbouring features.
    entries.sort(key=lambda entry: entry[0])
    table = np.zeros((len(entries), WORD_BITS), thresholds.dtype)
    used = np.zeros(table.shape, np.bool_)
    for entry, (_, start, lanes) in enumerate(entries):
        table[entry, lanes] = thresholds[start : start + len(lanes)]
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
