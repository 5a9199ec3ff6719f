"""What all activations of a few levels share: steps on an integer grid, and what they are worth."""

import math

import torch

from skbnn.nn.quantizers.base import Quantizer
from skbnn.nn.quantizers.codes import Code
from skbnn.nn.quantizers.rounding import at_levels, snap, straight_through
from skbnn.nn.surrogates import within

__all__ = ["LevelActivations", "clipped_through"]

_MOST_STEPS = 127


class LevelActivations(Quantizer):
    """Base of activations of a few levels, which are monotone steps of the pre-activation.

    A subclass defines :meth:`staircase`, which is all that packing needs, and :meth:`learn`, which
    is the same function with its gradient. Where ``learn`` says what its result holds whole
    multiples of, -127 to 127 of them, by setting ``self.grain``, the product after it is one of
    8-bit integers.

    Parameters
    ----------
    surrogate : object with a ``backward`` method
        What stands in for the derivative of sign.
    generator : torch.Generator
        Source of all randomness.
    n_units : int
        Units, for quantizers with something learned for each of them.
    """

    coded = True
    steps = 64

    def staircase(self):
        """Return the levels as they are now.

        Returns
        -------
        staircase : Staircase
        """
        raise TypeError(f"{type(self).__name__} defines no staircase().")

    def learn(self, x):
        """Return the quantized activations in training, with their surrogate gradient.

        Parameters
        ----------
        x : Tensor of shape (..., n_units)
            Pre-activations.

        Returns
        -------
        x_q : Tensor of the same shape
        """
        raise TypeError(f"{type(self).__name__} defines no learn(x).")

    def forward(self, x):  # noqa: D102
        if self.training:
            # Not that of the result before, where learn says nothing.
            self.grain = type(self).grain
            return self.learn(x)
        return self.valued(x)

    def valued(self, x):
        """Return what the levels of pre-activations are worth, as their code does, and ``grain``.

        Parameters
        ----------
        x : Tensor of shape (..., n_units)
            Pre-activations; no gradient goes through.

        Returns
        -------
        x_q : Tensor of the same shape
        """
        with torch.no_grad():
            stairs = self.staircase()
            self._count(stairs.unit, stairs.scales, stairs.offset)
            return at_levels(x, stairs.thresholds, stairs.values())

    def _count(self, unit, *whole):
        """Keep a unit as ``grain`` if so many of it, in all, are few enough."""
        # As Python's integers: rounded, NaN is the least of 64 bits, and has no size among those.
        n_steps = sum(abs(n) for part in whole for n in part.flatten().tolist())
        self.grain = float(unit) if n_steps <= _MOST_STEPS else None

    def level(self, x):
        """Return the level of pre-activations.

        Parameters
        ----------
        x : Tensor of shape (..., n_units)
            Pre-activations.

        Returns
        -------
        level : int64 Tensor of the same shape
        """
        thresholds = self.staircase().thresholds.to(x.device, x.dtype)
        shape = (len(thresholds), *[1] * (x.ndim - 1), thresholds.shape[1])
        return (x >= thresholds.reshape(shape)).sum(0)

    def encode(self, x):  # noqa: D102
        with torch.no_grad():
            _, codes, scales, offset, unit = self.staircase()
            bits = codes.T.to(x.device)[:, self.level(x)]
        return Code(bits, scales, offset, unit)

    def worth(self, bit):
        """Return the value of an activation whose bits are all 0, or all 1.

        Parameters
        ----------
        bit : bool
            Which of the two.

        Returns
        -------
        worth : float
        """
        with torch.no_grad():
            _, _, scales, offset, unit = self.staircase()
        return float(offset + (scales.sum() if bit else -scales.sum())) * unit

    def snapped(self, *parts, counted=False):
        """Return real numbers on their common integer grid; gradients pass the rounding.

        Parameters
        ----------
        *parts : scalar Tensor
            Scales and offset.
        counted : bool, default=False
            Whether the result of ``learn`` is the offset and each scale times a sign, so that the
            step of the grid is its ``grain``.

        Returns
        -------
        parts : list of scalar Tensor
        """
        stacked = torch.stack([part.reshape(()) for part in parts])
        whole, unit = snap(stacked[:, None], self.steps)
        if counted:
            self._count(unit, whole)
        return list(straight_through(stacked, (whole * unit).to(stacked.dtype)[:, 0]))

    def grid(self, scales, offset):
        """Return real scales and offset as those of a :class:`Staircase`.

        Parameters
        ----------
        scales : Tensor of shape (n_planes,)
            Real scales.
        offset : Tensor of shape ()
            Real offset.

        Returns
        -------
        scales, offset : int64 Tensor
        unit : float
        """
        whole, unit = snap(torch.cat([scales, offset.reshape(1)])[:, None], self.steps)
        # Without a common factor numbers are as small as can be; a single scale becomes 1.
        common = max(1, math.gcd(*whole.flatten().tolist()))
        whole = whole[:, 0] // common
        return whole[:-1], whole[-1], float(unit) * common


class _ClippedThrough(torch.autograd.Function):
    """A value computed from x without gradient; the gradient goes to x where it is in a range."""

    @staticmethod
    def forward(ctx, x, value, low, high):
        ctx.save_for_backward(x)
        ctx.limits = low, high
        return value

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return within(grad, x, *ctx.limits), None, None, None


def clipped_through(x, value, low, high):
    """Return a value computed from x, with the gradient of x clipped to a range.

    Parameters
    ----------
    x : Tensor
        Numbers.
    value : Tensor of the same shape
        What is computed from them.
    low, high : float
        The range; at its ends the gradient still passes.

    Returns
    -------
    value : Tensor of the same shape
    """
    return _ClippedThrough.apply(x, value, low, high)
