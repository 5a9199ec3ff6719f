"""What quantizers make: tensors as bit planes, real planes, and functions of a few levels."""

from typing import NamedTuple

import torch

__all__ = ["Code", "Planes", "Staircase"]


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
        value = spread(self.offset.to(unit.device) * unit)
        for bits, scale in zip(self.bits, self.scales.to(unit.device) * unit, strict=True):
            value = value + spread(scale) * (bits.to(dtype) * 2 - 1)
        return value


class Planes(NamedTuple):
    """Weights as planes of bits with real scales: ``offset + sum_k scales[k] * b_k``.

    Parameters
    ----------
    bits : bool Tensor of shape (n_planes, n_units, n_in)
        Plane by plane; True means +1.
    scales : Tensor of shape (n_planes, n_units)
        Scale of each plane of each unit.
    offset : Tensor of shape (n_units,) or None
        Worth of a weight apart from its bits; None for nothing.
    """

    bits: torch.Tensor
    scales: torch.Tensor
    offset: torch.Tensor | None = None


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
