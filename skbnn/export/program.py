"""A C program under construction: its tables, functions, steps and memory.

An operation becomes one C function from the memory of the value that it reads to the memory of
the value that it makes, and one call of it. How a value lies in memory is told by
:func:`memory_of`: bits of all places without gaps in 32-bit words, plane after plane; streams as
the narrowest integers that hold them all.

Every value and every scratch array is a :class:`Buffer` that lives from the first call that
mentions it to the last. When the program is complete, buffers of one type share one static array:
each takes the lowest place where no other lives at the same time.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import singledispatch
from typing import NamedTuple

import numpy as np

from skbnn.packed import BitCode, BitImage, IntStream
from skbnn.packed.checks import narrowest
from skbnn.packed.values import Raw, Scores

__all__ = [
    "C_TYPES",
    "Buffer",
    "Function",
    "Program",
    "Table",
    "memory_of",
    "n_words32",
    "numbers_text",
    "words32",
]

C_TYPES = {
    np.dtype(np.int8): "int8_t",
    np.dtype(np.uint8): "uint8_t",
    np.dtype(np.int16): "int16_t",
    np.dtype(np.uint16): "uint16_t",
    np.dtype(np.int32): "int32_t",
    np.dtype(np.uint32): "uint32_t",
    np.dtype(np.int64): "int64_t",
    np.dtype(np.float32): "float",
}
"""C types of tables and sums."""

_LINE = 92


def n_words32(n_bits):
    """Return the 32-bit words of a row of bits: at least one, C has no empty arrays."""
    return max(1, -(-n_bits // 32))


def words32(words, n_bits):
    """Return packed rows of 64-bit words as 32-bit words, without words of padding alone."""
    halves = np.ascontiguousarray(words, "<u8").view("<u4").astype(np.uint32)
    padded = np.zeros((*halves.shape[:-1], max(1, halves.shape[-1])), np.uint32)
    padded[..., : halves.shape[-1]] = halves
    return np.ascontiguousarray(padded[..., : n_words32(n_bits)])


class Memory(NamedTuple):
    """How a value lies in memory: elements of a C type, and how a function writes them."""

    c_type: str
    size: int
    planes: int = 0


@singledispatch
def memory_of(value):
    """Return how a value lies in memory."""
    raise TypeError(f"{type(value).__name__} has no form in C.")


@memory_of.register
def _(value: Raw):
    return Memory("@input", value.width)


@memory_of.register(BitCode)
@memory_of.register(BitImage)
def _(value):
    planes = len(value.scales)
    return Memory("uint32_t", planes * n_words32(value.n_bits), planes)


@memory_of.register
def _(value: IntStream):
    return Memory("@number", value.width)


@memory_of.register
def _(value: Scores):
    return Memory("int32_t", value.n_classes)


@dataclass(eq=False)
class Buffer:
    """Memory of one value.

    Parameters
    ----------
    memory : Memory
        Its type and size.
    name : str
        What the forward pass calls it.
    first, last : int or None
        The calls between which it is alive; None before it is mentioned.
    """

    memory: Memory
    name: str
    first: int | None = None
    last: int | None = None


class Table(NamedTuple):
    """A constant array: its name, the type of its elements, and its bytes."""

    name: str
    c_type: str
    nbytes: int

    def read(self, index):
        """Return the expression that reads an element, as its own type."""
        bits = "".join(filter(str.isdigit, self.c_type)) or "F"
        return f"({self.c_type})@@READ{bits}({self.name} + {index})"


class Function(NamedTuple):
    """A C function ``name(in, out, *scratch)``."""

    name: str
    scratch: tuple[Memory, ...] = ()


@dataclass
class Program:
    """Everything that the text of a program is made of, in the order in which it was added."""

    tables: list = field(default_factory=list)
    texts: list = field(default_factory=list)
    functions: list = field(default_factory=list)
    pieces: list = field(default_factory=list)
    buffers: list = field(default_factory=list)
    steps: list = field(default_factory=list)
    held: list = field(default_factory=list)
    n_labels: int = 0

    def label(self):
        """Return a new prefix for the names of an operation."""
        self.n_labels += 1
        return f"@{self.n_labels - 1}"

    def need(self, *names):
        """Make pieces of the runtime part of the program."""
        self.pieces += names

    def table(self, name, array):
        """Add a constant array, its integers in the narrowest type that holds them.

        Parameters
        ----------
        name : str
            Its name.
        array : ndarray
            Integers or float32; uint32 stays what it is, for it is words of bits.

        Returns
        -------
        table : Table
        """
        flat = np.ravel(array)
        flat = flat if flat.size else np.zeros(1, flat.dtype)
        if flat.dtype.kind in "iu" and flat.dtype != np.uint32:
            flat = _narrowest(flat)
        c_type = C_TYPES[flat.dtype]
        self.need("memory")
        self.texts.append(
            f"static const {c_type} {name}[{flat.size}] @@TABLE = {{\n{numbers_text(flat)}\n}};\n"
        )
        self.tables.append(Table(name, c_type, flat.nbytes))
        return self.tables[-1]

    def function(self, name, takes, gives, body, scratch=()):
        """Add the function of an operation.

        Parameters
        ----------
        name : str
            Its name.
        takes, gives : values
            What ``in`` and ``out`` mean.
        body : str
            Its statements.
        scratch : tuple of (Memory, str)
            Further arrays that it writes, and their names.

        Returns
        -------
        function : Function
        """
        out = memory_of(gives)
        arguments = [f"const {memory_of(takes).c_type} *in"]
        arguments.append("@writer *out" if out.planes else f"{out.c_type} *out")
        arguments += [f"{memory.c_type} *{known_as}" for memory, known_as in scratch]
        self.code(f"static inline void {name}({', '.join(arguments)})\n{{\n{body}\n}}\n")
        return Function(name, tuple(memory for memory, _ in scratch))

    def code(self, text):
        """Add the text of a function."""
        self.functions.append(text)

    def buffer(self, memory):
        """Return a new buffer."""
        self.buffers.append(Buffer(memory, f"b{len(self.buffers)}"))
        return self.buffers[-1]

    def step(self, text, *buffers):
        """Add a statement of the forward pass that mentions these buffers."""
        for buffer in buffers:
            buffer.first = len(self.steps) if buffer.first is None else buffer.first
            buffer.last = len(self.steps)
        self.steps.append(text)

    def call(self, function, source, target):
        """Add the call of a function from one buffer to another."""
        scratch = [self.buffer(memory) for memory in function.scratch]
        rest = "".join(f", {buffer.name}" for buffer in scratch)
        planes = target.memory.planes
        text = f"{function.name}({source.name}, {'bits' if planes else target.name}{rest});"
        if planes:
            self.need("writer")
            stride = target.memory.size // planes
            text = (
                f"{{\n    @writer bits[{planes}];\n"
                f"    @open(bits, {planes}u, {target.name}, {stride}u);\n"
                f"    {text}\n    @close(bits, {planes}u);\n}}"
            )
        self.step(text, source, target, *scratch)

    def own(self, buffer):
        """Return a buffer that may be changed where it is: this one, or a new one if it is held."""
        return self.buffer(buffer.memory) if buffer in self.held else buffer

    @contextmanager
    def holding(self, *buffers):
        """Keep the content of buffers as it is while something is lowered."""
        self.held += buffers
        yield
        del self.held[-len(buffers) :]

    def copy(self, source, target):
        """Add a loop that copies a buffer."""
        self.step(
            f"{{\n    @index i;\n    for (i = 0; i < {source.memory.size}u; ++i) {{\n"
            f"        {target.name}[i] = {source.name}[i];\n    }}\n}}",
            source,
            target,
        )

    def layout(self):
        """Place all buffers that are the program's own.

        Returns
        -------
        sizes : dict of str to int
            Elements of the static array of each C type.
        places : list of (Buffer, int)
            First element of each buffer.
        """
        sizes, places = {}, []
        own = [buffer for buffer in self.buffers if buffer.first is not None]
        for buffer in sorted(own, key=lambda buffer: -buffer.memory.size):
            c_type, size = buffer.memory.c_type, buffer.memory.size
            taken = sorted(
                (place, place + other.memory.size)
                for other, place in places
                if other.memory.c_type == c_type
                and other.first <= buffer.last
                and buffer.first <= other.last
            )
            place = 0
            for start, stop in taken:
                if place + size <= start:
                    break
                place = max(place, stop)
            places.append((buffer, place))
            sizes[c_type] = max(sizes.get(c_type, 0), place + size)
        return sizes, places


def _narrowest(array):
    """Return integers in the narrowest type that tables have."""
    for dtype in (np.uint8, np.int8, np.uint16):
        limits = np.iinfo(dtype)
        if limits.min <= array.min() and array.max() <= limits.max:
            return array.astype(dtype)
    return narrowest(array)


def numbers_text(array):
    """Return the text of the elements of an array, in lines."""
    texts = _TEXTS[array.dtype.kind](array)
    width = max(map(len, texts)) + 2
    in_line = max(1, _LINE // width)
    lines = (texts[i : i + in_line] for i in range(0, len(texts), in_line))
    return ",\n".join("    " + ", ".join(line) for line in lines)


def _words(array):
    digits = 2 * array.itemsize
    if array.dtype == np.uint32:
        return [f"0x{number:0{digits}x}u" for number in array.tolist()]
    return [f"{number}u" for number in array.tolist()]


def _integers(array):
    lowest = np.iinfo(array.dtype).min
    # A literal of C has no sign: that of the lowest number would not fit.
    return [f"({n + 1} - 1)" if n == lowest else str(n) for n in array.tolist()]


def _floats(array):
    # Nine digits tell every float32 from all others.
    texts = (f"{number:.9g}" for number in array.tolist())
    return [text + ("f" if set(text) & set(".e") else ".0f") for text in texts]


_TEXTS = {"u": _words, "i": _integers, "f": _floats}
