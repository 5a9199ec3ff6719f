"""What all weights of bits share: planes on an integer grid, and their product in training."""

import torch

from skbnn.nn.products import DENSE
from skbnn.nn.quantizers.base import Quantizer
from skbnn.nn.quantizers.codes import Code, Parts
from skbnn.nn.quantizers.rounding import snap, straight_through

__all__ = ["PlaneWeights"]

# P planes cost P + 2 products of 8 bits, dense ones 2 P + 1; three of float32 take four times each.
_FEW_PLANES = 4


class PlaneWeights(Quantizer):
    """Base of weights of any number of planes.

    A subclass defines :meth:`planes`, and :meth:`relaxed` unless its gradient is the identity; one
    in which both share work, :meth:`learn` too. Scales and offset of a unit are whole multiples of
    a step, ``steps`` of which are about the largest weight.

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
    steps = 256

    def planes(self, w):
        """Return the planes of latent weights; called without gradient.

        Parameters
        ----------
        w : Tensor of shape (n_units, n_in)
            Latent weights.

        Returns
        -------
        planes : Planes
        """
        raise TypeError(f"{type(self).__name__} defines no planes(w).")

    def relaxed(self, w):
        """Return what the weights are in the backward pass: a function of w with its gradient.

        Parameters
        ----------
        w : Tensor of shape (n_units, n_in)
            Latent weights.

        Returns
        -------
        relaxed : Tensor of the same shape
        """
        return w

    def learn(self, w):
        """Return the weights and their gradient; override it where both share work.

        Parameters
        ----------
        w : Tensor of shape (n_units, n_in)
            Latent weights.

        Returns
        -------
        parts : Parts
            Without gradient: ``parts.value()`` is ``encode(w).decode(w.dtype)``, bit for bit.
        relaxed : Tensor of the shape of w
            See :meth:`relaxed`.
        """
        with torch.no_grad():
            parts = self.parts(self.planes(w.detach()), w.dtype)
        return parts, self.relaxed(w)

    def _is(self, kind):
        """Whether planes and gradient are those of a class, so that it may do both at once."""
        own = type(self)
        return own.planes is kind.planes and own.relaxed is kind.relaxed

    def forward(self, w):  # noqa: D102
        parts, relaxed = self.learn(w)
        return straight_through(relaxed, parts.value())

    def product(self, x, weight, *, grain=1.0, kind=DENSE):  # noqa: D102
        is_plain = type(self).forward is PlaneWeights.forward
        if not (is_plain and grain and kind.is_fast(x, weight)):
            return super().product(x, weight, grain=grain, kind=kind)
        parts, relaxed = self.learn(weight)
        if len(parts.planes) > _FEW_PLANES:
            return kind.plain(x, straight_through(relaxed, parts.value()))
        return kind.planes(x, relaxed, parts, grain)

    def parts(self, planes, dtype):
        """Return weights as they are in training.

        Parameters
        ----------
        planes : Planes
            What :meth:`planes` returns, without gradient.
        dtype : torch.dtype
            Of their sizes and their offset.

        Returns
        -------
        parts : Parts
        """
        bits, scales, offset, unit = self._snapped(planes)
        return Parts(
            bits.to(torch.int8) * 2 - 1,
            (scales * unit).to(dtype),
            None if planes.offset is None else (offset * unit).to(dtype),
        )

    def encode(self, x):  # noqa: D102
        with torch.no_grad():
            code = self._snapped(self.planes(x))
        return code._replace(bits=code.bits.bool())

    def _snapped(self, planes):
        """Return planes as a code, with the bits as they are."""
        bits, scales, offset = planes
        offset = torch.zeros_like(scales[0]) if offset is None else offset
        whole, unit = snap(torch.cat([scales, offset[None]]), self.steps, shared=self.shared_grid)
        return Code(bits, whole[:-1], whole[-1], unit)
