"""What every stored part of a program is: frozen, with arrays that are checked and read-only."""

from dataclasses import fields

import numpy as np

from skbnn.bits import n_words, tail_mask

__all__ = ["Immutable", "narrowest", "require", "require_array", "require_bits"]


def require(condition, message):
    """Raise a ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def narrowest(values):
    """Return integers in the narrowest of int16, int32 and int64 that holds them all."""
    values = np.asarray(values)
    for dtype in (np.int16, np.int32):
        limits = np.iinfo(dtype)
        if values.size == 0 or (values.min() >= limits.min and values.max() <= limits.max):
            return values.astype(dtype)
    return values.astype(np.int64)


def require_array(name, array, dtypes, shape):
    """Check an array's type, shape (None: any length) and that it is finite."""
    require(isinstance(array, np.ndarray), f"{name} must be a NumPy array.")
    names = " or ".join(np.dtype(dtype).name for dtype in dtypes)
    require(
        array.dtype in [np.dtype(dtype) for dtype in dtypes],
        f"{name} has dtype {array.dtype}, expected {names}.",
    )
    fits = array.ndim == len(shape) and all(
        want is None or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    require(fits, f"{name} has shape {array.shape}, expected {shape}.")
    if array.dtype.kind == "f":
        require(bool(np.isfinite(array).all()), f"{name} holds values that are not finite.")


def require_bits(name, words, n_bits):
    """Check that an array is a row of packed bits, with zeros for padding."""
    require_array(name, words, [np.uint64], (n_words(n_bits),))
    require(not (words & ~tail_mask(n_bits)).any(), f"Padding bits of {name} must be 0.")


class Immutable:
    """Base of frozen dataclasses that hold arrays.

    Pickling and copying go through the constructor, so that a copy is checked and its arrays are
    read-only again.
    """

    def freeze_arrays(self):
        """Make every array C-contiguous and read-only: a copy, unless nobody can write to it."""
        for field in fields(self):
            array = getattr(self, field.name)
            if not isinstance(array, np.ndarray):
                continue
            shared = isinstance(array.base, np.ndarray) and array.base.flags.writeable
            if shared or array.flags.writeable or not array.flags.c_contiguous:
                array = np.array(array, order="C")
                array.flags.writeable = False
                object.__setattr__(self, field.name, array)

    def __reduce__(self):
        """Rebuild a pickled or copied object from its fields."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self) if field.init)
