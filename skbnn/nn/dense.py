"""What dense blocks, coded and real ones, share: latent weights, and their first scale."""

import math

import numpy as np
import torch
from torch import nn

from skbnn.bits import pack_bits
from skbnn.nn.block import Block
from skbnn.nn.quantizers import make_quantizer
from skbnn.nn.randomness import Dropout
from skbnn.packed.values import BitMatrix

__all__ = ["Dense", "first_gain", "step_of"]


class Dense(Block):
    """What all dense blocks share: latent weights, their quantizer, dropout of the inputs.

    Parameters
    ----------
    n_in, n_units : int
        Inputs and units.
    technique : Technique
        Choices on every axis.
    init : float or None
        Range of the initial latent weights; None for Glorot's.
    dropout : float
        Fraction of the inputs dropped in training.
    generator : torch.Generator
        Source of randomness.
    """

    reads_codes = False

    def __init__(self, n_in, n_units, technique, *, init, dropout, generator):
        super().__init__()
        bound = math.sqrt(6 / (n_in + n_units)) if init is None else init
        latent = torch.empty(n_units, n_in).uniform_(-bound, bound, generator=generator)
        self.weight = nn.Parameter(latent)
        self.weight_quantizer = make_quantizer(
            "weights", technique.weights, generator=generator, n_units=n_units
        )
        self.dropout = Dropout(dropout, generator)

    @property
    def n_units(self):
        """Number of units."""
        return self.weight.shape[0]

    def weight_matrix(self):
        """Return the coded weights as the packed program stores them, and the unit of each unit.

        Returns
        -------
        matrix : BitMatrix
        unit : float, or float64 Tensor of shape (n_units,)
        """
        code = self.weight_quantizer.encode(self.weight.detach())
        scales, offsets = code.scales.numpy(), code.offset.numpy()
        # What all numbers of a unit share belongs to its unit; a single scale becomes 1.
        common = np.gcd.reduce(np.vstack([scales, offsets]))
        if self.weight_quantizer.shared_grid:
            common[:] = np.gcd.reduce(common) & -np.gcd.reduce(common)
        common = np.maximum(common, 1)
        scales, offsets = scales // common, offsets // common
        plain = len(scales) == 1 and bool((scales == 1).all() and (offsets == 0).all())
        matrix = BitMatrix(
            pack_bits(code.bits.numpy()),
            self.weight.shape[1],
            None if plain else scales.astype(np.int32),
            offsets.astype(np.int32) if offsets.any() else None,
        )
        unit = code.unit * torch.from_numpy(common).double()
        return matrix, unit if len(unit.unique()) > 1 else float(unit[0])


def step_of(n_in):
    """Return the power of two next to ``1 / sqrt(n_in)``: what one of n_in inputs is worth.

    Sums of n_in signs then have a size of about 1, whatever n_in, and remain multiples of a
    power of two, as a stream of integers needs.

    Parameters
    ----------
    n_in : int
        Inputs of a unit.

    Returns
    -------
    step : float
    """
    return 2.0 ** -round(math.log2(max(1, n_in)) / 2)


def first_gain(block):
    """Return the scale of class sums that starts training with logits of about +-3."""
    if block.weight.numel() == 0:
        return 1.0
    with torch.no_grad():
        weights = block.weight_quantizer(block.weight.detach())
    return 3.0 / math.sqrt(weights.shape[1] * float(weights.square().mean()))
