"""Checkpoints of a fit: what is needed to go on after it was killed, in one file.

The file is a container of :mod:`skbnn.packed.container`: arrays and JSON with a checksum, no
pickle. It is replaced in one step after every epoch and removed when the fit has ended. It holds
the state of everything that training changes (weights, optimizer, random generator, stage, epoch,
early stopping) and says of which fit it is, so that no other one goes on from it.
"""

import re
from importlib.metadata import version
from pathlib import Path

import numpy as np

from skbnn.packed.checks import require
from skbnn.packed.container import (
    DTYPES,
    from_container,
    json_text,
    parse_json,
    replace_file,
    to_container,
)

__all__ = ["Checkpoint"]

_KIND = "skbnn-checkpoint"
_FORMAT = 1
_NO_MATTER = ("checkpoint", "n_jobs", "random_state", "verbose")


class Checkpoint:
    """The file from which a fit goes on.

    Parameters
    ----------
    path : str, path-like or None
        The file; None for none, with which all methods do nothing.

    Attributes
    ----------
    found : dict or None
        State in the file: a tree of dicts, lists, plain values and arrays; None without a file.

    Raises
    ------
    ValueError
        If the file is damaged or no checkpoint, or there can be none of that name.
    """

    def __init__(self, path):
        self.path = None if path is None else Path(path)
        self.found, self.identity = None, {}
        if self.path is not None and (self.path.is_dir() or not self.path.parent.is_dir()):
            raise ValueError(
                f"checkpoint={str(path)!r} cannot be a file: it is a folder, or its folder does "
                "not exist. Name a file in a folder that exists."
            )
        if self.path is not None and self.path.exists():
            try:
                self.found = _read(self.path.read_bytes())
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise ValueError(
                    f"{self.path} is not a usable checkpoint: {error} Remove the file to begin "
                    "the fit anew, or name another one as checkpoint."
                ) from error

    def identify(self, estimator, seed, digest):
        """Say of which fit it is, and refuse to go on from another one's state.

        Parameters
        ----------
        estimator : estimator
            What is fitted.
        seed : int
            Seed of its generators.
        digest : str
            Of its training set, and of the state from which it starts.
        """
        parameters = estimator.get_params(deep=False).items()
        self.identity = {
            "estimator": type(estimator).__name__,
            "parameters": {name: _text(v) for name, v in parameters if name not in _NO_MATTER},
            "seed": seed,
            "data": digest,
            "versions": {name: version(name) for name in ("skbnn", "torch", "numpy")},
        }
        if self.found is not None:
            other = list(_differences(self.found, self.identity))
            if other:
                raise ValueError(
                    f"{self.path} is the checkpoint of another fit: {'; '.join(other)}. Fit as it "
                    "did to go on from it, remove the file to begin anew, or name another one as "
                    "checkpoint."
                )

    def write(self, state):
        """Replace the file by the state that a callable returns, in one step."""
        if self.path is not None:
            tree = {"format_version": _FORMAT, **self.identity, **state()}
            replace_file(self.path, _to_bytes(tree), temporary="new")

    def remove(self):
        """Remove the file: the fit has ended."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _text(value):
    """Return a parameter as text that is the same in another process, and as list and tuple."""
    value = tuple(value) if isinstance(value, list) else value
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _differences(found, identity):
    """Yield in what a checkpoint's fit differs from another one, in words."""
    for name in ("estimator", "seed"):
        if found[name] != identity[name]:
            yield f"its {name} is {found[name]}, not {identity[name]}"
    if found["estimator"] != identity["estimator"]:
        return
    for part in ("parameters", "versions"):
        for name in sorted({*found[part], *identity[part]}):
            then, now = found[part].get(name), identity[part].get(name)
            if then != now:
                yield f"{name} was {then}, and is {now}"
    if found["data"] != identity["data"]:
        yield "X, y, sample_weight or the state that it started from were other ones"


def _to_bytes(tree):
    """Return the bytes of a tree of dicts, lists, plain values and arrays."""
    arrays = {}

    def plain(part):
        if isinstance(part, np.ndarray):
            name = str(len(arrays))
            arrays[name] = part
            return {"array": name}
        if isinstance(part, dict):
            return {name: plain(value) for name, value in part.items()}
        return [plain(value) for value in part] if isinstance(part, list) else part

    text = json_text(plain(tree))
    return to_container(_KIND, text, arrays)


def _read(data):
    """Return the tree of a checkpoint's bytes."""
    text, read_arrays = from_container(_KIND, data)
    arrays = read_arrays(DTYPES)

    def whole(part):
        if isinstance(part, dict):
            if set(part) == {"array"}:
                return arrays[part["array"]]
            return {name: whole(value) for name, value in part.items()}
        return [whole(value) for value in part] if isinstance(part, list) else part

    tree = whole(parse_json(text))
    require(
        tree.get("format_version") == _FORMAT,
        f"it has format version {tree.get('format_version')}, this skbnn writes {_FORMAT}.",
    )
    return tree
