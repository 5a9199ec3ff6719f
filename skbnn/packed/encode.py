"""Input operations: from the rows a user passes to bit planes, or to standardised reals.

They are the only operations that meet floats from outside, so they are also where values that
are not finite are noticed: in the same pass that packs.
"""

from dataclasses import dataclass

import numpy as np

from skbnn.bits import n_words, threshold_layout
from skbnn.packed.blocks import row_blocks
from skbnn.packed.checks import require, require_array
from skbnn.packed.distinct import distinct_values
from skbnn.packed.operation import Operation, register
from skbnn.packed.values import BitCode, Raw, Reals

__all__ = [
    "PIXEL_OFFSET",
    "PIXEL_SCALES",
    "BitPlanes",
    "Standardize",
    "Thermometer",
    "as_pixels",
    "refuse",
    "refuse_not_finite",
    "require_columns",
    "thresholds_between",
    "thresholds_of",
]

PIXEL_SCALES, PIXEL_OFFSET = tuple(1 << k for k in range(8)), 255
"""What the digits of a pixel are worth, in halves, once each is -1 or +1."""

_NOT_FINITE = {
    1: "Input X contains NaN. Fill in missing values first, for example with scikit-learn's "
    "SimpleImputer.",
    2: "Input X contains infinity or a value too large for dtype('float32'). Clip or scale it.",
}


def refuse(status):
    """Raise scikit-learn's error for a kernel's status, unless it is 0."""
    if status:
        raise ValueError(_NOT_FINITE[status])


@register("thermometer")
@dataclass(frozen=True, eq=False)
class Thermometer(Operation):
    """Thermometer bits: one bit for each threshold of each feature, ``float32(x) >= t``.

    Bits are ordered plane by plane: first the lowest threshold of every feature that has one, in
    feature order, then the second of every feature that has two, and so on. Features without
    thresholds (constant ones) cost nothing.

    Parameters
    ----------
    counts : uint8 ndarray of shape (n_features,)
        Number of thresholds of each feature.
    thresholds : uint8 or float32 ndarray of shape (n_bits,)
        Thresholds in the order of the bits; uint8 where the training data was.
    """

    counts: np.ndarray
    thresholds: np.ndarray

    def __post_init__(self):
        require_array("counts", self.counts, [np.uint8], (None,))
        n_bits = int(self.counts.sum(dtype=np.int64))
        require_array("thresholds", self.thresholds, [np.uint8, np.float32], (n_bits,))
        self.freeze_arrays()
        features = self.features
        order = np.argsort(features, kind="stable")
        thresholds = self.thresholds[order]
        rises = (thresholds[1:] > thresholds[:-1]) | (np.diff(features[order]) > 0)
        require(bool(rises.all()), "The thresholds of a feature must rise.")

    @property
    def features(self):
        """Feature of each bit, an int64 array of shape (n_bits,)."""
        counts = self.counts.astype(np.int64)
        features = np.repeat(np.arange(len(counts)), counts)
        planes = np.arange(len(features)) - np.repeat(np.cumsum(counts) - counts, counts)
        return features[np.argsort(planes, kind="stable")]

    @property
    def takes(self):
        """Raw rows."""
        return Raw(len(self.counts))

    @property
    def gives(self):
        """A sign code with one bit for each threshold."""
        return BitCode(len(self.thresholds))

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        layout = threshold_layout(self.counts, self.thresholds)
        width = n_words(len(self.thresholds))

        def run(X):
            out = np.empty((len(X), width), np.uint64)
            refuse(kernels.encode_thresholds(X, *layout, out))
            return out[:, None]

        return run


@register("bit-planes")
@dataclass(frozen=True, eq=False)
class BitPlanes(Operation):
    """The eight binary digits of uint8 features, each digit a plane.

    With digits in {-1, +1} and doubled units, a pixel is worth ``255 + sum_k 2^k b_k``: twice its
    value.

    Parameters
    ----------
    columns : int32 ndarray of shape (n_used,)
        Features in use, in rising order.
    n_features : int
        Width of the rows read.
    """

    columns: np.ndarray
    n_features: int

    def __post_init__(self):
        require_columns(self.columns, self.n_features)
        self.freeze_arrays()

    @property
    def features(self):
        """Feature of each element, an int64 array of shape (n_used,)."""
        return self.columns.astype(np.int64)

    @property
    def takes(self):
        """Raw rows."""
        return Raw(self.n_features)

    @property
    def gives(self):
        """Eight planes and an offset."""
        return BitCode(len(self.columns), PIXEL_SCALES, PIXEL_OFFSET)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        columns, width = self.columns, n_words(len(self.columns))

        def run(X):
            out = np.empty((len(X), 8, width), np.uint64)
            kernels.encode_planes(as_pixels(X), columns, out)
            return out

        return run


def require_columns(columns, n_features):
    """Check the columns that an input operation reads."""
    require_array("columns", columns, [np.int32], (None,))
    require(n_features >= 1, "There must be at least one feature.")
    inside = (columns >= 0) & (columns < n_features)
    rising = np.diff(columns) > 0
    require(bool(inside.all() and rising.all()), "Columns must rise within the features.")


def as_pixels(X):
    """Return rows as uint8, refusing values that are no whole numbers in 0..255."""
    if X.dtype == np.uint8:
        return X
    refuse_not_finite(X)
    with np.errstate(invalid="ignore"):
        pixels = X.astype(np.uint8)
    if not (pixels == X).all():
        raise ValueError(
            "encoding='planes' reads 8-bit numbers: X must hold whole numbers from 0 to 255. "
            "Scale X to them, the same way in fit and in predict, or fit with "
            "encoding='thermometer'."
        )
    return pixels


def refuse_not_finite(X):
    """Raise scikit-learn's error if a block holds NaN, or a value that is infinite as float32."""
    if X.dtype.kind == "f":
        with np.errstate(over="ignore"):
            largest = np.float32(np.abs(X).max(initial=0.0))
        if not np.isfinite(largest):
            refuse(1 if np.isnan(largest) else 2)


@register("standardize")
@dataclass(frozen=True, eq=False)
class Standardize(Operation):
    """Standardised features: ``(x - mean) * scale``, constant features left out.

    Parameters
    ----------
    columns : int32 ndarray of shape (n_used,)
        Features in use, in rising order.
    means, scales : float32 ndarray of shape (n_used,)
        Mean and reciprocal standard deviation of each.
    n_features : int
        Width of the rows read.
    """

    columns: np.ndarray
    means: np.ndarray
    scales: np.ndarray
    n_features: int

    def __post_init__(self):
        require_columns(self.columns, self.n_features)
        for name in ("means", "scales"):
            require_array(name, getattr(self, name), [np.float32], (len(self.columns),))
        self.freeze_arrays()

    @property
    def features(self):
        """Feature of each number of the result, an int64 array of shape (n_used,)."""
        return self.columns.astype(np.int64)

    @property
    def takes(self):
        """Raw rows."""
        return Raw(self.n_features)

    @property
    def gives(self):
        """Standardised rows."""
        return Reals(len(self.columns))

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        means, scales = self.means.astype(real), self.scales.astype(real)

        def run(X):
            refuse_not_finite(X)
            return (X[:, self.columns].astype(real, copy=False) - means) * scales

        return run


def thresholds_of(X, n_thresholds, strategy="distinct"):
    """Choose the thresholds of a thermometer code from data.

    Parameters
    ----------
    X : ndarray or sparse array of shape (n_samples, n_features)
        Rows of dtype float64, float32, uint8 or bool; float64 is rounded to float32 first.
    n_thresholds : int
        Thresholds per feature, 1 to 255. A feature with fewer distinct values gets fewer.
    strategy : {"distinct", "quantile", "uniform"}, default="distinct"
        ``"distinct"``: quantiles of each feature's distinct values, near equal steps on pixels,
        robust on tables, untouched by repeated rows; of features with more than 16,384 distinct
        values a sample of so many counts; it takes one pass over the rows. ``"quantile"``:
        quantiles of all values. ``"uniform"``: equal steps from the least to the greatest value.

    Returns
    -------
    counts : uint8 ndarray of shape (n_features,)
    thresholds : uint8 or float32 ndarray of shape (n_bits,)
        As :class:`Thermometer` stores them.

    Raises
    ------
    ValueError
        If X holds NaN, or values that are infinite as float32.
    """
    dtype = np.uint8 if X.dtype in (np.uint8, np.bool_) else np.float32
    gather, cut = _STRATEGIES[strategy]
    return thresholds_between(gather(X, dtype), n_thresholds, dtype, cut)


def thresholds_between(columns, n_thresholds, dtype, cut=None):
    """Choose the thresholds of a thermometer code from the values of its features.

    Parameters
    ----------
    columns : iterable of ndarray
        The values of each feature: the distinct ones, unless ``cut`` needs others.
    n_thresholds : int
        Thresholds per feature.
    dtype : {numpy.uint8, numpy.float32}
        Type of the thresholds.
    cut : callable, default=None
        Maps a feature's values and shares in (0, 1) to its thresholds; quantiles of the distinct
        values by default.

    Returns
    -------
    counts, thresholds : ndarray
        See :func:`thresholds_of`.
    """
    cut, shares = cut or _distinct_cuts, np.arange(1, n_thresholds + 1) / (n_thresholds + 1)
    # Adding 0 makes -0.0 and 0.0 the same threshold, whatever the order of the rows.
    found = [cut(column, shares) + 0.0 for column in columns]
    planes = np.full((n_thresholds, len(found)), np.nan)
    for feature, cuts in enumerate(found):
        planes[: len(cuts), feature] = cuts
    counts = np.array([len(cuts) for cuts in found], np.uint8)
    return counts, planes[~np.isnan(planes)].astype(dtype)


def _distinct_columns(X, dtype):
    """Return the distinct values of each column, in one pass over the rows."""
    X = X.tocsr() if hasattr(X, "tocsr") else X

    def blocks():
        for _, block in row_blocks(X):
            refuse_not_finite(block)
            yield block.astype(dtype, copy=False)

    return distinct_values(blocks(), X.shape[1], dtype)


def _columns(X, dtype):
    """Yield whole columns of a dense or sparse matrix, contiguous, dense and finite."""
    X = X.tocsc() if hasattr(X, "tocsc") else X
    # Some columns at a time: a column alone would read the whole of a dense X each.
    for start in range(0, X.shape[1], 64):
        columns = X[:, start : start + 64]
        columns = columns.toarray() if hasattr(columns, "toarray") else columns
        with np.errstate(over="ignore"):
            columns = np.ascontiguousarray(columns.T, dtype)
        refuse_not_finite(columns)
        yield from columns


def _distinct(column):
    """Return the sorted distinct values of a column (a table look-up for uint8)."""
    if column.dtype == np.uint8:
        return np.flatnonzero(np.bincount(column, minlength=256)).astype(np.float64)
    return np.unique(column).astype(np.float64)


def _part(distinct, upper, dtype):
    """Return thresholds that part ``distinct[upper - 1]`` from ``distinct[upper]``.

    The middle of two neighbours, or the upper one where rounding would reach the lower.
    """
    if len(distinct) < 2:
        return np.empty(0)
    upper = np.unique(np.clip(upper, 1, len(distinct) - 1))
    below, above = distinct[upper - 1], distinct[upper]
    middle = (below + above) / 2
    middle = np.ceil(middle) if dtype == np.uint8 else middle.astype(dtype).astype(np.float64)
    return np.where(middle > below, middle, above)


def _distinct_cuts(distinct, shares):
    distinct, dtype = distinct.astype(np.float64), distinct.dtype
    return _part(distinct, np.round(shares * len(distinct)).astype(int), dtype)


def _quantile_cuts(column, shares):
    distinct = _distinct(column)
    goals = np.quantile(column.astype(np.float64), shares)
    return _part(distinct, np.searchsorted(distinct, goals, side="right"), column.dtype)


def _uniform_cuts(column, shares):
    low, high = float(column.min()), float(column.max())
    if low == high:
        return np.empty(0)
    goals = low + shares * (high - low)
    if column.dtype == np.uint8:
        return np.unique(np.ceil(goals))
    # Rounding must not reach the least value: the threshold would part nothing from it.
    above_low = np.nextafter(column.min(), column.max())
    return np.unique(np.maximum(goals.astype(column.dtype), above_low)).astype(np.float64)


_STRATEGIES = {
    "distinct": (_distinct_columns, _distinct_cuts),
    "quantile": (_columns, _quantile_cuts),
    "uniform": (_columns, _uniform_cuts),
}
