"""What a bit means, and how bits lie in words.

Everything that is packed anywhere in the package follows one contract:

* A bit of 1 means +1, a bit of 0 means -1. The sign of zero is +1.
* Bit ``i`` of a row is bit ``i % 64`` of word ``i // 64``. Words are ``uint64`` and the last axis
  is the packed one.
* Padding bits, those of the last word that stand for nothing, are 0 in *both* operands of a
  product, where they cancel. The true ``n_bits`` therefore always travels with the words.
* Then ``dot(a, w) = n_bits - 2 * popcount(a ^ w)``: a product counts mismatches.

Kernels read layouts that are derived from these canonical rows when a program is prepared and are
never stored: units interleaved for vectors (:mod:`skbnn.bits.layouts`), and the thresholds of the
input encoding gathered by windows of 64 features (:mod:`skbnn.bits.thresholds`).
"""

import numpy as np

__all__ = [
    "WORD_BITS",
    "complement",
    "n_words",
    "pack_bits",
    "sign_bits",
    "signs",
    "tail_mask",
    "unpack_bits",
]

WORD_BITS = 64


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
