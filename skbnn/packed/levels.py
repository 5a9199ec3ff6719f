"""Streams and attention whose results are codes of several levels, not plain signs.

Both end in :class:`~skbnn.packed.outputs.LevelCodes` instead of one threshold for each unit.
"""

import math
from dataclasses import dataclass

import numpy as np

from skbnn.packed.attention import RowMaximum, ScoreThreshold, SoftmaxShare, check_attention
from skbnn.packed.checks import require
from skbnn.packed.operation import Operation, register
from skbnn.packed.outputs import LevelCodes
from skbnn.packed.values import BitImage, IntStream

__all__ = ["AttentionLevels", "StreamLevels"]


@register("stream-levels")
@dataclass(frozen=True, eq=False)
class StreamLevels(Operation):
    """The stream as codes: a level for each channel of each place.

    Parameters
    ----------
    takes : IntStream
        The stream: lines, columns and channels.
    output : LevelCodes
        Thresholds and codes of each channel.
    """

    takes: IntStream
    output: LevelCodes

    def __post_init__(self):
        require(len(self.takes.shape) == 3, "A stream has lines, columns and channels.")
        same = self.output.n_units == self.takes.shape[2]
        require(same, "Stream and output differ in channels.")
        self.output.check(self.takes.largest)

    @property
    def gives(self):
        """The code, at each place."""
        return self.output.gives.at_places(self.takes.shape[:2])

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        *places, channels = self.takes.shape
        finish, code = self.output.prepare(kernels, self.takes.dtype), self.output.gives
        return lambda stream: code.join(finish(stream.reshape(-1, channels)), places)


@register("attention-levels")
@dataclass(frozen=True, eq=False)
class AttentionLevels(Operation):
    """Every head of an attention: scores, rule, sums of values, a level for each unit.

    Parameters
    ----------
    places : tuple of two ints
        Lines and columns of tokens; attention does not look at their order.
    rule : ScoreThreshold, RowMaximum or SoftmaxShare
        Which tokens a token attends to. The number of heads is the rule's.
    output : LevelCodes
        Thresholds and codes of each unit's sum of values.
    """

    places: tuple[int, ...]
    rule: ScoreThreshold | RowMaximum | SoftmaxShare
    output: LevelCodes

    def __post_init__(self):
        check_attention(self.places, self.output.n_units, self.rule)
        self.output.check(math.prod(self.places))

    @property
    def takes(self):
        """Queries, keys and values of every token: three times as many signs as units."""
        return BitImage((*self.places, 3 * self.output.n_units))

    @property
    def gives(self):
        """The code, at each place."""
        return self.output.gives.at_places(self.places)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        n_tokens, arguments = math.prod(self.places), self.rule.arguments()
        thresholds, starts, changes = self.output.steps()
        steps, code = (thresholds.astype(np.int32), starts, changes), self.output.gives

        def run(rows):
            tokens = rows.reshape(len(rows), n_tokens, rows.shape[-1])
            out = np.empty((len(rows), n_tokens, *starts.shape), np.uint64)
            kernels.attend(tokens, self.rule.n_heads, *arguments, *steps, out)
            return code.join(out.reshape(len(rows) * n_tokens, *starts.shape), self.places)

        return run
