"""What a block is: the fused unit of a network, which knows how to become one operation."""

from itertools import pairwise
from typing import NamedTuple

from torch import nn

from skbnn.packed.values import BitCode, BitImage, IntStream, Reals

__all__ = ["Block", "Signal", "link"]


class Signal(NamedTuple):
    """What flows from one block to the next in a frozen network.

    Attributes
    ----------
    value : BitCode, BitImage, IntStream or Reals
        Meaning of the packed rows.
    unit : float
        Real value of one integer step of a code, a power of two.
    """

    value: BitCode | BitImage | IntStream | Reals
    unit: float = 1.0


class Block(nn.Module):
    """Weight quantizer, product, normalisation and activation quantizer as one unit.

    Because the block already is the fused layer, packing a network is packing its blocks one by
    one. A block that could not be packed raises ValueError when it is built, before training.
    """

    def forward(self, x, sample_weight=None):
        """Compute the block's activations, or class scores for a last block.

        Parameters
        ----------
        x : Tensor of shape (n, n_in)
            Rows.
        sample_weight : Tensor of shape (n,) or None
            Weight of each row in batch statistics.
        """
        raise TypeError(f"{type(self).__name__} defines no forward(x, sample_weight).")

    def read(self, source):
        """Learn what made the rows, before anything is computed; nothing to most blocks.

        Parameters
        ----------
        source : Input or Quantizer
            It says as ``grain`` what elements are whole multiples of, and by ``worth(bit)`` what an
            element is worth whose bits are all 0, or all 1.
        """

    def freeze(self, signal):
        """Snap real constants to the integers that the packed program stores, in float64.

        Parameters
        ----------
        signal : Signal
            What the block before gives.

        Returns
        -------
        signal : Signal
            What this block gives.
        """
        raise TypeError(f"{type(self).__name__} defines no freeze(signal).")

    def pack(self):
        """Return the frozen block as one operation.

        Returns
        -------
        operation : Operation
        """
        raise TypeError(f"{type(self).__name__} defines no pack().")


def link(blocks):
    """Let each block of a chain know which quantizer made what it reads.

    Parameters
    ----------
    blocks : sequence of Block
        The chain; what the first one reads is for others to say.
    """
    for before, block in pairwise(blocks):
        if hasattr(before, "activation_quantizer"):
            block.read(before.activation_quantizer)
