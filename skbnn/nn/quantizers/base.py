"""What a quantizer is, and what all that quantize weights, or activations, have in common.

A quantizer is a small module with two faces. ``forward(x)`` gives the quantized tensor in
training, with a surrogate gradient in its backward pass. ``encode(x)`` gives the same tensor as a
bit-plane code,

    ``x_q = unit * (offset + sum_k scales[k] * b_k)``, each ``b_k`` in {-1, +1},

with integer ``scales`` and ``offset`` and a ``unit`` that is a short dyadic number, so that frozen
networks compute exactly in float64 what the packed program computes in integers. Every technique
reduces to this one form; see :mod:`skbnn.packed`.

Learned scales are on the code's integer grid in training already, with gradients that pass the
rounding, so that freezing a network changes nothing: :class:`PlaneWeights` and
:class:`LevelActivations` see to it, and a quantizer derived from one of them says only where its
bits and levels lie, and what their gradient is.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from skbnn.nn.processes import ALONE
from skbnn.nn.products import is_fast, plane_product, scaled_product
from skbnn.nn.quantizers.codes import Code, Parts
from skbnn.nn.quantizers.rounding import snap, straight_through

__all__ = ["LevelActivations", "PlaneWeights", "Quantizer"]

# P planes cost 2 P + 1 products of 8 bits; three of float32 take four times as long each.
_FEW_PLANES = 4
_MOST_STEPS = 127


class Quantizer(nn.Module):
    """Base of all quantizers.

    A subclass defines ``forward``; one whose result bits can store also sets ``coded = True`` and
    defines ``encode``. Its constructor takes the keywords below and may ignore them.

    Parameters
    ----------
    surrogate : object with a ``backward`` method
        What stands in for the derivative of sign.
    generator : torch.Generator
        Source of all randomness.
    n_units : int
        Units, for quantizers with something learned for each of them.

    Attributes
    ----------
    coded : bool
        Whether ``encode`` exists, so that the packed program can hold the result as bits.
    progress : float
        Share of the fit that is done, in [0, 1]; set by the training loop.
    gives_signs : bool
        Whether the result holds -1 and +1 alone, whatever is learned.
    grain : float or None
        Of activations: what the last result holds whole multiples of, -127 to 127 of them; None
        where that is not known.
    shared_grid : bool
        Whether all units of weights must have the same ``unit``; set where their sums are added.
    processes : Processes
        Who shares the batches; a quantizer that learns from whole batches sums over them.
    """

    coded = False
    processes = ALONE
    gives_signs = False
    grain = None
    shared_grid = False

    def __init__(self, *, surrogate=None, generator=None, n_units=1):
        super().__init__()
        self.surrogate = surrogate
        self.generator = generator
        self.n_units = n_units
        self.progress = 0.0

    def product(self, x, weight, *, grain=1.0):
        """Return the product of coded rows with the quantized weights.

        Parameters
        ----------
        x : float Tensor of shape (n, n_in)
            Rows.
        weight : float Tensor of shape (n_units, n_in)
            Latent weights.
        grain : float or None, default=1.0
            What rows are whole multiples of, at most 127 of them; None for rows of any numbers.

        Returns
        -------
        z : Tensor of shape (n, n_units)
            ``x @ forward(weight).T``; override it where that can be had faster.
        """
        quantized = self(weight)
        is_whole = grain == 1.0
        return (scaled_product if is_whole else F.linear)(x.to(quantized.dtype), quantized)

    def normalized(self, z, normalizer, sample_weight=None):
        """Return the quantized results of a normaliser.

        Parameters
        ----------
        z : Tensor of shape (n, n_units)
            Sums.
        normalizer : Module
            See :mod:`skbnn.nn.normalizers`.
        sample_weight : Tensor of shape (n,) or None
            Weight of each row in the statistics of the batch.

        Returns
        -------
        x_q : Tensor of shape (n, n_units)
            ``forward(normalizer(z, sample_weight))``; override it where that can be had faster.
        """
        return self(normalizer(z, sample_weight))

    def encode(self, x):
        """Return the quantized tensor as a bit-plane code.

        Parameters
        ----------
        x : Tensor
            Latent weights of shape (n_units, n_in), or pre-activations.

        Returns
        -------
        code : Code

        Raises
        ------
        TypeError
            If the quantizer's result is real.
        """
        raise TypeError(f"{type(self).__name__} gives real values; it has no bit-plane code.")


class PlaneWeights(Quantizer):
    """Base of weights of any number of planes.

    A subclass defines :meth:`planes`, and :meth:`relaxed` unless its gradient is the identity; one
    in which both share work, :meth:`learn` too.
    Scales and offset of a unit are whole multiples of a step, ``steps`` of which are about the
    largest weight.

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

    def product(self, x, weight, *, grain=1.0):  # noqa: D102
        is_plain = type(self).forward is PlaneWeights.forward
        if not (is_plain and grain and is_fast(x, weight)):
            return super().product(x, weight, grain=grain)
        parts, relaxed = self.learn(weight)
        if len(parts.planes) > _FEW_PLANES:
            return F.linear(x.to(weight.dtype), straight_through(relaxed, parts.value()))
        return plane_product(x, relaxed, parts, grain)

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
        return self.decoded(self.encode(x), x.dtype)

    def decoded(self, code, dtype):
        """Return what a code stands for, and keep its unit as ``grain`` where 8 bits count it.

        Parameters
        ----------
        code : Code
            Of activations.
        dtype : torch.dtype
            Of the result.

        Returns
        -------
        x_q : Tensor of the shape of one plane
        """
        self._count(code.unit, code.scales, code.offset)
        return code.decode(dtype)

    def _count(self, unit, *whole):
        """Keep a unit as ``grain`` if so many of it, in all, are few enough."""
        is_known = sum(int(n.abs().sum()) for n in whole) <= _MOST_STEPS
        self.grain = float(unit) if is_known else None

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
