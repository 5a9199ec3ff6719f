"""Random tensors from an explicit generator, and dropout built on them.

Torch's own dropout takes no generator and draws from the global one, which a library must not
touch. Numbers have 16 random bits, enough for a mask. They come from a stream that is seeded by one
draw of the generator: it is eight times as fast as the generator itself, and drawing masks was
a tenth of the time of training.
"""

import numpy as np
import torch
from torch import nn

from skbnn.nn.processes import ALONE

__all__ = ["Dropout", "make_generator", "uniform"]

_LEVELS = 1 << 16


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


def _levels(shape, generator, stream=0):
    """Return uint16 numbers, uniform in [0, 2**16), as an ndarray: four out of each 64-bit draw."""
    seed = torch.empty((), dtype=torch.int64).random_(generator=generator)
    count = torch.Size(shape).numel()
    draws = np.random.SFC64(int(seed) + stream).random_raw((count + 3) // 4)
    return draws.view(np.uint16)[:count].reshape(shape)


def uniform(shape, generator, device):
    """Return float32 numbers, uniform on the grid of multiples of ``2**-16`` in [0, 1).

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
    numbers = torch.from_numpy(_levels(shape, generator).astype(np.float32))
    return numbers.div_(_LEVELS).to(device)


class Dropout(nn.Module):
    """Dropout of the inputs of a product: in training, zero with probability ``p``.

    What is left is not scaled up, so that codes stay -1, 0 and +1; the product is multiplied by
    ``gain`` instead.

    Parameters
    ----------
    p : float
        Probability, in [0, 1).
    generator : torch.Generator
        Source of randomness; processes that share a batch draw masks of their own from it, and
        leave it in the same state.
    """

    processes = ALONE

    def __init__(self, p, generator):
        super().__init__()
        self.p = p
        self.generator = generator

    @property
    def gain(self):
        """What makes up for the dropped inputs: ``1 / (1 - p)`` in training, else 1."""
        return 1.0 / (1.0 - self.p) if self.training else 1.0

    def restore(self, z):
        """Return a product of dropped inputs, made up for them: ``gain`` times it."""
        gain = self.gain
        return z if gain == 1.0 else z * gain

    def forward(self, x):  # noqa: D102
        if not self.training or self.p == 0.0:
            return x
        kept = _levels(x.shape, self.generator, self.processes.rank) >= round(self.p * _LEVELS)
        return x * torch.from_numpy(kept.view(np.int8)).to(x.device, x.dtype)
