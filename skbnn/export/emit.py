"""How operations become C: the two functions that emitters are registered with.

:func:`emit` writes the C function of one operation, from the memory of what it takes to the memory
of what it gives; a new kind of operation needs one emitter, registered with its class::

    @emit.register
    def _(operation: MyOperation, program, store=Store()):
        label = program.label()
        ...
        return program.function(label, operation.takes, operation.gives, body)

:func:`lower` adds an operation to the forward pass: a buffer for its result and one call. Only an
operation that is no single call (a residual branch) has a lowering of its own.
"""

from dataclasses import dataclass
from functools import singledispatch

from skbnn.export.program import memory_of

__all__ = ["Store", "accumulate", "emit", "indent", "lower"]


@dataclass(frozen=True)
class Store:
    """How a function writes integers of a stream: as they are, or added to what is there.

    Parameters
    ----------
    kept : int
        Factor of what is there; 0 where nothing is.
    added : int
        Factor of what is added to it.
    """

    kept: int = 0
    added: int = 1

    def __call__(self, index, value):
        """Return the statement that stores a value."""
        new = value if self.added == 1 else f"({value}) * {self.added}"
        old = f"out[{index}] * {self.kept} + " if self.kept > 1 else f"out[{index}] + "
        return f"out[{index}] = (@number)({old if self.kept else ''}{new});"


@singledispatch
def emit(operation, program, store=None):
    """Write the C function of an operation.

    Parameters
    ----------
    operation : Operation
        The operation.
    program : Program
        Where tables and functions go.
    store : Store, optional
        How integers of a stream are written; other results do not look at it.

    Returns
    -------
    function : Function
    """
    raise TypeError(
        f"There is no C emitter for {type(operation).__name__}; register one with "
        "skbnn.export.emit.emit."
    )


@singledispatch
def lower(operation, program, source):
    """Add an operation to the forward pass and return the buffer of its result."""
    function = emit(operation, program, Store())
    target = program.buffer(memory_of(operation.gives))
    program.call(function, source, target)
    return target


def accumulate(operation, program, source, target, store):
    """Add an operation whose results are added to a buffer that is there already."""
    program.call(emit(operation, program, store), source, target)


def indent(text, levels=1):
    """Return C text with every line further right."""
    pad = "    " * levels
    return "\n".join(pad + line if line else line for line in text.splitlines())
