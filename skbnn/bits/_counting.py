"""Kernels that count ones: plain loops that LLVM turns into vectors.

Intrinsics and their kernels share this file because a cached kernel is renewed only when the file
that defines it changes.
"""

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from skbnn.bits.packing import WORD_BITS

__all__ = ["count_columns", "count_ones", "popcount"]


@intrinsic
def popcount(typing, word):
    """Count the ones of a word."""

    def emit(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), emit


@njit(cache=True, nogil=True)
def count_ones(rows, out):
    """Count the ones of each row."""
    for n in range(len(rows)):
        total = np.uint64(0)
        for word in range(rows.shape[1]):
            total += popcount(rows[n, word])
        out[n] = total


@njit(cache=True, nogil=True)
def count_columns(rows, order, starts, out):
    """Count the ones of each bit position in clusters of rows.

    Counters are bit-sliced: word ``sums[p, w]`` holds bit p of the counts of 64 positions. A level
    p adds two words of weight ``2 ** p`` to its sums by one full adder and hands the carry up, so
    every second carry of a level waits for the next: a row costs one full adder on average,
    however many levels there are, and nothing overflows.
    """
    width = rows.shape[1]
    n_levels = 1
    while len(order) >> n_levels:
        n_levels += 1
    sums = np.empty((n_levels, width), np.uint64)
    waiting = np.empty((n_levels, width), np.uint64)
    carry = np.empty(width, np.uint64)
    for k in range(len(out)):
        size = starts[k + 1] - starts[k]
        sums[:] = 0
        for member in range(size):
            row = order[starts[k] + member]
            for word in range(width):
                carry[word] = rows[row, word]
            level = 0
            while (member >> level) & 1:
                for word in range(width):
                    a, b, c = sums[level, word], waiting[level, word], carry[word]
                    half = a ^ b
                    sums[level, word] = half ^ c
                    carry[word] = (a & b) | (half & c)
                level += 1
            for word in range(width):
                waiting[level, word] = carry[word]
        out[k] = 0
        for level in range(n_levels):
            if (size >> level) == 0:
                break
            for word in range(width):
                ones = sums[level, word]
                rest = waiting[level, word] if (size >> level) & 1 else np.uint64(0)
                for bit in range(WORD_BITS):
                    place = np.uint64(bit)
                    count = ((ones >> place) & np.uint64(1)) + ((rest >> place) & np.uint64(1))
                    out[k, word * WORD_BITS + bit] += count << np.uint64(level)
