"""K-means as a classifier, on bits or on reals."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.cluster import KMeans
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from skbnn.bits import backend, interleave, lanes_for, n_words, pack_bits, unpack_bits
from skbnn.estimators._validation import PackedPredictions, take_over, training_set
from skbnn.packed import (
    BitMatrix,
    NearestCentroid,
    NearestCodeword,
    PackedModel,
    Thermometer,
)
from skbnn.packed.blocks import row_blocks, run_blocks
from skbnn.packed.encode import refuse_not_finite, thresholds_of
from skbnn.packed.rows import merge_rows

__all__ = ["KMeansClassifier"]

_ROW_BLOCK = 4096


class KMeansClassifier(
    PackedPredictions,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClassifierMixin,
    BaseEstimator,
):
    """K-means as a classifier: a row gets the majority class of its nearest cluster.

    On bits (``technique="binary"``) rows are thermometer codes, distances are Hamming distances
    and a centroid is the majority vote of its rows, bit by bit; fit and predict both run on
    packed words.

    Parameters
    ----------
    n_clusters : int, default=10
        Number of clusters; fewer where there are fewer distinct rows.
    technique : {"binary", "float"}, default="binary"
        K-means on bits, or scikit-learn's on real features.
    n_thresholds : int, default=5
        Input bits per feature for ``"binary"``, at quantiles of its distinct values.
    n_init : int, default=1
        Runs from different seeds; the one of least inertia is kept.
    max_iter : int, default=300
        Iterations of a run at most.
    tol : float, default=1e-4
        Relative movement of the centres below which ``"float"`` stops; ``"binary"`` stops when
        no row changes its cluster.
    random_state : int, RandomState instance or None, default=None
        Source of the seeding.
    n_jobs : int, default=None
        Threads that share the rows in predictions; -1 for one on each core.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    packed_ : PackedModel
        The fitted model: codewords (or centroids) and the class of each.
    cluster_centers_ : ndarray of shape (n_clusters, n_bits) or (n_clusters, n_features)
        Codewords as bool, or float32 centroids.
    cluster_classes_ : ndarray of shape (n_clusters,)
        Majority class of each cluster; of equal ones, the first in ``classes_``.
    labels_ : ndarray of shape (n_samples,)
        Cluster of each training row (of those with positive weight).
    inertia_ : float
        Weighted sum of the rows' distances (squared for ``"float"``) from their centres.
    n_iter_ : int
        Iterations of the best run.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had string column names.

    See Also
    --------
    sklearn.cluster.KMeans : K-means on reals.

    References
    ----------
    .. [1] Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
       Hamming distance is a quarter of the squared Euclidean distance between +-1 codes, so the
       seeding carries over as it is.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skbnn import KMeansClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = KMeansClassifier(n_clusters=30, random_state=0).fit(X, y)
    >>> bool(clf.score(X, y) > 0.8)
    True
    >>> clf.transform(X[:2]).shape
    (2, 30)
    """

    _parameter_constraints: dict = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "technique": [StrOptions({"binary", "float"})],
        "n_thresholds": [Interval(Integral, 1, 255, closed="both")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        n_clusters=10,
        *,
        technique="binary",
        n_thresholds=5,
        n_init=1,
        max_iter=300,
        tol=1e-4,
        random_state=None,
        n_jobs=None,
    ):
        self.n_clusters = n_clusters
        self.technique = technique
        self.n_thresholds = n_thresholds
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Cluster the rows and give each cluster its majority class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Class labels; they do not influence the clusters.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, not negative; a row of weight 2 counts as two rows, exactly.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, y, weight, features = training_set(self, X, y, sample_weight, reset=True)
        classes, codes = np.unique(y, return_inverse=True)
        random_state = check_random_state(self.random_state)
        cluster = _cluster_bits if self.technique == "binary" else _cluster_reals
        found = cluster(self, X, weight, random_state)

        n_clusters = len(found["centers"])
        votes = np.zeros((n_clusters, len(classes)))
        np.add.at(votes, (found["labels"], codes), weight)
        owners = votes.argmax(1).astype(np.int32)
        fitted = {
            **features,
            "classes_": classes,
            "cluster_centers_": found["centers"],
            "cluster_classes_": classes[owners],
            "labels_": found["labels"],
            "inertia_": found["inertia"],
            "n_iter_": found["n_iter"],
            "packed_": PackedModel(found["operations"](owners, len(classes)), classes),
            "_n_features_out": n_clusters,
        }
        take_over(self, fitted)
        return self

    def transform(self, X):
        """Return the distance of each row from every centre.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        distances : float64 ndarray of shape (n_samples, n_clusters)
            Hamming distances, or Euclidean ones for ``technique="float"``.
        """
        X = self._validated(X)
        kernels = backend("auto")
        *encode, nearest = self.packed_.operations
        steps = [operation.prepare(kernels) for operation in encode]
        steps.append(nearest.prepare_distances(kernels))

        def distances(rows):
            for step in steps:
                rows = step(rows)
            return rows.astype(np.float64, copy=False)

        return run_blocks(distances, X, n_jobs=self.n_jobs)

    def decision_function(self, X):
        """Return minus the distance of each row from the nearest centre of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        decision : float64 ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            A class without a centre is farther than all others. For two classes, by how much the
            second is nearer.
        """
        X = self._validated(X)
        return self.packed_.decision_function(X, n_jobs=self.n_jobs)


def _cluster_reals(estimator, X, weight, random_state):
    """Cluster real rows by scikit-learn's K-means."""
    values = np.empty(X.shape, np.float32)
    for start, block in row_blocks(X):
        refuse_not_finite(block)
        values[start : start + len(block)] = block
    values += np.float32(0)
    index, weight, inverse = merge_rows(values, weight)
    kmeans = KMeans(
        min(estimator.n_clusters, len(index)),
        n_init=estimator.n_init,
        max_iter=estimator.max_iter,
        tol=estimator.tol,
        random_state=random_state,
    ).fit(values[index], sample_weight=weight)
    return {
        "centers": kmeans.cluster_centers_,
        "labels": kmeans.labels_[inverse],
        "inertia": kmeans.inertia_,
        "n_iter": kmeans.n_iter_,
        "operations": lambda owners, n_classes: (
            NearestCentroid(kmeans.cluster_centers_.astype(np.float32), owners, n_classes),
        ),
    }


def _cluster_bits(estimator, X, weight, random_state):
    """Cluster rows of thermometer bits by Hamming distance."""
    encoding = Thermometer(*thresholds_of(X, estimator.n_thresholds))
    encode = encoding.prepare(backend("auto"))
    words = np.empty((X.shape[0], n_words(encoding.gives.n_bits)), np.uint64)
    for start, block in row_blocks(X):
        words[start : start + len(block)] = encode(block)[:, 0]
    index, weight, inverse = merge_rows(words, weight)
    n_clusters = min(estimator.n_clusters, len(index))
    problem = _BitKMeans(words[index], encoding.gives.n_bits, weight)
    runs = [
        problem.run(n_clusters, estimator.max_iter, random_state) for _ in range(estimator.n_init)
    ]
    best = min(runs, key=lambda run: run["inertia"])
    codewords = BitMatrix(best["codewords"][None], encoding.gives.n_bits)
    return {
        "centers": unpack_bits(best["codewords"], encoding.gives.n_bits),
        "labels": best["labels"][inverse],
        "inertia": best["inertia"],
        "n_iter": best["n_iter"],
        "operations": lambda owners, n_classes: (
            encoding,
            NearestCodeword(codewords, owners, n_classes),
        ),
    }


class _BitKMeans:
    """Lloyd's iteration on packed bits.

    Parameters
    ----------
    words : uint64 ndarray of shape (n_rows, n_words)
        Distinct rows.
    n_bits : int
        Bits of a row.
    weight : float64 ndarray of shape (n_rows,)
        Weights.
    """

    def __init__(self, words, n_bits, weight):
        self.words = words
        self.n_bits = n_bits
        self.weight = weight
        self.kernels = backend("auto")
        # Small whole weights are rows listed several times; others need float votes.
        whole = np.rint(weight)
        self.repeats = whole.astype(np.int64)
        self.votes_in_bits = bool((whole == weight).all()) and whole.sum() <= 4 * len(weight)

    def run(self, n_clusters, max_iter, random_state):
        """Seed, then assign and vote in turn until no row changes its cluster."""
        codewords = self._seed(n_clusters, random_state)
        labels, distances = self._assign(codewords)
        n_iter, before = 0, None
        while n_iter < max_iter and not np.array_equal(labels, before):
            before = labels
            codewords = self._vote(labels, distances, n_clusters)
            labels, distances = self._assign(codewords)
            n_iter += 1
        inertia = float(self.weight @ distances)
        return {"codewords": codewords, "labels": labels, "inertia": inertia, "n_iter": n_iter}

    def _distances(self, codewords):
        """Return Hamming distances of all rows from a few codewords."""
        out = np.empty((len(self.words), len(codewords)), np.int32)
        units = interleave(codewords, lanes_for(len(codewords)))
        self.kernels.count_mismatches(self.words, units, out)
        return out

    def _assign(self, codewords):
        """Return the nearest codeword of each row and its distance."""
        index = np.empty(len(self.words), np.int32)
        distance = np.empty(len(self.words), np.int32)
        units = interleave(codewords, lanes_for(len(codewords)))
        self.kernels.nearest_units(self.words, units, len(codewords), index, distance)
        return index, distance

    def _seed(self, n_clusters, random_state):
        """Choose rows as first codewords by greedy k-means++."""
        n_trials = 2 + int(np.log(n_clusters))
        first = random_state.choice(len(self.words), p=self.weight / self.weight.sum())
        chosen = [first]
        closest = self._distances(self.words[[first]])[:, 0].astype(np.float64)
        while len(chosen) < n_clusters:
            mass = np.cumsum(self.weight * closest)
            drawn = np.searchsorted(mass, random_state.uniform(size=n_trials) * mass[-1])
            trials = np.minimum(drawn, len(self.words) - 1)
            reached = np.minimum(self._distances(self.words[trials]), closest[:, None])
            best = (self.weight @ reached).argmin()
            chosen.append(trials[best])
            closest = reached[:, best]
        return self.words[chosen]

    def _vote(self, labels, distances, n_clusters):
        """Return the majority of every cluster's rows, bit by bit; a draw is a 1."""
        ones, sizes = (self._count if self.votes_in_bits else self._weigh)(labels, n_clusters)
        codewords = pack_bits(2 * ones >= sizes[:, None])
        empty = np.flatnonzero(sizes == 0)
        if len(empty):
            # A cluster without rows restarts from a row that is far from its own.
            codewords[empty] = self.words[np.argsort(-distances, kind="stable")[: len(empty)]]
        return codewords

    def _count(self, labels, n_clusters):
        """Count the ones of each cluster and bit, by bit-sliced counters."""
        rows = np.repeat(np.arange(len(labels)), self.repeats)
        narrow = labels[rows].astype(np.min_scalar_type(n_clusters))
        sizes = np.bincount(narrow, minlength=n_clusters)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        order = rows[np.argsort(narrow, kind="stable")]
        ones = np.empty((n_clusters, 64 * n_words(self.n_bits)), np.int32)
        self.kernels.count_columns(self.words, order, starts, ones)
        return ones[:, : self.n_bits], sizes

    def _weigh(self, labels, n_clusters):
        """Sum the weights of the ones of each cluster and bit."""
        ones = np.zeros((n_clusters, self.n_bits))
        for start in range(0, len(labels), _ROW_BLOCK):
            block = slice(start, start + _ROW_BLOCK)
            member = np.zeros((n_clusters, len(labels[block])))
            member[labels[block], np.arange(len(labels[block]))] = self.weight[block]
            ones += member @ unpack_bits(self.words[block], self.n_bits)
        return ones, np.bincount(labels, weights=self.weight, minlength=n_clusters)
