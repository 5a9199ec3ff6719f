"""The packed model: an immutable program from raw rows to class scores.

The contracts that everything rests on:

* ``sign(0) = +1``, in training, folding, packing and export.
* Batch normalisation and sign fold to one integer comparison per unit, found with the trained
  float64 chain itself as the oracle; where the slope is negative the unit's weights are negated.
* Frozen equals packed: the integers in here are exactly the constants of the frozen network
  (``estimator.to_torch()``), so both give the same integer scores on every row.
* From the input bits to the class scores all arithmetic is on integers and does not depend on
  how many rows are in the batch or in which order. Floats only turn scores into logits
  and probabilities.
* Sums of real numbers, where a technique has them, are summed by BLAS, in an order that depends on
  the rows of a batch: their last digits are no contract.
* Ties go to the lowest class index.
* Accumulators are proved to fit their integer type when the model is built or loaded.
"""

import math
from dataclasses import dataclass

import numpy as np

from skbnn.bits import backend as kernels_of
from skbnn.packed.blocks import check_rows, run_blocks
from skbnn.packed.chain import prepare_all, prepare_chain
from skbnn.packed.checks import Immutable, require
from skbnn.packed.cost import Summary, layer_cost
from skbnn.packed.operation import Operation, require_operation
from skbnn.packed.values import Raw, Scores

__all__ = ["PackedModel"]

_WORK_OF_A_THREAD = 2**31
_ROWS, _CHAIN_ROWS = (32, 512), 4096
_CACHED = 1 << 21


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
        they are about twice as fast, and less exact; a file does not keep it.
        ``dataclasses.replace(model, precision="float32")`` changes it.

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
            require_operation(operation)
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
        chain = prepare_chain(operations, kernels)
        runs = [chain] if chain else prepare_all(operations, kernels, real)
        # A chain keeps to the cache by itself; larger blocks spare it some of Python.
        row_block = _CHAIN_ROWS if chain else _rows_in_cache(operations)
        kept = {"operations": operations, "classes": classes, "probability_scale": scale}
        kept |= {"_runs": runs, "_row_block": row_block, "_first_largest": kernels.first_largest}
        # Found once: a single row would notice.
        kept["_width"] = first.takes.width
        for name, value in kept.items():
            object.__setattr__(self, name, value)
        self.freeze_arrays()
        cost = self.summary()
        work = cost.binary_ops + 16 * cost.float_ops + 1
        object.__setattr__(self, "_thread_rows", _WORK_OF_A_THREAD // work)

    def __eq__(self, other):
        """Whether two models are the same program with the same classes."""
        if not isinstance(other, PackedModel):
            return NotImplemented
        from skbnn.packed.format import is_same

        return is_same(self, other)

    def __repr__(self):
        """Return the sizes in one line; :meth:`summary` tells more."""
        return (
            f"PackedModel({self.n_features} features, {len(self.classes)} classes, "
            f"{len(self.operations)} operations, {self.nbytes:,} bytes)"
        )

    @property
    def n_features(self):
        """Width of the rows it reads."""
        return self._width

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
        return self._run(self._score, X, n_jobs)

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
        return self._run(self._label, X, n_jobs)

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
        powers = np.exp(self._logits(X, n_jobs))
        return powers / powers.sum(1, keepdims=True)

    def predict_log_proba(self, X, *, n_jobs=1):
        """Return the logarithm of class probabilities, finite for all scores.

        Parameters
        ----------
        X : array-like or sparse array of shape (n_samples, n_features)
            Rows.
        n_jobs : int, default=1
            Threads that share the rows; -1 for one on each core.

        Returns
        -------
        log_probabilities : float64 ndarray of shape (n_samples, n_classes)

        Raises
        ------
        ValueError
            If the model's scores are no logits (K-means).
        """
        logits = self._logits(X, n_jobs)
        return logits - np.log(np.exp(logits).sum(1, keepdims=True))

    def _run(self, run, X, n_jobs):
        """Apply a function of the model to rows; a thread gets work for some milliseconds."""
        X = check_rows(X, self._width)
        return run_blocks(
            run, X, n_jobs=n_jobs, smallest=self._thread_rows, largest=self._row_block
        )

    def _score(self, rows):
        """Return the scores of one block of rows."""
        for run in self._runs:
            rows = run(rows)
        if rows.dtype.kind == "i":
            return rows
        limit = np.finfo(np.float32).max
        return np.clip(rows, -limit, limit).astype(np.float32)

    def _label(self, rows):
        """Return the labels of one block of rows."""
        scores = self._score(rows)
        if scores.dtype != np.int32:
            return self.classes[scores.argmax(1)]
        # NumPy's argmax takes a quarter of the time of a small network.
        largest = np.empty(len(scores), np.intp)
        self._first_largest(scores, largest)
        return self.classes[largest]

    def _logits(self, X, n_jobs):
        """Return logits, less the largest of the row."""
        if self.probability_scale is None:
            raise ValueError("This model gives no probabilities; use predict or scores.")
        logits = self._real_scores(X, n_jobs, self.probability_scale)
        return logits - logits.max(1, keepdims=True)

    def _real_scores(self, X, n_jobs, unit):
        return self.scores(X, n_jobs=n_jobs).astype(np.float64) * unit

    def to_c(self, name, *, proba=False):
        """Return the model as one C99 header; see :func:`skbnn.export.to_c`.

        Parameters
        ----------
        name : str
            Prefix of every name in the header.
        proba : bool, default=False
            Whether to add class probabilities, which are floats.

        Returns
        -------
        header : str
        """
        from skbnn.export import to_c

        return to_c(self, name, proba=proba)

    def footprint(self, target="cortex-m0plus"):
        """Return what the exported model takes on a device; see :func:`skbnn.export.footprint`.

        Parameters
        ----------
        target : {"cortex-m0plus", "cortex-m4", "avr", "host"}, default="cortex-m0plus"
            Kind of device.

        Returns
        -------
        footprint : Footprint
            Bytes of flash and of static memory, and binary operations for a row.
        """
        from skbnn.export import footprint

        return footprint(self, target)

    def save(self, path):
        """Write the model to a file; see :func:`skbnn.load`.

        Parameters
        ----------
        path : str or path-like
            File to write. It is replaced in one step, never left half-written.
        """
        from skbnn.packed.format import save

        save(self, path)


def _rows_in_cache(operations):
    """Return how many rows leave what an operation reads and writes in the cache."""
    most = max(operation.takes.nbytes + operation.gives.nbytes for operation in operations)
    fewest, most_rows = _ROWS
    return max(fewest, min(most_rows, _CACHED // max(1, most)))
