"""Transformers that turn features into the bits that binarized networks read."""

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from skbnn.bits import backend, unpack_bits
from skbnn.packed.encode import Thermometer, refuse_not_finite, thresholds_of

__all__ = ["ThermometerEncoder"]

_DTYPES = (np.float64, np.float32, np.uint8, np.bool_)
_ROW_BLOCK = 4096


class ThermometerEncoder(TransformerMixin, BaseEstimator):
    """Encode features as thermometer bits: one bit for each threshold, ``x >= threshold``.

    A larger value lights more of its feature's bits, as the column of a thermometer rises, so
    that the Hamming distance of two codes grows with the distance of the values. The network
    estimators encode their input by the same code, so they need no encoder before them; it is
    there for other estimators, and to look at.

    Parameters
    ----------
    n_thresholds : int, default=3
        Thresholds per feature, at most 255. A feature with fewer distinct values gets fewer, a
        constant feature none.
    strategy : {"distinct", "quantile", "uniform"}, default="distinct"
        Where thresholds lie. ``"distinct"``: at quantiles of each feature's distinct values.
        ``"quantile"``: at quantiles of all its values. ``"uniform"``: at equal steps between its
        least and greatest value.

    Attributes
    ----------
    thresholds_ : list of n_features ndarrays
        Rising thresholds of each feature, float32 (uint8 where fit saw uint8).
    counts_ : uint8 ndarray of shape (n_features,)
        Number of thresholds of each feature.
    data_min_, data_max_ : float64 ndarray of shape (n_features,)
        Least and greatest value of each feature.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had string column names.

    See Also
    --------
    sklearn.preprocessing.KBinsDiscretizer : One-hot or ordinal bins.

    Notes
    -----
    Values are rounded to float32 before they are compared. Bits are in the order of the
    features, and within a feature by rising threshold.

    Examples
    --------
    >>> import numpy as np
    >>> from skbnn import ThermometerEncoder
    >>> X = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    >>> encoder = ThermometerEncoder(n_thresholds=3).fit(X)
    >>> encoder.transform(X).astype(int)
    array([[0, 0, 0],
           [1, 0, 0],
           [1, 1, 0],
           [1, 1, 1]])
    >>> encoder.get_feature_names_out()
    array(['x0>=0.5', 'x0>=1.5', 'x0>=2.5'], dtype=object)
    """

    _parameter_constraints: dict = {
        "n_thresholds": [Interval(Integral, 1, 255, closed="both")],
        "strategy": [StrOptions({"distinct", "quantile", "uniform"})],
    }

    def __init__(self, n_thresholds=3, *, strategy="distinct"):
        self.n_thresholds = n_thresholds
        self.strategy = strategy

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Choose the thresholds.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted encoder.
        """
        X = validate_data(self, X, dtype=_DTYPES, accept_sparse="csr")
        refuse_not_finite(X.data if hasattr(X, "toarray") else X)
        operation = Thermometer(*thresholds_of(X, self.n_thresholds, self.strategy))
        features = operation.features
        # The packed order is plane by plane; users read feature by feature.
        self._order = np.argsort(features, kind="stable")
        ends = np.cumsum(operation.counts.astype(np.int64))[:-1]
        self.thresholds_ = np.split(operation.thresholds[self._order], ends)
        self.counts_ = operation.counts
        self._operation = operation
        self.data_min_, self.data_max_ = _range(X)
        return self

    def transform(self, X):
        """Encode rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        bits : uint8 ndarray of shape (n_samples, n_bits)
            Ones and zeros.
        """
        check_is_fitted(self)
        X = validate_data(
            self, X, reset=False, dtype=_DTYPES, accept_sparse="csr", ensure_all_finite=False
        )
        encode = self._operation.prepare(backend("auto"))
        n_bits = len(self._order)
        out = np.empty((X.shape[0], n_bits), np.uint8)
        for start in range(0, X.shape[0], _ROW_BLOCK):
            block = X[start : start + _ROW_BLOCK]
            block = np.ascontiguousarray(block.toarray() if hasattr(block, "toarray") else block)
            bits = unpack_bits(encode(block)[:, 0], n_bits)
            out[start : start + _ROW_BLOCK] = bits[:, self._order]
        return out

    def inverse_transform(self, X):
        """Return the centre of the bin that each code stands for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_bits)
            Ones and zeros as :meth:`transform` gives them.

        Returns
        -------
        values : float64 ndarray of shape (n_samples, n_features)
            The middle between the thresholds around the value; for the outermost bins, between
            the threshold and the least or greatest value seen in fit.
        """
        check_is_fitted(self)
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] != len(self._order):
            raise ValueError(
                f"X has shape {X.shape}, but codes of this encoder have {len(self._order)} bits."
            )
        values = np.empty((len(X), self.n_features_in_))
        start = 0
        for feature, thresholds in enumerate(self.thresholds_):
            lit = X[:, start : start + len(thresholds)].astype(bool).sum(1)
            edges = np.concatenate(
                [[self.data_min_[feature]], thresholds, [self.data_max_[feature]]]
            ).astype(np.float64)
            values[:, feature] = (0.5 * edges[:-1] + 0.5 * edges[1:])[lit]
            start += len(thresholds)
        return values

    def get_feature_names_out(self, input_features=None):
        """Return a name for each bit: the feature's, ``>=`` and the threshold.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features; None takes those of fit, or ``x0``, ``x1``, ...

        Returns
        -------
        names : ndarray of str objects of shape (n_bits,)
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        bits = [
            f"{name}>={threshold}"
            for name, thresholds in zip(names, self.thresholds_, strict=True)
            for threshold in thresholds
        ]
        return np.array(bits, dtype=object)

    @property
    def _n_features_out(self):
        return len(self._order)

    def __sklearn_tags__(self):
        """Say what the encoder accepts and gives."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _range(X):
    """Return the least and greatest value of each feature, as float64."""
    if hasattr(X, "toarray"):
        return (m.toarray().ravel().astype(np.float64) for m in (X.min(0), X.max(0)))
    return X.min(0).astype(np.float64), X.max(0).astype(np.float64)
