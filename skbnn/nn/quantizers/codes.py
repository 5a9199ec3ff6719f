"""What quantizers make: tensors as bit planes, real planes, and functions of a few levels."""

from typing import NamedTuple

import torch

__all__ = ["Code", "Parts", "Planes", "Staircase"]


class Code(NamedTuple):
    """A tensor as bit planes: ``unit * (offset + sum_k scales[k] * b_k)``.

    Parameters
    ----------
    bits : bool Tensor of shape (n_planes, ...)
        Plane by plane; True means +1.
    scales : int64 Tensor of shape (n_planes,), or (n_planes, n_units) for weights
        Integer scale of each plane.
    offset : int64 Tensor of shape (), or (n_units,) for weights
        Integer offset.
    unit : float, or float64 Tensor of shape (n_units,) for weights
        Real value of one integer step: a power of two, or one times a small whole number.
    """

    bits: torch.Tensor
    scales: torch.Tensor
    offset: torch.Tensor
    unit: float | torch.Tensor

    def decode(self, dtype=torch.float64):
        """Return the tensor that the code stands for.

        Parameters
        ----------
        dtype : torch.dtype, default=torch.float64
            Of the result.

        Returns
        -------
        x_q : Tensor of the shape of one plane
        """
        rank = self.bits.ndim - self.scales.ndim

        def spread(t):
            return t.to(self.bits.device, dtype).reshape(*t.shape, *[1] * rank)

        unit = torch.as_tensor(self.unit, dtype=torch.float64, device=self.bits.device)
        # All steps are exact: whole numbers times a power of two.
        scales = self.scales.to(unit.device)
        first, *rest = self.bits
        steps = [spread(scale) for scale in 2 * scales * unit]
        value = (first.to(dtype) * steps[0]).add_(
            spread((self.offset.to(unit.device) - scales.sum(0)) * unit)
        )
        for bits, step in zip(rest, steps[1:], strict=True):
            value.addcmul_(bits.to(dtype), step)
        return value


class Planes(NamedTuple):
    """Weights as planes of bits with real scales: ``offset + sum_k scales[k] * b_k``.

    Parameters
    ----------
    bits : Tensor of shape (n_planes, n_units, n_in)
        Plane by plane; True, or 1 in a tensor of numbers, means +1.
    scales : Tensor of shape (n_planes, n_units)
        Scale of each plane of each unit.
    offset : Tensor of shape (n_units,) or None
        Worth of a weight apart from its bits; None for nothing.
    """

    bits: torch.Tensor
    scales: torch.Tensor
    offset: torch.Tensor | None = None


class Parts(NamedTuple):
    """Weights as 8-bit planes in training: ``offset + sum_k sizes[k] * planes[k]``.

    Parameters
    ----------
    planes : int8 Tensor of shape (n_planes, n_units, n_in)
        Plane by plane: -1 and +1, or 0 and 1.
    sizes : Tensor of shape (n_planes, n_units) or None
        What each plane of each unit is worth, a number of few binary digits; None for a single
        plane that is worth 1.
    offset : Tensor of shape (n_units,) or None
        Worth of a weight apart from its planes; None for nothing.
    """

    planes: torch.Tensor
    sizes: torch.Tensor | None = None
    offset: torch.Tensor | None = None

    def value(self):
        """Return the weights, of the dtype of the sizes."""
        if self.sizes is None:
            return self.planes[0].float()
        (first, *rest), (size, *sizes) = self.planes, self.sizes
        value = first * size[:, None]
        for plane, size in zip(rest, sizes, strict=True):
            value.addcmul_(plane.to(value.dtype), size[:, None])
        return value if self.offset is None else value.add_(self.offset[:, None])


class Staircase(NamedTuple):
    """A function of a few levels: as many thresholds as x reaches, and what each level is.

    Parameters
    ----------
    thresholds : Tensor of shape (n_steps, 1) or (n_steps, n_units)
        Thresholds, rising from step to step: x has the level ``sum_l [x >= thresholds[l]]``.
    codes : bool Tensor of shape (n_steps + 1, n_planes)
        The bits of each level.
    scales : int64 Tensor of shape (n_planes,)
        Integer scale of each plane.
    offset : int64 Tensor of shape ()
        Integer offset.
    unit : float
        Real value of one integer step: a power of two, times a whole number of few bits.
    """

    thresholds: torch.Tensor
    codes: torch.Tensor
    scales: torch.Tensor
    offset: torch.Tensor
    unit: float

    def values(self):
        """Return what each level is worth.

        Returns
        -------
        values : float64 Tensor of shape (n_steps + 1,)
        """
        # No product of integers: GPUs have none.
        signs = self.codes.to(self.scales.device).long() * 2 - 1
        return (self.offset + (signs * self.scales).sum(1)).double() * self.unit
