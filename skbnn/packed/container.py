"""Arrays and a JSON text in one file of bytes: a safetensors container with a checksum.

A safetensors file is eight bytes of header length, a JSON header that places each array, and the
arrays' bytes. Ours has two metadata entries. ``"sha256"`` comes first, so that its place is the
same in files of every version; it is the digest of all the file's bytes, with zeros for its own 64
digits, and is checked before anything is parsed. The other one is the content's own JSON text,
under a name that tells kinds of files apart.
"""

import hashlib
import json
import math
import os
import secrets
from functools import partial
from pathlib import Path

import numpy as np

from skbnn.packed.checks import require

__all__ = ["DTYPES", "from_container", "json_text", "parse_json", "replace_file", "to_container"]

DTYPES = {
    "U8": np.uint8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
    "U64": np.uint64,
    "F32": np.float32,
    "F64": np.float64,
}
_CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}
_MAX_HEADER = 1 << 24
_START = b'{"__metadata__":{"sha256":"'
_DIGITS = slice(8 + len(_START), 8 + len(_START) + 64)


def to_container(name, text, arrays):
    """Return the bytes of a container.

    Parameters
    ----------
    name : str
        Kind of the content.
    text : str
        Its JSON text.
    arrays : dict of str to ndarray
        Its arrays, of the dtypes in ``DTYPES``.

    Returns
    -------
    data : bytes

    Raises
    ------
    ValueError
        If an array has another dtype, or the header takes more than 16 MiB.
    """
    other = {str(array.dtype) for array in arrays.values()} - set(map(str, _CODES))
    require(not other, f"Arrays of dtype {', '.join(sorted(other))} cannot be saved.")
    chunks, header, position = [], {}, 0
    # Widest elements first keeps every array aligned to its own element size.
    for key, array in sorted(arrays.items(), key=lambda item: -item[1].itemsize):
        chunk = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        span = [position, position + len(chunk)]
        header[key] = {
            "dtype": _CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": span,
        }
        chunks.append(chunk)
        position += len(chunk)
    entries = {"sha256": "0" * 64, name: text}
    head = json_text({"__metadata__": entries, **header}).encode()
    head += b" " * (-len(head) % 8)
    require(len(head) <= _MAX_HEADER, "The labels or names are too long to be saved.")
    data = bytearray(b"".join([len(head).to_bytes(8, "little"), head, *chunks]))
    data[_DIGITS] = _digest(data)
    return bytes(data)


def from_container(name, data):
    """Return the content of a container, after a check that nothing in it is damaged.

    Parameters
    ----------
    name : str
        Kind of the content.
    data : bytes
        A whole file.

    Returns
    -------
    text : str
        The content's JSON text.
    read_arrays : callable
        Maps the dtypes that may occur to the arrays by name, read-only. It raises ValueError for
        other dtypes and for arrays that do not lie end to end.

    Raises
    ------
    ValueError
        If the file is no container of this kind, or damaged.
    """
    begins = data.startswith(_START, 8)
    require(begins, "it does not begin as such a file does; pickle and joblib read their own.")
    require(data[_DIGITS] == _digest(data), "its checksum does not match: it is damaged.")
    header, body = _split(data)
    entries = header.pop("__metadata__")
    known = set(entries) == {"sha256", name} and isinstance(entries[name], str)
    kinds = ", ".join(map(repr, sorted({*entries} - {"sha256"})))
    require(known, f"its container has missing or unknown metadata: [{kinds}], not {name!r}.")
    return entries[name], partial(_arrays, header, body)


def replace_file(path, data, temporary=None):
    """Write a file in one step: the old one stays until the new one is whole and on the disk.

    Parameters
    ----------
    path : str or path-like
        File to write.
    data : bytes
        Its content.
    temporary : str, default=None
        Ending of the file that is written first; drawn by default. With one of its own, what a
        killed process leaves behind is overwritten by the next one.

    Raises
    ------
    FileNotFoundError
        If the file's folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path.name} in.")
    new = path.with_name(f".{path.name}.{temporary or secrets.token_hex(8)}")
    try:
        with open(new, "wb" if temporary else "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder):
    """Make the names in a folder survive a loss of power, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _split(data):
    """Return the header and the arrays' bytes of a safetensors container."""
    length = int.from_bytes(data[:8], "little")
    require(length <= min(_MAX_HEADER, len(data) - 8), "its header is longer than the file.")
    header = parse_json(data[8 : 8 + length].decode())
    return header, memoryview(data)[8 + length :]


def parse_json(text):
    """Return the object of a JSON text, refusing repeated keys and numbers that JSON has not."""

    def unique(pairs):
        names = [name for name, _ in pairs]
        require(len(set(names)) == len(names), "a JSON key is repeated.")
        return dict(pairs)

    def refuse(constant):
        raise ValueError(f"the JSON holds {constant}.")

    parsed = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    require(isinstance(parsed, dict), "its JSON is no object.")
    return parsed


def _arrays(header, body, dtypes):
    """Return the arrays that a header places: end to end, no gap, no overlap, no rest."""
    arrays, position = {}, 0
    entries = [(name, *_entry(name, entry, dtypes)) for name, entry in header.items()]
    for name, dtype, shape, start, stop in sorted(entries, key=lambda entry: entry[3:]):
        require(start == position, f"array {name!r} overlaps another or leaves a gap.")
        require(stop - start == math.prod(shape) * dtype.itemsize, f"array {name!r} is misplaced.")
        require(stop <= len(body), f"array {name!r} lies beyond the end of the file.")
        flat = np.frombuffer(body[start:stop], dtype.newbyteorder("<"))
        arrays[name] = flat.reshape(shape).astype(dtype)
        arrays[name].flags.writeable = False
        position = stop
    require(position == len(body), "it holds bytes that belong to no array.")
    return arrays


def _entry(name, entry, dtypes):
    """Return dtype, shape, start and stop of one array in a header."""
    require(isinstance(entry, dict), f"array {name!r} is not described.")
    require(set(entry) == {"dtype", "shape", "data_offsets"}, f"array {name!r} is misdescribed.")
    shape, span = entry["shape"], entry["data_offsets"]
    for numbers in (shape, span):
        fits = isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers)
        require(fits, f"array {name!r} has a shape or place that is no list of numbers.")
    require(len(shape) <= 4 and len(span) == 2, f"array {name!r} is misdescribed.")
    dtype = entry["dtype"]
    known = isinstance(dtype, str) and dtype in dtypes
    require(known, f"array {name!r} has an unknown dtype.")
    return np.dtype(DTYPES[dtype]), tuple(shape), *span


def json_text(value):
    """Return the one JSON text that files use for a value."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _digest(data):
    """Return the SHA-256 of a whole file, zeros for its own digits, as digits."""
    view = memoryview(data)
    digest = hashlib.sha256(view[: _DIGITS.start])
    digest.update(b"0" * 64)
    digest.update(view[_DIGITS.stop :])
    return digest.hexdigest().encode()
