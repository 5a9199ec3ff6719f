"""Exported C, compiled by the host's own compiler and called from Python."""

import ctypes
import shutil
import subprocess
import tempfile
import weakref
from pathlib import Path

import numpy as np

from skbnn.export.c_source import Source
from skbnn.export.rows import as_input, input_dtype
from skbnn.packed.blocks import check_rows

__all__ = ["CompiledModel"]

_COMPILERS = ("cc", "gcc", "clang")
_MORE = """
#include "net.h"
void net_all_scores(const {input} *x, int32_t *out, int64_t n_rows);
void net_all_scores(const {input} *x, int32_t *out, int64_t n_rows)
{{
    int64_t row;
    for (row = 0; row < n_rows; ++row) {{
        net_scores(x + row * NET_N_FEATURES, out + row * NET_N_CLASSES);
    }}
}}
"""


class CompiledModel:
    """A packed model that predicts by its exported C, compiled on this machine.

    For tests of the export, and for machines with a C compiler but without Numba. The library
    lies in a temporary folder, which goes when the object does. Not for several threads at once:
    the C program has one working memory.

    Parameters
    ----------
    model : PackedModel
        A model that :func:`skbnn.export.to_c` exports.
    compiler : str, default=None
        C compiler, by name or path; None takes the first of ``cc``, ``gcc`` and ``clang``.
    flags : sequence of str, default=("-std=c99", "-O3", "-march=native")
        What it is called with.

    Raises
    ------
    ValueError
        If the model cannot be exported.
    RuntimeError
        If there is no compiler, or it fails.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skbnn import BinaryLogisticRegression
    >>> from skbnn.export import CompiledModel
    >>> X, y = load_iris(return_X_y=True)
    >>> est = BinaryLogisticRegression(random_state=0).fit(X, y)
    >>> compiled = CompiledModel(est.packed_)  # doctest: +SKIP
    >>> bool((compiled.predict(X) == est.predict(X)).all())  # doctest: +SKIP
    True
    """

    def __init__(self, model, *, compiler=None, flags=("-std=c99", "-O3", "-march=native")):
        source = Source(model, "net")
        names = _COMPILERS if compiler is None else (compiler,)
        path = next((found for name in names if (found := shutil.which(name))), None)
        if path is None:
            raise RuntimeError(
                f"No C compiler found: none of {', '.join(names)} is on the PATH. Install one, or "
                "predict with the packed model itself."
            )
        folder = tempfile.mkdtemp(prefix="skbnn-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        library = Path(folder) / "net.so"
        Path(folder, "net.h").write_text(source.header())
        Path(folder, "net.c").write_text(_MORE.format(input=source.input_type))
        command = [path, *flags, "-shared", "-fPIC", "-o", str(library), str(Path(folder, "net.c"))]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{path} cannot compile the model: {done.stderr.strip()}")
        self.model, self._dtype = model, input_dtype(model)
        self._run = ctypes.CDLL(str(library)).net_all_scores
        self._run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        self._run.restype = None

    def scores(self, X):
        """Return the class scores of rows, as C computes them.

        Parameters
        ----------
        X : array-like or sparse array of shape (n_samples, n_features)
            Rows; those of a model of bytes must hold whole numbers from 0 to 255.

        Returns
        -------
        scores : int32 ndarray of shape (n_samples, n_classes)
        """
        rows = as_input(check_rows(X, self.model.n_features), self._dtype)
        out = np.empty((len(rows), len(self.model.classes)), np.int32)
        self._run(rows.ctypes.data, out.ctypes.data, len(rows))
        return out

    def predict(self, X):
        """Return the class label of each row.

        Parameters
        ----------
        X : array-like or sparse array of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        return self.model.classes[self.scores(X).argmax(1)]
