"""C99 of packed models: the integer program, for devices with a few kilobytes.

Read in this order: :mod:`~skbnn.export.c_source` (the text as a whole),
:mod:`~skbnn.export.program` (memory, tables and calls), :mod:`~skbnn.export.emit` (how operations
become functions), the emitters in :mod:`~skbnn.export.inputs`, :mod:`~skbnn.export.products`,
:mod:`~skbnn.export.streams` and :mod:`~skbnn.export.choices`, and the pieces of C that they share,
:mod:`~skbnn.export.runtime`. :mod:`~skbnn.export.compiled` runs the result from Python, and
:mod:`~skbnn.export.footprints` says what it takes on a device.
"""

from skbnn.export.c_source import to_c, to_c_files
from skbnn.export.compiled import CompiledModel
from skbnn.export.footprints import AccuracyWithin, Footprint, footprint, measure

__all__ = [
    "AccuracyWithin",
    "CompiledModel",
    "Footprint",
    "footprint",
    "measure",
    "to_c",
    "to_c_files",
]
