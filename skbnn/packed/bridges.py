"""Between reals and codes: what networks need whose first and last layers are real.

A real first layer ends in levels of real numbers, a real last one reads the worths of codes.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from skbnn.bits import n_words, pack_bits, unpack_bits
from skbnn.packed.checks import require, require_array
from skbnn.packed.operation import Operation, register
from skbnn.packed.values import BitCode, BitImage, Reals

__all__ = ["CodeReals", "RealLevels"]


@register("real-levels")
@dataclass(frozen=True, eq=False)
class RealLevels(Operation):
    """Reals as codes: the level of an element is the number of its unit's thresholds that it meets.

    Parameters
    ----------
    thresholds : float32 ndarray of shape (n_steps, n_units)
        Thresholds, rising from step to step.
    codes : tuple of int
        Code of each level from the lowest: bit k is the bit of plane k.
    gives : BitCode or BitImage
        What becomes of a row; its last axis is that of the units.
    """

    thresholds: np.ndarray
    codes: tuple[int, ...]
    gives: BitCode | BitImage

    def __post_init__(self):
        require_array("thresholds", self.thresholds, [np.float32], (None, self._shape[-1]))
        require(len(self.codes) == len(self.thresholds) + 1, "Each level needs its code.")
        known = all(0 <= code < 1 << len(self.gives.scales) for code in self.codes)
        require(known, "A code has a bit that belongs to no plane.")
        self.freeze_arrays()

    @property
    def _shape(self):
        return self.gives.shape if isinstance(self.gives, BitImage) else (self.gives.n_bits,)

    @property
    def takes(self):
        """Real rows."""
        return Reals(self.gives.width)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        thresholds, shape = self.thresholds.astype(real), self._shape
        changes = [below ^ above for below, above in pairwise(self.codes)]

        def run(rows):
            elements = rows.reshape(len(rows), *shape)
            out = np.empty(
                (len(rows), len(self.gives.scales), *shape[:-1], n_words(shape[-1])), np.uint64
            )
            for k in range(out.shape[1]):
                bits = np.full(elements.shape, bool(self.codes[0] >> k & 1))
                for limits, change in zip(thresholds, changes, strict=True):
                    if change >> k & 1:
                        bits ^= elements >= limits
                out[:, k] = pack_bits(bits)
            return out

        return run


@register("code-reals")
@dataclass(frozen=True, eq=False)
class CodeReals(Operation):
    """The worths of codes as reals.

    Parameters
    ----------
    takes : BitCode or BitImage
        The code.
    """

    takes: BitCode | BitImage

    @property
    def gives(self):
        """Real rows."""
        return Reals(self.takes.width)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        code = self.takes
        width = code.shape[2] if isinstance(code, BitImage) else code.n_bits

        def run(rows):
            worths = np.full((len(rows), *rows.shape[2:-1], width), real(code.offset))
            for k, scale in enumerate(code.scales):
                worths += np.where(unpack_bits(rows[:, k], width), real(scale), real(-scale))
            return worths.reshape(len(rows), code.width)

        return run
