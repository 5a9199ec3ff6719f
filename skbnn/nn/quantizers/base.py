"""What a quantizer is, and what all that quantize weights, or activations, have in common.

A quantizer is a small module with two faces. ``forward(x)`` gives the quantized tensor in
training, with a surrogate gradient in its backward pass. ``encode(x)`` gives the same tensor as a
bit-plane code,

    ``x_q = unit * (offset + sum_k scales[k] * b_k)``, each ``b_k`` in {-1, +1},

with integer ``scales`` and ``offset`` and a ``unit`` that is a short dyadic number, so that frozen
networks compute exactly in float64 what the packed program computes in integers. Every technique
reduces to this one form; see :mod:`skbnn.packed`.

Learned scales are on the code's integer grid in training already, with gradients that pass the
rounding, so that freezing a network changes nothing: :mod:`~skbnn.nn.quantizers.weights` and
:mod:`~skbnn.nn.quantizers.activations` see to it, and a quantizer derived from theirs says only
where its bits and levels lie, and what their gradient is.
"""

from types import MappingProxyType

import torch
from torch import nn

from skbnn.nn.processes import ALONE
from skbnn.nn.products import DENSE, unit_sizes
from skbnn.nn.quantizers.codes import Parts

__all__ = ["Quantizer"]


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
    grain : float or None
        Of activations: what the last result holds whole multiples of, -127 to 127 of them; None
        where that is not known.
    shared_grid : bool
        Whether all units of weights must have the same ``unit``; set where their sums are added.
    rates : mapping of str to float
        Of parameters that do not learn at the network's rate: at what share of it.
    processes : Processes
        Who shares the batches; a quantizer that learns from whole batches sums over them.
    """

    coded = False
    processes = ALONE
    grain = None
    shared_grid = False
    rates = MappingProxyType({})

    def __init__(self, *, surrogate=None, generator=None, n_units=1):
        super().__init__()
        self.surrogate = surrogate
        self.generator = generator
        self.n_units = n_units
        self.progress = 0.0

    def product(self, x, weight, *, grain=1.0, kind=DENSE):
        """Return the product of coded rows with the quantized weights.

        It is one of 8-bit integers where rows allow it and the weights of each unit are -1, 0 and
        +1 times one number.

        Parameters
        ----------
        x : float Tensor of shape (n, n_in)
            Rows.
        weight : float Tensor of shape (n_units, n_in)
            Latent weights.
        grain : float or None, default=1.0
            What rows are whole multiples of, at most 127 of them; None for rows of any numbers.
        kind : Dense or Convolution, default=DENSE
            What the product is.

        Returns
        -------
        z : Tensor of shape (n, n_units)
            ``kind.plain(x, forward(weight))``; override it where that can be had faster.
        """
        quantized = self(weight)
        is_fast = grain and kind.is_fast(x, quantized)
        sizes = unit_sizes(quantized) if is_fast else None
        if sizes is None:
            return kind.plain(x, quantized)
        planes = quantized.detach().sign().to(torch.int8)[None]
        parts = Parts(planes) if bool((sizes == 1).all()) else Parts(planes, sizes[None])
        return kind.planes(x, quantized, parts, grain)

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
