"""The model file: arrays in a safetensors container, everything else in its JSON metadata.

Nothing in a file is run, unpickled or imported by name. :func:`load` checks the container, the
checksum, every field of every operation (their classes refuse wrong dtypes, shapes, widths and
ranges) and how the operations fit together before a model exists, and refuses anything else with
one :class:`ValueError`.

The container is that of :mod:`skbnn.packed.container`. Its metadata entry ``"skbnn"`` is JSON:
format version, operations with their plain fields, classes, probability scale and the version of
the package.

The format version is raised by every change of what a file means, except for new kinds of
operations, which older readers refuse by their names. Readers keep reading every older version.
"""

import os
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np

from skbnn.bits import backend as kernels_of
from skbnn.packed.checks import require
from skbnn.packed.container import (
    from_container,
    json_text,
    parse_json,
    replace_file,
    to_container,
)
from skbnn.packed.images import ImageLayout
from skbnn.packed.model import PackedModel
from skbnn.packed.operation import OPERATIONS
from skbnn.packed.values import BitCode, BitImage, BitMatrix, IntStream, Reals
from skbnn.packed.windows import Window

__all__ = ["FORMAT_VERSION", "arrays_of", "from_bytes", "is_same", "load", "save", "to_bytes"]

FORMAT_VERSION = 1
_DTYPES = ("U8", "I16", "I32", "I64", "U64", "F32")
_VALUES = {
    "bit-matrix": BitMatrix,
    "bit-code": BitCode,
    "bit-image": BitImage,
    "int-stream": IntStream,
    "reals": Reals,
    "image-layout": ImageLayout,
    "window": Window,
}
_KINDS = {cls: kind for kind, cls in _VALUES.items()}
_LABELS = tuple(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()
)
_METADATA = {"format_version", "skbnn_version", "operations", "classes", "probability_scale"}


def save(model, path):
    """Write a model to a file, in one step: the old file stays until the new one is whole.

    Parameters
    ----------
    model : PackedModel
        The model.
    path : str or path-like
        File to write.
    """
    replace_file(path, to_bytes(model))


def load(path, backend="auto"):
    """Read a packed model from a file.

    Parameters
    ----------
    path : str or path-like
        File that :meth:`PackedModel.save` wrote.
    backend : {"auto", "numba", "numpy"}, default="auto"
        Kernels to run; ``"auto"`` takes Numba's where Numba is installed.

    Returns
    -------
    model : PackedModel

    Raises
    ------
    ValueError
        If the file is damaged, truncated, of a newer format version, or no packed model; or the
        backend is unknown.
    OSError
        If the file cannot be read.
    """
    kernels_of(backend)
    data = Path(path).read_bytes()
    try:
        return from_bytes(data, backend)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{os.fspath(path)} is not a usable skbnn model: {error} If PackedModel.save has "
            "written it, copy it or write it once more."
        ) from error


def to_bytes(model):
    """Return the bytes of a model's file.

    Parameters
    ----------
    model : PackedModel
        The model.

    Returns
    -------
    data : bytes

    Raises
    ------
    ValueError
        If the class labels are neither strings nor numbers, or take more than 16 MiB.
    """
    operations, arrays = _contents(model)
    metadata = {
        "format_version": FORMAT_VERSION,
        "skbnn_version": _version(),
        "operations": operations,
        "classes": {"dtype": _class_dtype(model.classes), "labels": model.classes.tolist()},
        "probability_scale": model.probability_scale,
    }
    return to_container("skbnn", json_text(metadata), arrays)


def is_same(model, other):
    """Whether two models have equal operations, labels and probability scales."""
    return _compared(model) == _compared(other)


def _contents(model):
    """Return the JSON form of a model's operations, and their arrays by name."""
    arrays = {}
    return [_encode(op, f"{i}", arrays) for i, op in enumerate(model.operations)], arrays


def _compared(model):
    """Return what two equal models have in common; labels may be such as no file can hold."""
    operations, arrays = _contents(model)
    contents = {name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()}
    labels = model.classes
    kind = "str" if labels.dtype.kind in "UT" else labels.dtype.name
    return operations, contents, kind, labels.tolist(), model.probability_scale


def from_bytes(data, backend="auto"):
    """Return the model whose file has these bytes; see :func:`load`."""
    text, read_arrays = from_container("skbnn", data)
    metadata = parse_json(text)
    version = metadata.get("format_version")
    require(type(version) is int and version >= 1, "it names no format version.")
    require(
        version <= FORMAT_VERSION,
        f"it has format version {version}, this skbnn reads up to {FORMAT_VERSION}; "
        "install a newer skbnn.",
    )
    require(set(metadata) == _METADATA, "its metadata has missing or unknown fields.")
    require(isinstance(metadata["skbnn_version"], str), "it names no version of skbnn.")
    arrays = read_arrays(_DTYPES)
    operations = tuple(_decode(item, arrays) for item in _list(metadata, "operations"))
    require(not arrays, f"it holds arrays that no operation uses: {sorted(arrays)}.")
    scale = metadata["probability_scale"]
    require(scale is None or type(scale) is float, "its probability scale is no number.")
    return PackedModel(operations, _classes(metadata), scale, backend)


def arrays_of(part):
    """Return the arrays that an operation stores, by name.

    Parameters
    ----------
    part : Operation
        The operation.

    Returns
    -------
    arrays : dict of str to ndarray
    """
    arrays = {}
    _encode(part, "", arrays)
    return arrays


def _encode(part, prefix, arrays):
    """Return the JSON form of an operation or value; its arrays go to ``arrays``."""
    if isinstance(part, np.ndarray):
        arrays[prefix] = part
        return {"array": prefix}
    if is_dataclass(part):
        kind = _KINDS.get(type(part)) or part.kind
        plain = {f.name: _encode(getattr(part, f.name), f"{prefix}.{f.name}", arrays)
                 for f in fields(part) if f.init}  # fmt: skip
        return {"kind": kind, **plain}
    if isinstance(part, tuple):
        return [_encode(item, f"{prefix}.{i}", arrays) for i, item in enumerate(part)]
    return part


def _decode(item, arrays):
    """Return the operation or value of a JSON form, taking its arrays out of ``arrays``."""
    if isinstance(item, list):
        known = all(type(i) in (int, dict) for i in item)
        require(known, "a list holds something else than integers and operations.")
        return tuple(_decode(i, arrays) for i in item)
    if not isinstance(item, dict):
        require(item is None or type(item) in (int, bool), f"a field holds {item!r}.")
        return item
    if set(item) == {"array"}:
        name = item["array"]
        require(type(name) is str and name in arrays, f"array {name!r} is missing or used twice.")
        return arrays.pop(name)
    kind = item.get("kind")
    require(type(kind) is str, "an operation names no kind.")
    cls = _VALUES.get(kind) or OPERATIONS.get(kind)
    require(
        cls is not None,
        f"it has an unknown kind of operation, {kind!r}, which a newer skbnn may know.",
    )
    plain = {name: _decode(value, arrays) for name, value in item.items() if name != "kind"}
    hints = {f.name: f.type for f in fields(cls) if f.init}
    require(set(plain) == set(hints), f"{kind} has the fields {sorted(plain)}.")
    for name, value in plain.items():
        require(_is_a(value, hints[name]), f"field {name} of {kind} holds a wrong type.")
    return cls(**plain)


def _is_a(value, hint):
    """Whether a decoded value is of a dataclass field's annotated type."""
    if hint is int or hint is bool:
        return type(value) is hint
    if getattr(hint, "__origin__", None) is tuple:
        return isinstance(value, tuple) and all(_is_a(v, hint.__args__[0]) for v in value)
    return isinstance(value, hint)


def _list(metadata, name):
    require(isinstance(metadata.get(name), list), f"it has no list of {name}.")
    return metadata[name]


def _class_dtype(classes):
    """Return how a file names the dtype of class labels."""
    kind, name = classes.dtype.kind, classes.dtype.name
    if name in _LABELS and np.isfinite(classes).all():
        return name
    if kind in "UT" or (kind == "O" and all(isinstance(label, str) for label in classes)):
        return "object" if kind == "O" else "str"
    raise ValueError(
        f"Class labels of dtype {classes.dtype} cannot be saved; use strings or finite numbers."
    )


def _classes(metadata):
    """Return the class labels of a file."""
    described = metadata["classes"]
    fits = isinstance(described, dict) and set(described) == {"dtype", "labels"}
    require(fits, "its classes are misdescribed.")
    name, labels = described["dtype"], _list(described, "labels")
    if name in ("str", "object"):
        require(all(type(label) is str for label in labels), "a class label is no string.")
        return np.array(labels, dtype=object if name == "object" else np.str_)
    require(name in _LABELS, f"its class labels have the dtype {name!r}.")
    require(all(type(x) in (int, float, bool) for x in labels), "a class label is no number.")
    classes = np.array(labels, dtype=np.dtype(name))
    same = json_text(labels) == json_text(classes.tolist())
    require(same, "a class label does not fit its dtype.")
    return classes


def _version():
    from skbnn import __version__

    return __version__
