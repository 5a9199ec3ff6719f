"""Layouts of packed units that kernels read; derived from canonical rows, and never stored."""

import math

import numpy as np

from skbnn.bits.packing import unpack_bits

__all__ = [
    "aligned",
    "comparison_layout",
    "interleave",
    "interleave_planes",
    "lanes_for",
    "unit_masks",
]

_LINE_BYTES = 64
_MANY = 256
_WIDE, _WIDE_WINDOW = 12, 32


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
        Canonical rows, one for each unit. Other numbers of 8 or 4 bytes are laid out alike.
    lanes : {16, 32}
        Units in a block.

    Returns
    -------
    units : ndarray of shape (n_blocks, n_words, lanes)
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
    n_whole, n_rest = divmod(n_units, lanes)
    units = aligned((n_whole + (n_rest > 0), width, lanes), words.dtype)
    whole, rest = np.split(words, [n_whole * lanes])
    units[:n_whole] = whole.reshape(n_whole, lanes, width).transpose(0, 2, 1)
    if n_rest:
        units[n_whole] = 0
        units[n_whole, :, :n_rest] = rest.T
    return units


def comparison_layout(words, limits, taps=None):
    """Lay out packed units for a comparison, as the kernel is fastest with, and their limits.

    Wide rows and many units are counted by pairs of words, which takes running parities; those of
    the rows are made at each call, and it takes many units to pay for them.

    Parameters
    ----------
    words : uint64 ndarray of shape (n_units, n_words)
        Canonical rows, one for each unit.
    limits : int64 ndarray of shape (..., n_units)
        The most mismatches with which the bit of a unit is 1.
    taps : tuple of two ints, default=None
        Height and width of the window whose pixels the words are, line by line; none for rows.

    Returns
    -------
    units : uint64 ndarray of shape (n_blocks, n_words, lanes)
        Interleaved words in blocks of 32 lanes; or, in blocks of 16, running parities: word w is
        the exclusive or of words 0 to w, the pixels of a window taken column by column.
    limits : int64 ndarray of shape (..., n_blocks * lanes)
        The limits, and -1 for the missing units of the last block.

    Examples
    --------
    >>> units, limits = comparison_layout(np.ones((300, 11), np.uint64), np.zeros(300, np.int64))
    >>> units.shape, len(limits)
    ((10, 11, 32), 320)
    >>> units, limits = comparison_layout(np.ones((300, 12), np.uint64), np.zeros(300, np.int64))
    >>> units.shape, len(limits)
    ((19, 12, 16), 304)
    >>> units[0, :4, 0]
    array([1, 0, 1, 0], dtype=uint64)
    """
    n_units, width = words.shape
    by_pairs = n_units >= _MANY and width >= (_WIDE_WINDOW if taps else _WIDE)
    if by_pairs and taps:
        words = words.reshape(n_units, *taps, -1).swapaxes(1, 2).reshape(n_units, width)
    units = interleave(words, 16 if by_pairs else 32)
    for word in range(1, width if by_pairs else 0):
        units[:, word] ^= units[:, word - 1]
    padded = np.full((*limits.shape[:-1], len(units) * units.shape[2]), -1, np.int64)
    padded[..., :n_units] = limits
    return units, padded


def interleave_planes(planes, lanes):
    """Lay out units of several planes, those of a block plane after plane.

    Parameters
    ----------
    planes : uint64 ndarray of shape (n_planes, n_units, n_words)
        Canonical rows, one for each unit and plane.
    lanes : {16, 32}
        Units in a block.

    Returns
    -------
    units : uint64 ndarray of shape (n_blocks * n_planes, n_words, lanes)
        ``units[n_planes * j + k]`` is block j of what :func:`interleave` makes of plane k.
    """
    n_planes, n_units, width = planes.shape
    n_blocks = -(-n_units // lanes)
    units = aligned((n_blocks, n_planes, width, lanes), np.uint64)
    for k, words in enumerate(planes):
        units[:, k] = interleave(words, lanes)
    return units.reshape(n_blocks * n_planes, width, lanes)


def aligned(shape, dtype):
    """Return an array that begins at a cache line.

    Vectors that straddle two lines load at half the speed, which a single row notices.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    dtype : dtype
        Type of its numbers.

    Returns
    -------
    array : ndarray
        C-contiguous; its content is arbitrary.
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(n_bytes + _LINE_BYTES, np.uint8)
    start = -room.ctypes.data % _LINE_BYTES
    return room[start : start + n_bytes].view(dtype).reshape(shape)


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
    >>> from skbnn.bits import pack_bits
    >>> unit_masks(pack_bits([[True, False, True], [False, False, True]]), 3)
    array([[1, 0, 3]], dtype=uint32)
    """
    n_blocks = -(-len(words) // 32)
    bits = np.zeros((n_blocks * 32, n_bits), np.bool_)
    bits[: len(words)] = unpack_bits(words, n_bits)
    columns = np.ascontiguousarray(bits.reshape(n_blocks, 32, n_bits).transpose(0, 2, 1))
    masks = np.packbits(columns, axis=-1, bitorder="little").view("<u4")
    return masks[..., 0].astype(np.uint32, copy=False)
