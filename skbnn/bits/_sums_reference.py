"""The definitions of the kernels of several planes; see :mod:`skbnn.bits.reference`."""

import numpy as np

from skbnn.bits._blocks import mismatches, row_blocks
from skbnn.bits.packing import WORD_BITS, pack_bits

__all__ = ["add_scaled", "code_products", "sum_products"]


def sum_products(rows, units, factors, base, out):
    """Sum the products of coded rows and units, all planes with all planes.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n_rows, n_planes, n_words)
        Packed planes of each row.
    units : uint64 ndarray of shape (n_blocks * n_unit_planes, n_words, lanes)
        Interleaved planes of the units, as :func:`skbnn.bits.interleave_planes` lays them out.
    factors : int32 or int64 ndarray of shape (n_blocks, n_pairs + n_ones, lanes)
        What a mismatch of each pair of planes is worth to each unit, the units' planes running
        fastest; behind them, what a one in each plane of a row is worth, unless it is nothing.
    base : ndarray of shape (n_blocks * lanes,)
        Constant part, of the same dtype, in which sums are added up; they may wrap on the way.
    out : int16, int32 or int64 ndarray of shape (n_rows, n_units)
        ``base[m] + sum_pk factors[pk, m] * mismatches(n, p, k, m) + sum_p factors[n_pairs + p, m]
        * ones(n, p)``, which fits the dtype, itself no wider than that of the factors.
    """
    n_units, n_terms = out.shape[1], factors.shape[1]
    worth = factors.transpose(1, 0, 2).reshape(n_terms, len(base))[:, :n_units]
    n_unit_planes = len(units) // len(factors)
    for block in row_blocks(len(rows), n_terms * n_units):
        sums = np.tile(base[:n_units].astype(np.int64), (len(out[block]), 1))
        planes = np.moveaxis(rows[block], 1, 0)
        pairs = [(p, units[k::n_unit_planes]) for p in planes for k in range(n_unit_planes)]
        for factor, (plane, blocks) in zip(worth[: len(pairs)], pairs, strict=True):
            sums += factor * mismatches(plane, blocks, n_units)
        for factor, plane in zip(worth[len(pairs) :], planes, strict=False):
            sums += factor * np.bitwise_count(plane).sum(1, dtype=np.int64)[:, None]
        out[block] = sums


def code_products(rows, units, factors, base, thresholds, starts, changes, out):
    """Code the sums of the products of coded rows and units.

    Parameters
    ----------
    rows, units, factors, base
        See :func:`sum_products`; lanes are 32.
    thresholds : ndarray of shape (n_steps, n_blocks * 32)
        A step is met where the sum reaches its threshold, which that of no padding does; of the
        dtype of the factors.
    starts : uint64 ndarray of shape (n_code_planes, n_words)
        Each plane before any step.
    changes : bool ndarray of shape (n_steps, n_code_planes)
        Planes that a step changes where it is met.
    out : uint64 ndarray of shape (n_rows, n_code_planes, n_words)
        Packed codes.
    """
    sums = np.empty((len(rows), len(base)), base.dtype)
    sum_products(rows, units, factors, base, sums)
    out[:] = starts
    for limits, changed in zip(thresholds, changes, strict=True):
        met = np.zeros((len(rows), 1, out.shape[2] * WORD_BITS), np.bool_)
        met[:, 0, : len(base)] = sums >= limits
        out[:, changed] ^= pack_bits(met)


def add_scaled(sums, others, factors, out):
    """Add two scaled sums in one pass.

    Parameters
    ----------
    sums : int16 or int32 ndarray of shape (n_rows, ...)
        Sums.
    others : int16 or int32 ndarray of the same shape, or of one row for all
        What is added.
    factors : ndarray of shape (2,)
        What both are multiplied by, of the dtype of `out`.
    out : int16 or int32 ndarray of the shape of `sums`
        ``sums * factors[0] + others * factors[1]``, which fits the dtype.
    """
    np.add(sums * factors[0], others * factors[1], out=out)
