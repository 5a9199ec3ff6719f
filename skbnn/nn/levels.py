"""What all blocks that end in a quantizer of activations share: their code, and how it folds."""

import numpy as np
import torch

from skbnn.bits import pack_bits
from skbnn.nn.block import Block, Signal
from skbnn.nn.quantizers import make_quantizer
from skbnn.packed.checks import narrowest
from skbnn.packed.folding import fold_levels
from skbnn.packed.outputs import LevelCodes
from skbnn.packed.values import BitCode

__all__ = ["LevelBlock"]


class LevelBlock(Block):
    """A block that quantizes activations, each unit's a monotone function of an integer sum.

    A subclass has ``n_units``, the largest absolute sum of each unit as ``largest``, and
    :meth:`activation_of`.
    """

    def make_levels(self, technique, generator):
        """Build the quantizer of activations.

        Parameters
        ----------
        technique : Technique
            Activation quantizer and its surrogate.
        generator : torch.Generator
            Source of randomness.
        """
        self.activation_quantizer = make_quantizer(
            "activations",
            technique.activations,
            surrogate=technique.surrogate,
            generator=generator,
            n_units=self.n_units,
        )

    def activation_of(self, sums):
        """Return what is quantized for some integer sums.

        Parameters
        ----------
        sums : float64 Tensor of shape (n_units,)
            A sum for each unit.

        Returns
        -------
        activation : float64 Tensor of the same shape
        """
        raise TypeError(f"{type(self).__name__} defines no activation_of(sums).")

    def level_of(self, sums):
        """Return the level of each unit for integer sums, as ndarrays."""
        return self.activation_quantizer.level(self.activation_of(torch.from_numpy(sums))).numpy()

    @property
    def code(self):
        """What the activations of a row are."""
        stairs = self.activation_quantizer.staircase()
        return BitCode(self.n_units, tuple(stairs.scales.tolist()), int(stairs.offset))

    @property
    def gives_signs(self):
        """Whether the activations are plain signs, times a unit."""
        codes = self.activation_quantizer.staircase().codes
        return self.code.is_sign and codes.tolist() == [[False], [True]]

    def code_signal(self):
        """Return the code and its unit, as the next block takes it."""
        return Signal(self.code, self.activation_quantizer.staircase().unit)

    def fold_levels(self):
        """Return thresholds of each step and unit on the sums, and the units that fall.

        Returns
        -------
        thresholds : int16, int32 or int64 ndarray of shape (n_steps, n_units)
            The step is met where ``(sum >= threshold) != falls``.
        falls : bool ndarray of shape (n_units,)
        """
        n_levels = len(self.activation_quantizer.staircase().codes)
        largest = np.broadcast_to(self.largest, self.n_units)
        with torch.no_grad():
            thresholds, falls = fold_levels(self.level_of, largest, n_levels)
        # -x >= t is not (x >= 1 - t).
        return narrowest(np.where(falls, 1 - thresholds, thresholds)), falls

    @property
    def codes(self):
        """The code of each level as a number: bit k is that of plane k."""
        codes = self.activation_quantizer.staircase().codes.long()
        return tuple((codes << torch.arange(codes.shape[1])).sum(1).tolist())

    def level_codes(self):
        """Return thresholds and codes of all levels as an output transform."""
        thresholds, falls = self.fold_levels()
        code = self.code
        return LevelCodes(thresholds, pack_bits(falls), self.codes, code.scales, code.offset)
