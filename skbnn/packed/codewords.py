"""Nearest-codeword operations: K-means as a classifier, on bits or on reals."""

from dataclasses import dataclass

import numpy as np

from skbnn.bits import interleave, lanes_for
from skbnn.packed.checks import require, require_array
from skbnn.packed.encode import refuse_not_finite
from skbnn.packed.operation import Operation, register
from skbnn.packed.values import BitCode, BitMatrix, Raw, Scores

__all__ = ["NearestCentroid", "NearestCodeword"]


def _check_owners(owners, n_owned, n_classes):
    """Check which class each codeword belongs to."""
    require_array("owners", owners, [np.int32], (n_owned,))
    require(n_classes >= 1, "There must be at least one class.")
    inside = (owners >= 0) & (owners < n_classes)
    require(bool(inside.all()), "A codeword belongs to a class that does not exist.")


class _Nearest(Operation):
    """What both share: the score of a class is minus the distance of its nearest codeword."""

    @property
    def gives(self):
        """Class scores."""
        return Scores(self.n_classes, integer=self.is_integer)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        distances = self.prepare_distances(kernels, real)
        order = np.argsort(self.owners, kind="stable")
        owning, starts = np.unique(self.owners[order], return_index=True)

        def run(rows):
            found = distances(rows)
            out = np.empty((len(found), self.n_classes), found.dtype)
            # A class without codewords is farther than any other.
            out[:] = -1 - 2 * found.max(1, keepdims=True)
            out[:, owning] = -np.minimum.reduceat(found[:, order], starts, axis=1)
            return out

        return run


@register("nearest-codeword")
@dataclass(frozen=True, eq=False)
class NearestCodeword(_Nearest):
    """Nearest codeword in Hamming distance.

    Parameters
    ----------
    codewords : BitMatrix
        One codeword for each cluster, plain +-1.
    owners : int32 ndarray of shape (n_codewords,)
        Class index of each codeword.
    n_classes : int
        Number of classes.
    """

    codewords: BitMatrix
    owners: np.ndarray
    n_classes: int

    is_integer = True

    def __post_init__(self):
        require(self.codewords.is_sign, "Codewords must be plain +-1.")
        _check_owners(self.owners, self.codewords.n_units, self.n_classes)
        self.freeze_arrays()

    @property
    def takes(self):
        """A plain sign code."""
        return BitCode(self.codewords.n_bits)

    def prepare_distances(self, kernels, real=np.float64):
        """Return the function from packed rows to int32 distances from every codeword."""
        words = self.codewords.words[0]
        units = interleave(words, lanes_for(len(words)))

        def distances(rows):
            out = np.empty((len(rows), len(words)), np.int32)
            kernels.count_mismatches(rows[:, 0], units, out)
            return out

        return distances


@register("nearest-centroid")
@dataclass(frozen=True, eq=False)
class NearestCentroid(_Nearest):
    """Nearest centroid in Euclidean distance.

    Parameters
    ----------
    centroids : float32 ndarray of shape (n_centroids, n_features)
        One centroid for each cluster.
    owners : int32 ndarray of shape (n_centroids,)
        Class index of each centroid.
    n_classes : int
        Number of classes.
    """

    centroids: np.ndarray
    owners: np.ndarray
    n_classes: int

    is_integer = False

    def __post_init__(self):
        require_array("centroids", self.centroids, [np.float32], (None, None))
        require(len(self.centroids) >= 1, "There must be at least one centroid.")
        _check_owners(self.owners, len(self.centroids), self.n_classes)
        self.freeze_arrays()

    @property
    def takes(self):
        """Raw rows."""
        return Raw(self.centroids.shape[1])

    def prepare_distances(self, kernels, real=np.float64):
        """Return the function from rows to Euclidean distances from every centroid."""
        # Far from the origin the squares would cancel.
        middle = self.centroids.mean(0, dtype=np.float64).astype(real)
        centroids = self.centroids.astype(real) - middle
        norms = np.square(centroids).sum(1)

        def distances(rows):
            refuse_not_finite(rows)
            rows = rows.astype(real, copy=False) - middle
            squares = np.square(rows).sum(1)[:, None] - 2 * rows @ centroids.T + norms
            return np.sqrt(np.maximum(squares, 0, out=squares), out=squares)

        return distances
