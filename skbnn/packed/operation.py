"""What an operation of a packed program is, and the registry of their names.

An operation is a frozen dataclass of read-only, fixed-width arrays and plain numbers. It says
what it takes and what it gives, and prepares a function from one block of rows to the next. It is
never trained and never edited.
"""

from abc import ABC, abstractmethod

import numpy as np

from skbnn.packed.checks import Immutable
from skbnn.packed.values import BitCode, BitImage, IntStream, Raw, Reals, Scores

__all__ = ["OPERATIONS", "Operation", "register", "require_operation"]

OPERATIONS = {}
"""Operation and transform classes by the name that a model file uses."""


def register(name):
    """Give a dataclass the name under which model files store it.

    Parameters
    ----------
    name : str
        Fixed forever once a version with it is released.
    """

    def decorate(cls):
        cls.kind = name
        OPERATIONS[name] = cls
        return cls

    return decorate


class Operation(Immutable, ABC):
    """One step of a packed program.

    Attributes
    ----------
    takes : BitCode, BitImage, IntStream, Raw or Reals
        Meaning of the array before.
    gives : BitCode, BitImage, IntStream, Reals or Scores
        Meaning of the array after.
    """

    takes: BitCode | BitImage | IntStream | Raw | Reals
    gives: BitCode | BitImage | IntStream | Reals | Scores

    @abstractmethod
    def prepare(self, kernels, real=np.float64):
        """Derive the kernels' own layouts and return the function that runs.

        Parameters
        ----------
        kernels : module
            :mod:`skbnn.bits.reference` or :mod:`skbnn.bits.kernels`.
        real : type, default=np.float64
            NumPy type in which real operations compute; integer ones do not look at it.

        Returns
        -------
        run : callable
            Maps an array of rows to a new array of rows.
        """


def require_operation(given):
    """Raise a ValueError unless what a program is given is an operation.

    Parameters
    ----------
    given : object
        Perhaps an operation.
    """
    # The message is made where it is needed alone: what an operation looks like in print takes
    # longer than all other checks of it.
    if not isinstance(given, Operation):
        raise ValueError(f"{given!r} is no operation.")
