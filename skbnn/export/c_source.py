"""A packed model as C99: one header, or a header and a source file."""

import re
import textwrap
from dataclasses import fields

import numpy as np

from skbnn.export import choices, inputs, products, streams  # noqa: F401 - they register emitters
from skbnn.export.emit import Store, accumulate, indent, lower
from skbnn.export.program import C_TYPES, Buffer, Program, memory_of, numbers_text
from skbnn.export.rows import input_dtype, make_test_rows
from skbnn.export.runtime import in_order
from skbnn.packed import PackedModel
from skbnn.packed.checks import require
from skbnn.packed.operation import Operation
from skbnn.packed.values import IntStream, Reals, Scores

__all__ = ["Source", "to_c", "to_c_files"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
_MOST_AVR_BYTES = 1 << 16


def to_c(model, name, *, proba=False, test_rows=None):
    """Return a packed model as one C99 header.

    It needs ``<stdint.h>`` and nothing else: no heap, no recursion, no library. Models that were
    fitted on ``uint8`` rows compute with integers alone; others compare their ``float`` inputs with
    thresholds. Scores are those of ``model.scores``, on every machine.

    With ``name="digits"`` the header gives::

        int32_t digits_predict(const uint8_t *x);              /* index of the class */
        void digits_scores(const uint8_t *x, int32_t *out);    /* a score for each class */
        void digits_proba(const uint8_t *x, float *out);       /* with proba=True */
        int32_t digits_self_test(void);                        /* with DIGITS_SELF_TEST defined */

    Working memory is static, so two calls must not run at the same time.

    Parameters
    ----------
    model : PackedModel
        A model of a technique with coded activations.
    name : str
        Prefix of every name in the header.
    proba : bool, default=False
        Whether to add class probabilities, which are floats.
    test_rows : array-like of shape (n_rows, n_features), default=None
        Rows of the self-test; None makes four.

    Returns
    -------
    header : str

    Raises
    ------
    ValueError
        If the name is no prefix of C names, the model computes with real numbers, or probabilities
        are asked of a model without them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skbnn import BinaryLogisticRegression
    >>> from skbnn.export import to_c
    >>> X, y = load_iris(return_X_y=True)
    >>> model = BinaryLogisticRegression(random_state=0).fit(X, y).packed_
    >>> header = to_c(model, "iris")
    >>> "int32_t iris_predict(const float *x)" in header
    True
    """
    return Source(model, name, proba, test_rows).header()


def to_c_files(model, name, *, proba=False, test_rows=None):
    """Return a packed model as a C99 header with declarations, and a source file.

    Parameters
    ----------
    model : PackedModel
        As for :func:`to_c`.
    name : str
        As for :func:`to_c`.
    proba : bool, default=False
        As for :func:`to_c`.
    test_rows : array-like or None, default=None
        As for :func:`to_c`.

    Returns
    -------
    header, source : str
        To be saved as ``name.h`` and ``name.c``.
    """
    return Source(model, name, proba, test_rows).files()


class Source:
    """The C program of a model, and its text.

    Parameters
    ----------
    model, name, proba, test_rows
        As for :func:`to_c`.

    Attributes
    ----------
    program : Program
        What the text is made of.
    input_type : str
        C type of features, ``"uint8_t"`` or ``"float"``.
    types : dict of str to str
        C types that depend on the model.
    """

    def __init__(self, model, name, proba=False, test_rows=None):
        require(isinstance(name, str) and _NAME.fullmatch(name) is not None,
                f"name={name!r} is no prefix of C names: letters, digits and single underscores, "
                "beginning with a letter.")  # fmt: skip
        require(isinstance(model, PackedModel),
                f"{type(model).__name__} is no packed model; pass estimator.packed_.")  # fmt: skip
        require(not proba or model.probability_scale is not None,
                "This model gives no probabilities; export it with proba=False.")  # fmt: skip
        require(not proba or model.probability_scale <= float(np.finfo(np.float32).max),
                "The probability scale is beyond float32; export it with proba=False.")  # fmt: skip
        parts = [part for operation in model.operations for part in _parts(operation)]
        for part in parts:
            _refuse_reals(part)
        self.model, self.name, self.proba, self.test_rows = model, name, proba, test_rows
        self.input_type = C_TYPES[input_dtype(model)]
        largest = [part.gives.largest for part in parts if isinstance(part.gives, IntStream)]
        self.types = {
            "@input": self.input_type,
            "@number": "int16_t" if max(largest, default=0) < 1 << 15 else "int32_t",
            "@count": "uint16_t"
            if max(part.gives.width for part in parts) < 1 << 16
            else "uint32_t",
        }
        self.program = Program()
        buffer = Buffer(memory_of(model.operations[0].takes), "x")
        *operations, last = model.operations
        for operation in operations:
            buffer = lower(operation, self.program, buffer)
        accumulate(last, self.program, buffer, Buffer(memory_of(last.gives), "out"), Store())

    @property
    def table_nbytes(self):
        """Bytes of all tables."""
        return sum(table.nbytes for table in self.program.tables)

    @property
    def memory_nbytes(self):
        """Bytes of static memory."""
        sizes, _ = self.program.layout()
        return sum(size * self._element(c_type) for c_type, size in sizes.items())

    def header(self):
        """Return everything as one header."""
        return self._finish(self._guard(self._body("static inline ")))

    def files(self):
        """Return a header with declarations, and a source file."""
        signatures = [signature + ";" for signature in self._signatures().values()]
        declared = "\n".join([*signatures, "#if defined(@@SELF_TEST)", self._test_signature() + ";",
                              "#endif"])  # fmt: skip
        header = self._guard([declared])
        source = "\n\n".join([f'#include "{self.name}.h"', *self._body("")])
        return self._finish(header), self._finish(source)

    def _element(self, c_type):
        c_type = self.types.get(c_type, c_type)
        return next(dtype.itemsize for dtype, known in C_TYPES.items() if known == c_type)

    def _signatures(self):
        """Return the public functions by name."""
        signatures = {
            "scores": "void @scores(const @input *x, int32_t *out)",
            "predict": "int32_t @predict(const @input *x)",
        }
        if self.proba:
            signatures["proba"] = "void @proba(const @input *x, float *out)"
        return signatures

    def _test_signature(self):
        return "int32_t @self_test(void)"

    def _about(self):
        """Return the first comment and the sizes."""
        from skbnn import __version__

        labels = ", ".join(f"{i}: {_plain(x)}" for i, x in enumerate(self.model.classes.tolist()))
        lines = textwrap.wrap(f"Classes {labels}.", 92) + [
            "",
            f"Tables: {self.table_nbytes:,} bytes; static memory: {self.memory_nbytes:,} bytes,",
            "so two calls must not run at the same time.",
        ]
        text = "\n".join(f"   {line}".rstrip() for line in lines)
        # Labels are text of others: no placeholder in them is one.
        text = text.replace("@", "(at)")
        return (
            f"/* A binarized network of {self.model.n_features:,} features, "
            f"written by skbnn {__version__}.\n\n{text} */\n"
            f"#include <stdint.h>\n\n"
            f"#define @@N_FEATURES {self.model.n_features}\n"
            f"#define @@N_CLASSES {len(self.model.classes)}"
        )

    def _guard(self, parts):
        """Return parts as a header that may be included twice, and by C++."""
        opened = '#if defined(__cplusplus)\nextern "C" {\n#endif'
        closed = "#if defined(__cplusplus)\n}\n#endif"
        head = "#ifndef @@H\n#define @@H"
        return "\n\n".join([head, self._about(), opened, *parts, closed, "#endif"]) + "\n"

    def _body(self, linkage):
        """Yield the parts of the implementation, functions for others with that linkage."""
        program, forward = self.program, self.forward()
        yield from (text.rstrip("\n") for text in self.pieces().values())
        if self.table_nbytes >= _MOST_AVR_BYTES:
            yield ('#if defined(__AVR__)\n#error "These tables are beyond 64 KiB, which AVR reads '
                   'only by far pointers."\n#endif')  # fmt: skip
        yield from (text.rstrip("\n") for text in (*program.texts, *program.functions))
        signatures = self._signatures()
        yield f"/* A score for each class. */\n{linkage}{signatures['scores']}\n{forward}"
        yield (f"/* The index of the class with the highest score, the first of equal ones. */\n"
               f"{linkage}{signatures['predict']}\n{_PREDICT}")  # fmt: skip
        if self.proba:
            scale = f"{np.float32(self.model.probability_scale):.9e}f"
            yield (f"/* A probability for each class. */\n{linkage}{signatures['proba']}\n"
                   f"{_PROBA.replace('SCALE', scale)}")  # fmt: skip
        yield self._self_test(linkage)

    def pieces(self):
        """Return the pieces of the runtime in use, by name."""
        return in_order([*self.program.pieces, *(["exp"] if self.proba else [])])

    def forward(self):
        """Return the body of the forward pass: memory, places, calls."""
        sizes, places = self.program.layout()
        names = {c_type: f"memory{i}" for i, c_type in enumerate(sizes)}
        lines = [f"static {c_type} {names[c_type]}[{size}];" for c_type, size in sizes.items()]
        for buffer, place in sorted(places, key=lambda item: self.program.buffers.index(item[0])):
            c_type = buffer.memory.c_type
            lines.append(f"{c_type} *const {buffer.name} = {names[c_type]} + {place};")
        return "{\n" + indent("\n".join([*lines, *self.program.steps])) + "\n}"

    def _self_test(self, linkage):
        """Return rows, their scores and the function that compares them."""
        rows = make_test_rows(self.model, self.test_rows)
        scores = self.model.scores(rows)
        read = "@@READ8" if rows.dtype == np.uint8 else "@@READF"
        tables = (
            ("@input", "rows", rows.ravel()),
            ("int32_t", "wanted", scores.ravel()),
        )
        text = "\n".join(
            f"static const {c_type} @test_{name}[{array.size}] @@TABLE"
            f" = {{\n{numbers_text(array)}\n}};"
            for c_type, name, array in tables
        )
        return (
            "/* 0 if these rows get the scores that Python gave, else the number of the first. */"
            f"\n#if defined(@@SELF_TEST)\n{text}\n\n{linkage}{self._test_signature()}\n"
            + _SELF_TEST.replace("N_ROWS", str(len(rows))).replace("READ_INPUT", read)
            + "\n#endif"
        )

    def _finish(self, text):
        """Put names for placeholders."""
        for placeholder, c_type in self.types.items():
            text = re.sub(rf"(?<!@){placeholder}\b", c_type, text)
        text = text.replace("@@", self.name.upper() + "_").replace("@", self.name + "_")
        return text


_PREDICT = """\
{
    int32_t scores[@@N_CLASSES], best = 0, i;
    @scores(x, scores);
    for (i = 1; i < @@N_CLASSES; ++i) {
        best = scores[i] > scores[best] ? i : best;
    }
    return best;
}"""

_PROBA = """\
{
    int32_t scores[@@N_CLASSES], most, i;
    float sum = 0.0f;
    @scores(x, scores);
    most = scores[0];
    for (i = 1; i < @@N_CLASSES; ++i) {
        most = scores[i] > most ? scores[i] : most;
    }
    for (i = 0; i < @@N_CLASSES; ++i) {
        /* The difference may be beyond int32_t, but not beyond uint32_t. */
        out[i] = @exp(-SCALE * (float)((uint32_t)most - (uint32_t)scores[i]));
        sum += out[i];
    }
    for (i = 0; i < @@N_CLASSES; ++i) {
        out[i] /= sum;
    }
}"""

_SELF_TEST = """\
{
    static @input x[@@N_FEATURES];
    int32_t scores[@@N_CLASSES], row;
    @index i;
    for (row = 0; row < N_ROWS; ++row) {
        for (i = 0; i < @@N_FEATURES; ++i) {
            x[i] = (@input)READ_INPUT(@test_rows + (@index)row * @@N_FEATURES + i);
        }
        @scores(x, scores);
        for (i = 0; i < @@N_CLASSES; ++i) {
            if (scores[i] != (int32_t)@@READ32(@test_wanted + (@index)row * @@N_CLASSES + i)) {
                return row + 1;
            }
        }
    }
    return 0;
}"""


def _parts(operation):
    """Yield an operation and all those inside it."""
    yield operation
    for entry in fields(operation):
        value = getattr(operation, entry.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Operation):
                yield from _parts(part)


def _refuse_reals(operation):
    """Refuse an operation that computes with real numbers."""
    real = any(isinstance(v, Reals) for v in (operation.takes, operation.gives))
    real |= isinstance(operation.gives, Scores) and not operation.gives.integer
    require(
        not real,
        f"A model with {operation.kind} cannot be exported to C: it computes with real numbers, "
        "which C on another machine rounds differently and small devices compute slowly. Fit the "
        "estimator with a technique whose activations are bits, such as technique='bnn', or "
        "KMeansClassifier(technique='binary').",
    )


def _plain(label):
    """Return a class label as text that nothing in C can mistake for its own."""
    return re.sub(r"[^A-Za-z0-9 .+-]", "_", str(label))[:40]
