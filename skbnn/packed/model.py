"""The packed model: an immutable program from raw rows to class scores.

The contracts that everything rests on:

* ``sign(0) = +1``, in training, folding, packing and export.
* Batch normalisation and sign fold to one integer comparison per unit, found with the trained
  float64 chain itself as the oracle; where the slope is negative the unit's weights are negated.
* Frozen equals packed: the integers in here are exactly the constants of the frozen network
  (``estimator.to_torch()``), so both give the same integer scores on every row.
* From the input bits to the class scores all arithmetic is on integers and does not depend on
  how many rows are in the batch or in which order. A float only turns scores into probabilities.
* Ties go to the lowest class index.
* Accumulators are proved to fit their integer type when the model is built or loaded.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from skbnn.bits import backend as kernels_of
from skbnn.packed.cost import Summary, layer_cost
from skbnn.packed.operation import Operation
from skbnn.packed.values import Immutable, Raw, Scores, require

__all__ = ["PackedModel", "run_blocks"]

_ROW_BLOCK = 512
_DTYPES = tuple(np.dtype(t) for t in (np.float32, np.float64, np.uint8, np.bool_))


@dataclass(frozen=True, eq=False)
class PackedModel(Immutable):
    """A trained classifier as an integer program in NumPy arrays.

    It predicts without torch and without scikit-learn, and never changes.

    Parameters
    ----------
    operations : tuple of Operation
        Each gives what the next one takes; the first takes raw rows, the last gives scores.
    classes : ndarray of shape (n_classes,)
        Label of each class, all different.
    probability_scale : float or None
        Real worth of one score: probabilities are the softmax of ``scores * probability_scale``.
        None where scores have no such meaning.
    backend : {"auto", "numba", "numpy"}, default="auto"
        Kernels to run: compiled by Numba, or their plain NumPy definition (also the fallback
        where Numba is missing).
    precision : {"float64", "float32"}, default="float64"
        In what real operations compute; coded ones are exact integers in any case. In float32
        they are about twice as fast, but the last digits of a row's scores then depend on the
        batch it is in. ``dataclasses.replace(model, precision="float32")`` changes it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skbnn import BinaryLogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> model = BinaryLogisticRegression(random_state=0).fit(X, y).packed_
    >>> model.predict(X[:2])
    array([0, 0])
    """

    operations: tuple[Operation, ...]
    classes: np.ndarray
    probability_scale: float | None = None
    backend: str = "auto"
    precision: str = "float64"

    def __post_init__(self):
        operations = tuple(self.operations)
        require(len(operations) >= 1, "A model needs at least one operation.")
        for operation in operations:
            require(isinstance(operation, Operation), f"{operation!r} is no operation.")
        first, last = operations[0], operations[-1]
        require(isinstance(first.takes, Raw), "The first operation must read raw rows.")
        require(isinstance(last.gives, Scores), "The last operation must give class scores.")
        for here, there in zip(operations[:-1], operations[1:], strict=True):
            require(
                here.gives == there.takes,
                f"{here.kind} gives {here.gives}, but {there.kind} takes {there.takes}.",
            )
        classes = np.asarray(self.classes)
        require(
            classes.ndim == 1 and len(classes) == last.gives.n_classes,
            f"There are {classes.size} class labels for {last.gives.n_classes} class scores.",
        )
        require(len(set(classes.tolist())) == len(classes), "A class label is repeated.")
        scale = None if self.probability_scale is None else float(self.probability_scale)
        require(
            scale is None or (math.isfinite(scale) and scale > 0),
            "The probability scale is not a positive number.",
        )
        kernels = kernels_of(self.backend)
        require(
            self.precision in ("float64", "float32"),
            f"precision={self.precision!r} is neither 'float64' nor 'float32'.",
        )
        real = getattr(np, self.precision)
        runs = [operation.prepare(kernels, real) for operation in operations]
        kept = {"operations": operations, "classes": classes, "probability_scale": scale}
        for name, value in (*kept.items(), ("_runs", runs)):
            object.__setattr__(self, name, value)
        self.freeze_arrays()

    def __eq__(self, other):
        """Whether two models are the same program with the same classes."""
        if not isinstance(other, PackedModel):
            return NotImplemented
        from skbnn.packed.format import to_bytes

        return to_bytes(self) == to_bytes(other)

    @property
    def n_features(self):
        """Width of the rows it reads."""
        return self.operations[0].takes.width

    @property
    def nbytes(self):
        """Bytes of all arrays, which is what :meth:`save` writes but for a small header."""
        return self.summary().nbytes

    def summary(self):
        """Return the cost of every operation and in total.

        Returns
        -------
        summary : Summary
            ``print`` shows it as a table; ``summary.to_dict()`` is plain data.
        """
        from skbnn.packed.format import arrays_of

        layers = (
            layer_cost(operation, sum(a.nbytes for a in arrays_of(operation).values()))
            for operation in self.operations
        )
        return Summary(tuple(layers), self.operations[0].takes.nbytes)

    def scores(self, X, *, n_jobs=1):
        """Return the class scores of rows.

        Parameters
        ----------
        X : array-like or sparse array of shape (n_samples, n_features)
            Rows; float64, float32, uint8 and bool are read as they are, without a copy.
        n_jobs : int, default=1
            Threads that share the rows; -1 for one on each core.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes)
            int32, exact; float32 for techniques with real activations.

        Raises
        ------
        ValueError
            If X has another width or number of dimensions, is not numeric, or holds values that
            are not finite.
        """
        X = self._checked(X)
        scores = self.operations[-1].gives
        out = np.empty((X.shape[0], scores.width), np.int32 if scores.integer else np.float32)
        return run_blocks(self._runs, X, out, n_jobs=n_jobs)

    def predict(self, X, *, n_jobs=1):
        """Return the class label of each row.

        Parameters
        ----------
        X : array-like or sparse array of shape (n_samples, n_features)
            Rows.
        n_jobs : int, default=1
            Threads that share the rows; -1 for one on each core.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        return self.classes[self.scores(X, n_jobs=n_jobs).argmax(1)]

    def decision_function(self, X, *, n_jobs=1):
        """Return real-valued scores in scikit-learn's shape.

        Parameters
        ----------
        X : array-like or sparse array of shape (n_samples, n_features)
            Rows.
        n_jobs : int, default=1
            Threads that share the rows; -1 for one on each core.

        Returns
        -------
        decision : float64 ndarray of shape (n_samples, n_classes), or (n_samples,) for two
            Scores times their real worth; for two classes, that of the second minus the first.
        """
        scores = self._real_scores(X, n_jobs, self.probability_scale or 1.0)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X, *, n_jobs=1):
        """Return class probabilities: the softmax of the scores times their real worth.

        Parameters
        ----------
        X : array-like or sparse array of shape (n_samples, n_features)
            Rows.
        n_jobs : int, default=1
            Threads that share the rows; -1 for one on each core.

        Returns
        -------
        probabilities : float64 ndarray of shape (n_samples, n_classes)

        Raises
        ------
        ValueError
            If the model's scores are no logits (K-means).
        """
        if self.probability_scale is None:
            raise ValueError("This model gives no probabilities; use predict or scores.")
        logits = self._real_scores(X, n_jobs, self.probability_scale)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    def _real_scores(self, X, n_jobs, unit):
        return self.scores(X, n_jobs=n_jobs).astype(np.float64) * unit

    def save(self, path):
        """Write the model to a file; see :func:`skbnn.load`.

        Parameters
        ----------
        path : str or path-like
            File to write. It is replaced in one step, never left half-written.
        """
        from skbnn.packed.format import save

        save(self, path)

    def _checked(self, X):
        """Return X as a 2-D numeric matrix of the right width, without looking at its values."""
        if not hasattr(X, "toarray"):
            X = np.asarray(X)
        if X.ndim != 2:
            hint = " Reshape one row with X.reshape(1, -1)." if X.ndim == 1 else ""
            raise ValueError(f"Expected a 2-D array of rows, got {X.ndim} dimension(s).{hint}")
        if X.shape[1] != self.n_features:
            raise ValueError(
                f"X has {X.shape[1]} features, but this model reads {self.n_features} features."
            )
        if X.dtype.kind not in "fiub":
            raise ValueError(f"X must hold numbers, got dtype {X.dtype}.")
        return X.tocsr() if hasattr(X, "tocsr") else X


def run_blocks(steps, X, out, *, n_jobs=1):
    """Run prepared operations one after another, over blocks of rows that stay in cache.

    Parameters
    ----------
    steps : list of callable
        What operations prepared; the last gives a row of results for each row.
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Rows.
    out : ndarray of shape (n_samples, n_results)
        Written.
    n_jobs : int or None, default=1
        Threads that share the rows; -1 for one on each core.

    Returns
    -------
    out : ndarray
    """

    def run_block(start):
        rows = _block(X, start)
        for step in steps:
            rows = step(rows)
        if rows.dtype.kind == "f":
            limit = np.finfo(out.dtype).max
            rows = np.clip(rows, -limit, limit)
        out[start : start + _ROW_BLOCK] = rows

    starts = range(0, X.shape[0], _ROW_BLOCK)
    n_threads = min(_n_threads(n_jobs), len(starts))
    if n_threads > 1:
        with ThreadPoolExecutor(n_threads) as pool:
            # Listing the results passes on an error of a block.
            list(pool.map(run_block, starts))
    else:
        for start in starts:
            run_block(start)
    return out


def _block(X, start):
    """Return one block of rows, C-contiguous and of a dtype that the input operations read."""
    rows = X[start : start + _ROW_BLOCK]
    if hasattr(rows, "toarray"):
        rows = rows.toarray()
    return np.ascontiguousarray(rows, rows.dtype if rows.dtype in _DTYPES else np.float64)


def _n_threads(n_jobs):
    """Return a number of threads from scikit-learn's ``n_jobs``."""
    if n_jobs is None:
        return 1
    if n_jobs == 0:
        raise ValueError("n_jobs must be positive, or negative to count from all cores.")
    return n_jobs if n_jobs > 0 else max(1, (os.cpu_count() or 1) + 1 + n_jobs)
