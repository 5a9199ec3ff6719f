"""Attention in training: what becomes :mod:`skbnn.packed.attention`.

In a coded attention queries, keys and values are -1 or +1 and attention is in {0, 1}: a rule
decides from a row of scores which tokens a token sums the values of. Rules differ in what they
compare a score with, and each has a learned number for each head.
"""

import math

import numpy as np
import torch
from torch import nn

from skbnn.bits import pack_bits
from skbnn.nn.block import Block, Signal
from skbnn.nn.levels import LevelBlock
from skbnn.nn.named import named
from skbnn.nn.normalizers import BatchNorm
from skbnn.nn.quantizers import make_quantizer, straight_through
from skbnn.packed import attention as packed
from skbnn.packed.checks import narrowest
from skbnn.packed.levels import AttentionLevels
from skbnn.packed.values import Reals

__all__ = [
    "CodedAttention",
    "RealAttention",
    "RowMaximum",
    "ScoreThreshold",
    "SoftmaxShare",
    "TokenBits",
    "TokenPlanes",
    "TokenReals",
    "make_rule",
]


class Rule(nn.Module):
    """Which tokens a token attends to: from scores to attention in {0, 1}.

    Parameters
    ----------
    n_heads, size : int
        Heads, and bits of each.
    n_tokens : int
        Tokens that can be attended to.
    technique : Technique
        Its surrogate stands in for the derivative of a step.
    generator : torch.Generator
        Source of randomness.
    """

    def __init__(self, n_heads, size, n_tokens, technique, generator):
        super().__init__()
        self.size = size
        self.step = make_quantizer(
            "activations", "sign", surrogate=technique.surrogate, generator=generator
        )
        self.packed = None

    def forward(self, scores):
        """Return attention.

        Parameters
        ----------
        scores : Tensor of shape (n, n_heads, n_tokens, n_tokens)
            Products of queries and keys.

        Returns
        -------
        attention : Tensor of the same shape
            0 and 1.
        """
        if self.packed is None:
            return self.choose(scores / math.sqrt(self.size))
        return self.choose_exactly((self.size - scores) / 2).to(scores.dtype)

    def choose(self, scores):
        """Return attention from scores divided by the root of the head's size, in training."""
        raise TypeError(f"{type(self).__name__} defines no choose(scores).")

    def choose_exactly(self, mismatches):
        """Return what the packed rule chooses, as bool, from whole numbers of mismatches."""
        raise TypeError(f"{type(self).__name__} defines no choose_exactly(mismatches).")

    def freeze(self):
        """Snap the learned numbers to those of the packed rule, which becomes ``packed``."""
        raise TypeError(f"{type(self).__name__} defines no freeze().")

    def _ones(self, x):
        """Return 1 where ``x >= 0`` and 0 elsewhere, with the surrogate's gradient."""
        return (self.step(x) + 1) / 2

    def _limit(self, margins):
        """Return how many mismatches take a score down by some margins, at most."""
        limits = torch.floor(margins.detach().double() * (math.sqrt(self.size) / 2))
        return narrowest(limits.clamp(-1, self.size).numpy().astype(np.int64))

    def _frozen_limits(self):
        return torch.from_numpy(self.packed.limits.astype(np.float64))[:, None, None]


class ScoreThreshold(Rule):
    """Attend where ``score / sqrt(size) >= threshold``, a learned threshold for each head.

    References
    ----------
    Qin et al., BiBERT, ICLR 2022, arXiv 2203.06390, whose threshold is 0.
    """

    def __init__(self, n_heads, *args):
        super().__init__(n_heads, *args)
        self.threshold = nn.Parameter(torch.full((n_heads,), 0.5))

    def choose(self, scores):  # noqa: D102
        return self._ones(scores - self.threshold[:, None, None])

    def choose_exactly(self, mismatches):  # noqa: D102
        return mismatches <= self._frozen_limits()

    def freeze(self):  # noqa: D102
        margins = math.sqrt(self.size) - self.threshold
        self.packed = packed.ScoreThreshold(self._limit(margins))


class RowMaximum(Rule):
    """Attend where ``score / sqrt(size)`` is within a margin of the query's best.

    The margin, learned for each head, starts at ``ln 4``: a quarter of the best key's softmax.

    References
    ----------
    He et al., BiViT, ICCV 2023, arXiv 2211.07091, whose margin is fixed.
    """

    def __init__(self, n_heads, *args):
        super().__init__(n_heads, *args)
        self.margin = nn.Parameter(torch.full((n_heads,), math.log(4)))

    def choose(self, scores):  # noqa: D102
        margin = self.margin.clamp(min=0)[:, None, None]
        return self._ones(scores - scores.amax(3, keepdim=True) + margin)

    def choose_exactly(self, mismatches):  # noqa: D102
        return mismatches - mismatches.amin(3, keepdim=True) <= self._frozen_limits()

    def freeze(self):  # noqa: D102
        self.packed = packed.RowMaximum(self._limit(self.margin.clamp(min=0)))


class SoftmaxShare(Rule):
    """Elastic attention: ``round(clip(softmax(score / sqrt(size)) / alpha, 0, 1))``.

    ``alpha``, learned for each head, starts at four times the mean of the softmax; gradients pass
    the rounding unchanged. Frozen, exponentials are a table of integers, by mismatches beyond
    those of the best key.

    References
    ----------
    Liu et al., BiT, NeurIPS 2022, arXiv 2205.13016.
    """

    def __init__(self, n_heads, size, n_tokens, *args):
        super().__init__(n_heads, size, n_tokens, *args)
        self.log_alpha = nn.Parameter(torch.full((n_heads,), math.log(min(1, 4 / n_tokens))))

    def _alpha(self):
        # Half of it is the least share, which cannot be more than 1.
        return torch.exp(self.log_alpha.clamp(max=math.log(2)))

    def choose(self, scores):  # noqa: D102
        share = (torch.softmax(scores, 3) / self._alpha()[:, None, None]).clamp(0, 1)
        return straight_through(share, (share.detach() >= 0.5).to(share.dtype))

    def choose_exactly(self, mismatches):  # noqa: D102
        table = torch.from_numpy(self.packed.table.astype(np.float64))
        shares = torch.from_numpy(self.packed.shares.astype(np.float64))[:, None, None]
        weights = table[(mismatches - mismatches.amin(3, keepdim=True)).long()]
        # Whole numbers below 2^53, so exact.
        return weights * packed.SHARE_ONE >= shares * weights.sum(3, keepdim=True)

    def freeze(self):  # noqa: D102
        falls = np.exp(-2 * np.arange(self.size + 1) / math.sqrt(self.size))
        table = np.round(packed.TABLE_ONE * falls).astype(np.int32)
        shares = (self._alpha().detach().double() / 2 * packed.SHARE_ONE).round()
        shares = shares.clamp(max=packed.SHARE_ONE).numpy().astype(np.int32)
        self.packed = packed.SoftmaxShare(table, shares)


_RULES = {"threshold": ScoreThreshold, "row-max": RowMaximum, "softmax": SoftmaxShare}


def make_rule(rule, *args):
    """Return a new rule of attention.

    Parameters
    ----------
    rule : {"threshold", "row-max", "softmax"} or callable
        A name, or a class or callable with the arguments of :class:`Rule`.
    *args
        Those arguments.

    Returns
    -------
    rule : Rule

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    return named("attention", _RULES, rule)(*args)


class _Heads(torch.autograd.Function):
    """Queries, keys and values, each of shape (n, n_heads, n_tokens, size).

    What torch would do on the way back, to stack three gradients and then turn the stack, takes
    thrice as long as to put each in its place.
    """

    @staticmethod
    def forward(ctx, x, n_heads):
        parts = x.flatten(1, 2).unflatten(2, (3, n_heads, -1)).permute(2, 0, 3, 1, 4)
        ctx.shape = x.shape
        return tuple(part.contiguous() for part in parts)

    @staticmethod
    def backward(ctx, *grads):
        n, n_heads, n_tokens, size = grads[0].shape
        grad = grads[0].new_empty(n, n_tokens, 3, n_heads, size)
        for part, given in enumerate(grads):
            grad[:, :, part] = given.transpose(1, 2)
        return grad.view(ctx.shape), None


class CodedAttention(LevelBlock):
    """Attention of bits: scores, rule, sums of values, batch norm, quantizer.

    Queries, keys and values come as 3 * n_units signs of each token, head after head.

    Parameters
    ----------
    places : tuple of two ints
        Lines and columns of tokens.
    n_units, n_heads : int
        Units of all heads together, and heads.
    technique : Technique
        Activation quantizer and its surrogate.
    rule : str or callable
        See :func:`make_rule`.
    generator : torch.Generator
        Source of randomness.
    """

    def __init__(self, places, n_units, n_heads, technique, rule, generator):
        super().__init__()
        self.places, self.n_units, self.n_heads = tuple(places), n_units, n_heads
        self.largest = self.n_tokens = math.prod(places)
        size = n_units // n_heads
        self.rule = make_rule(rule, n_heads, size, self.n_tokens, technique, generator)
        self.normalizer = BatchNorm(n_units)
        self.make_levels(technique, generator)

    def forward(self, x, sample_weight=None):  # noqa: D102
        queries, keys, values = _Heads.apply(x, self.n_heads)
        attention = self.rule(queries @ keys.transpose(2, 3))
        sums = (attention @ values).transpose(1, 2).reshape(-1, self.n_units)
        if sample_weight is not None:
            sample_weight = sample_weight.repeat_interleave(self.n_tokens)
        codes = self.activation_quantizer.normalized(sums, self.normalizer, sample_weight)
        return codes.view(len(x), *self.places, self.n_units)

    def freeze(self, signal):  # noqa: D102
        self.rule.freeze()
        given = self.code_signal()
        return given._replace(value=given.value.at_places(self.places))

    def activation_of(self, sums):  # noqa: D102
        return self.normalizer(sums)

    def pack(self):  # noqa: D102
        if not self.gives_signs:
            return AttentionLevels(self.places, self.rule.packed, self.level_codes())
        (thresholds,), falls = self.fold_levels()
        return packed.Attention(self.places, self.rule.packed, thresholds, pack_bits(falls))


class RealAttention(Block):
    """Attention of reals: ``softmax(Q K' / sqrt(size)) V`` in each head.

    Parameters
    ----------
    places, n_units, n_heads, technique, rule, generator
        As :class:`CodedAttention` has them; a rule is for bits, and not looked at.
    """

    def __init__(self, places, n_units, n_heads, technique, rule, generator):
        super().__init__()
        self.places, self.n_units, self.n_heads = tuple(places), n_units, n_heads

    def forward(self, x, sample_weight=None):  # noqa: D102
        queries, keys, values = _Heads.apply(x, self.n_heads)
        scores = queries @ keys.transpose(2, 3) / math.sqrt(self.n_units // self.n_heads)
        sums = torch.softmax(scores, 3) @ values
        return sums.transpose(1, 2).reshape(len(x), *self.places, self.n_units)

    def freeze(self, signal):  # noqa: D102
        return Signal(Reals(math.prod(self.places) * self.n_units))

    def pack(self):  # noqa: D102
        return packed.RealAttention(math.prod(self.places), self.n_units, self.n_heads)


class _Tokens(Block):
    """The elements of a row, shared out to tokens of equal length.

    Parameters
    ----------
    operation : TokenBits, TokenPlanes or TokenReals
        The packed operation.
    """

    missing = 0.0

    def __init__(self, operation):
        super().__init__()
        self.operation = operation
        # What a token lacks comes from behind the last element.
        order = operation.order % (operation.takes.width + 1)
        self.register_buffer("order", torch.from_numpy(order), persistent=False)

    def forward(self, x, sample_weight=None):  # noqa: D102
        padded = nn.functional.pad(x, (0, 1), value=self.missing)
        # Four times as fast as to index.
        order = self.order.reshape(1, -1).expand(len(x), -1)
        shape = (len(x), *self.operation.places, self.order.shape[-1])
        return padded.gather(1, order).reshape(shape)

    def freeze(self, signal):  # noqa: D102
        return signal._replace(value=self.operation.gives)

    def pack(self):  # noqa: D102
        return self.operation


class TokenBits(_Tokens):
    """Bits shared out to tokens; what a token lacks is -1."""

    missing = -1.0


class TokenPlanes(_Tokens):
    """Pixels of 8 bits shared out to tokens; what a token lacks is 0, whose bits are all 0."""


class TokenReals(_Tokens):
    """Numbers shared out to tokens; what a token lacks is 0."""
