"""Random tensors from an explicit generator, and dropout built on them.

Torch's own dropout takes no generator and draws from the global one, which a library must not
touch. Numbers have 15 random bits: enough for a mask, and several at once come out of each draw.
"""

import torch
from torch import nn

__all__ = ["Dropout", "make_generator", "uniform"]

_LEVELS = 1 << 15


def make_generator(seed=0):
    """Return a new generator on the CPU.

    Parameters
    ----------
    seed : int, default=0
        Its seed.

    Returns
    -------
    generator : torch.Generator
    """
    return torch.Generator().manual_seed(seed)


def _levels(shape, generator, device):
    """Return int16 numbers, uniform in [0, 2**15): four out of each 64-bit draw."""
    count = torch.Size(shape).numel()
    draws = torch.empty((count + 3) // 4, dtype=torch.int64, device=generator.device)
    numbers = draws.random_(generator=generator).view(torch.int16)[:count]
    return numbers.bitwise_and_(_LEVELS - 1).view(shape).to(device)


def uniform(shape, generator, device):
    """Return float32 numbers, uniform on the grid of multiples of ``2**-15`` in [0, 1).

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    generator : torch.Generator
        Source of randomness.
    device : torch.device
        Where the result goes.

    Returns
    -------
    numbers : float32 Tensor
    """
    return _levels(shape, generator, device).to(torch.float32).div_(_LEVELS)


class Dropout(nn.Module):
    """Dropout of the inputs of a product: in training, zero with probability ``p``.

    What is left is not scaled up, so that codes stay -1, 0 and +1; the product is multiplied by
    ``gain`` instead.

    Parameters
    ----------
    p : float
        Probability, in [0, 1).
    generator : torch.Generator
        Source of randomness.
    """

    def __init__(self, p, generator):
        super().__init__()
        self.p = p
        self.generator = generator

    @property
    def gain(self):
        """What makes up for the dropped inputs: ``1 / (1 - p)`` in training, else 1."""
        return 1.0 / (1.0 - self.p) if self.training else 1.0

    def forward(self, x):  # noqa: D102
        if not self.training or self.p == 0.0:
            return x
        return x * (_levels(x.shape, self.generator, x.device) >= round(self.p * _LEVELS))
