"""Residual streams: integers that branches of operations add to.

A deep network of bits keeps one integer for each feature of each place, and every branch adds its
integer sums to it, each shifted left by a fixed number of bits. Branches read the stream as bits:
batch normalisation and sign of an integer fold to one comparison for each feature, as for the
sums of a product; where the slope is negative there are no weights to negate, and the bit itself
is flipped. No branch normalises what it adds, so nothing real is left.

Streams of real numbers, which the float controls have, are added to by the same :class:`Residual`.
"""

import math
from dataclasses import dataclass

import numpy as np

from skbnn.bits import n_words
from skbnn.packed.checks import require, require_array, require_bits
from skbnn.packed.operation import Operation, register, require_operation
from skbnn.packed.values import BitCode, IntStream, Reals

__all__ = [
    "Affine",
    "EachPlace",
    "Positions",
    "Residual",
    "Shortcut",
    "StreamSign",
    "add_branch",
]

_MOST_SHIFTED = 30


def _require_shift(shift):
    require(0 <= shift <= _MOST_SHIFTED, f"Sums cannot be shifted left by {shift} bits.")


def _factors(shift, other_shift, dtype):
    """Return what shifts multiply by, as ``add_scaled`` takes it.

    Only sums that are always 0 can be shifted out of the type, and any number times 0 is right.
    """
    return np.array([1 << shift, 1 << other_shift]).astype(dtype)


@register("each-place")
@dataclass(frozen=True, eq=False)
class EachPlace(Operation):
    """One operation on rows, for every place of an image or every token of a sequence.

    Parameters
    ----------
    operation : Operation
        Reads and gives bits, reals or sums.
    places : tuple of two ints
        Lines and columns of places.
    """

    operation: Operation
    places: tuple[int, ...]

    def __post_init__(self):
        fits = len(self.places) == 2 and min(self.places) >= 1
        require(fits, f"There cannot be {self.places} places.")
        for value in (self.operation.takes, self.operation.gives):
            require(
                isinstance(value, BitCode | IntStream | Reals),
                f"{self.operation.kind} does not work place by place.",
            )
        empty = isinstance(self.operation.takes, Reals) and self.operation.takes.width == 0
        require(not empty, "Rows of places without elements cannot be told apart.")

    @property
    def takes(self):
        """What the operation takes, at each place."""
        return self.operation.takes.at_places(self.places)

    @property
    def gives(self):
        """What the operation gives, at each place."""
        return self.operation.gives.at_places(self.places)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        run_place = self.operation.prepare(kernels, real)
        part, join = self.operation.takes.part, self.operation.gives.join
        return lambda rows: join(run_place(part(rows)), self.places)


@register("positions")
@dataclass(frozen=True, eq=False)
class Positions(Operation):
    """The beginning of a stream: shifted sums plus a table, ``(x << shift) + table``.

    Parameters
    ----------
    takes : IntStream
        The sums.
    shift : int
        Bits by which they are shifted left.
    table : int16 or int32 ndarray of shape ``takes.shape``
        What each place of the stream begins with.
    """

    takes: IntStream
    shift: int
    table: np.ndarray

    def __post_init__(self):
        _require_shift(self.shift)
        require_array("table", self.table, [np.int16, np.int32], self.takes.shape)
        self.freeze_arrays()
        _ = self.gives

    @property
    def gives(self):
        """The stream."""
        most = int(np.abs(self.table.astype(np.int64)).max())
        return IntStream(self.takes.shape, (self.takes.largest << self.shift) + most)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        dtype = self.gives.dtype
        table, factors = self.table.astype(dtype)[None], _factors(self.shift, 0, dtype)

        def run(rows):
            stream = np.empty(rows.shape, dtype)
            kernels.add_scaled(rows, table, factors, stream)
            return stream

        return run


@register("affine")
@dataclass(frozen=True, eq=False)
class Affine(Operation):
    """Scaled and shifted reals: ``x * scale + shift`` for each element of a row.

    Parameters
    ----------
    scales, shifts : float32 ndarray of shape (width,)
        A folded normalisation, or a table to add.
    """

    scales: np.ndarray
    shifts: np.ndarray

    def __post_init__(self):
        require_array("scales", self.scales, [np.float32], (None,))
        require_array("shifts", self.shifts, [np.float32], self.scales.shape)
        self.freeze_arrays()

    @property
    def takes(self):
        """Real rows."""
        return Reals(len(self.scales))

    @property
    def gives(self):
        """Real rows."""
        return Reals(len(self.scales))

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        scales, shifts = self.scales.astype(real), self.shifts.astype(real)
        return lambda rows: rows * scales + shifts


@register("stream-sign")
@dataclass(frozen=True, eq=False)
class StreamSign(Operation):
    """The stream as bits: ``x >= threshold`` for each channel, the other way round where flipped.

    Parameters
    ----------
    takes : IntStream
        The stream: lines, columns and channels.
    thresholds : int16 or int32 ndarray of shape (n_channels,)
        Threshold of each channel; one beyond the largest number is never met.
    flips : uint64 ndarray of shape (n_words(n_channels),)
        Bit 1 for channels whose bit is 1 below the threshold.
    """

    takes: IntStream
    thresholds: np.ndarray
    flips: np.ndarray

    def __post_init__(self):
        require(len(self.takes.shape) == 3, "A stream has lines, columns and channels.")
        channels = self.takes.shape[-1]
        require_array("thresholds", self.thresholds, [np.int16, np.int32], (channels,))
        inside = np.abs(self.thresholds.astype(np.int64)) <= self.takes.largest + 1
        require(bool(inside.all()), "A threshold lies outside of what the stream can reach.")
        require_bits("flips", self.flips, channels)
        self.freeze_arrays()

    @property
    def gives(self):
        """A sign code."""
        *places, channels = self.takes.shape
        return BitCode(channels).at_places(places)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        *places, channels = self.takes.shape
        thresholds, flips = self.thresholds.astype(self.takes.dtype), self.flips

        def run(stream):
            out = np.empty((len(stream) * math.prod(places), n_words(channels)), np.uint64)
            kernels.threshold_sums(stream.reshape(len(out), channels), thresholds, out)
            out ^= flips
            return out.reshape(len(stream), 1, *places, out.shape[1])

        return run


@register("shortcut")
@dataclass(frozen=True, eq=False)
class Shortcut(Operation):
    """The stream on its way around a branch of another shape: max-pooled, channels added or cut.

    Parameters
    ----------
    takes : IntStream or Reals
        The stream.
    shape : tuple of three ints
        Its lines, columns and channels.
    pool : tuple of two ints
        Lines and columns of a pool, which is also the step; what fills none is left out.
    channels : int
        Channels of the result: zeros are added, or the last ones cut off.
    """

    takes: IntStream | Reals
    shape: tuple[int, ...]
    pool: tuple[int, ...]
    channels: int

    def __post_init__(self):
        fits = len(self.shape) == 3 and math.prod(self.shape) == self.takes.width
        require(fits and min(self.shape) >= 1, f"{self.shape} is not the shape of the stream.")
        same = isinstance(self.takes, Reals) or self.takes.shape == self.shape
        require(same, f"{self.shape} is not the shape of the stream.")
        pools = len(self.pool) == 2 and all(
            1 <= p <= size for p, size in zip(self.pool, self.shape[:2], strict=True)
        )
        require(pools, f"A stream of {self.shape} cannot be pooled by {self.pool}.")
        require(1 <= self.channels <= 1 << 16, f"There cannot be {self.channels} channels.")

    @property
    def gives(self):
        """The stream in its new shape."""
        lines, columns = (n // p for n, p in zip(self.shape[:2], self.pool, strict=True))
        if isinstance(self.takes, Reals):
            return Reals(lines * columns * self.channels)
        return IntStream((lines, columns, self.channels), self.takes.largest)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        places = (n // p for n, p in zip(self.shape[:2], self.pool, strict=True))
        pooled, shape = (*places, self.channels), _shape(self.gives)

        def run(stream):
            out = np.empty((len(stream), *pooled), stream.dtype)
            kernels.pool_channels(stream.reshape(len(stream), *self.shape), *self.pool, out)
            return out.reshape(len(stream), *shape)

        return run


@register("residual")
@dataclass(frozen=True, eq=False)
class Residual(Operation):
    """A branch around which the stream is led: ``skip(x) + (branch(x) << shift)``.

    Where the branch's unit is finer than the stream's, the stream is shifted instead:
    ``(x << -shift) + branch(x)``. No sum can leave int32: the bounds of stream and branch, shifted,
    are added when the operation is built.

    Parameters
    ----------
    branch : tuple of Operation
        The first reads the stream, the last gives sums of the same shape. All are real, or none.
    takes : IntStream or Reals
        The stream.
    shift : int
        Bits by which the branch's sums are shifted left, or, where negative, those by which the
        stream is; 0 where they are real.
    skip : tuple of Operation
        What the stream goes through on its way around the branch; nothing by default.
    """

    branch: tuple[Operation, ...]
    takes: IntStream | Reals
    shift: int
    skip: tuple[Operation, ...] = ()

    def __post_init__(self):
        _require_shift(abs(self.shift))
        require(len(self.branch) >= 1, "A branch needs at least one operation.")
        skipped, value = (self._through(part) for part in (self.skip, self.branch))
        kinds = {type(v) for v in (self.takes, skipped, value)}
        require(len(kinds) == 1, "A branch gives something else than its stream.")
        require(_shape(value) == _shape(skipped), "A branch gives another shape.")
        require(self.shift == 0 or isinstance(value, IntStream), "Real sums cannot be shifted.")
        _ = self.gives

    @property
    def gives(self):
        """The stream, with room for the branch."""
        return add_branch(self._through(self.skip), self.branch[-1].gives, self.shift)

    def _through(self, operations):
        """Return what the stream becomes on its way through operations."""
        value = self.takes
        for operation in operations:
            require_operation(operation)
            require(
                operation.takes == value,
                f"A branch gives {value} where {operation.kind} takes {operation.takes}.",
            )
            value = operation.gives
        return value

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        steps, skips = (
            [operation.prepare(kernels, real) for operation in part]
            for part in (self.branch, self.skip)
        )
        is_real = isinstance(self.takes, Reals)
        if not is_real:
            dtype = self.gives.dtype
            factors = _factors(max(0, self.shift), max(0, -self.shift), dtype)

        def run(stream):
            rows = stream
            for step in steps:
                rows = step(rows)
            for skip in skips:
                stream = skip(stream)
            if is_real:
                return rows + stream
            out = np.empty(stream.shape, dtype)
            kernels.add_scaled(rows, stream, factors, out)
            return out

        return run


def add_branch(stream, added, shift):
    """Return what a stream becomes when the sums of a branch are added to it.

    Parameters
    ----------
    stream, added : IntStream or Reals
        Stream and sums.
    shift : int
        As in :class:`Residual`.

    Returns
    -------
    stream : IntStream or Reals
    """
    if isinstance(stream, Reals):
        return stream
    largest = (stream.largest << max(0, -shift)) + (added.largest << max(0, shift))
    return IntStream(stream.shape, largest)


def _shape(value):
    """Return the shape of a stream's rows."""
    return value.shape if isinstance(value, IntStream) else (value.width,)
