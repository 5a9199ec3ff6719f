"""The values that flow through a packed program, and the matrices of bits it stores.

Between two operations a block of rows is one array. What the array means is static and known
when the model is built: :class:`Raw` rows, a :class:`BitCode` (packed bit planes), a
:class:`BitImage` (the same, pixel by pixel), an :class:`IntStream`, :class:`Reals` or
:class:`Scores`. A model is well formed when each operation gives what the next one takes.

An operation on rows serves all places of an image: ``at_places`` says what the value of a place
becomes, ``of_place`` undoes it; ``join`` and ``part`` do the same to arrays.
"""

import math
from dataclasses import dataclass

import numpy as np

from skbnn.bits import n_words, pack_bits, tail_mask, unpack_bits
from skbnn.bits.packing import WORD_BITS
from skbnn.packed.checks import Immutable, require, require_array

__all__ = [
    "INT32_MAX",
    "BitCode",
    "BitImage",
    "BitMatrix",
    "IntStream",
    "Raw",
    "Reals",
    "Scores",
]

INT32_MAX = 2**31 - 1
_INT16_MAX = 2**15 - 1


def _require_n_bits(n_bits):
    """Check a number of bits: mismatches are counted, and doubled, in int32."""
    require(0 <= n_bits < 2**30, f"There cannot be {n_bits} bits.")


class _Code:
    """What codes of rows and of images share; a subclass has ``n_bits``, ``scales``, ``offset``."""

    def __post_init__(self):
        _require_n_bits(self.n_bits)
        require(len(self.scales) >= 1, "A code needs at least one plane.")
        largest = max(map(abs, (*self.scales, self.offset)))
        require(largest <= INT32_MAX, "A scale or the offset of a code is beyond int32.")

    @property
    def width(self):
        """Elements in a row, as other values call it."""
        return self.n_bits

    @property
    def is_sign(self):
        """Whether elements are plain +-1."""
        return self.scales == (1,) and self.offset == 0

    @property
    def largest(self):
        """The largest absolute worth of an element."""
        return abs(self.offset) + sum(map(abs, self.scales))


@dataclass(frozen=True)
class BitCode(_Code):
    """Packed rows: uint64 words of shape (n, n_planes, n_words(n_bits)).

    Element i of a row is worth ``offset + sum_k scales[k] * b_ki``, each b in {-1, +1}.

    Parameters
    ----------
    n_bits : int
        Elements in a row.
    scales : tuple of int
        Worth of each plane; one plane worth 1 is the plain sign code.
    offset : int
        Worth of an element apart from its bits.
    """

    n_bits: int
    scales: tuple[int, ...] = (1,)
    offset: int = 0

    @property
    def nbytes(self):
        """Bytes of one row."""
        return 8 * len(self.scales) * n_words(self.n_bits)

    def flat(self, rows):
        """Return rows of words as dense products read them: of shape (n, n_planes, n_words)."""
        return rows

    def lay_out(self, words):
        """Return canonical rows of weights with their bits where those of :meth:`flat` are."""
        return words

    def at_places(self, places):
        """Return the value of an image with such a row at each of its places."""
        return BitImage((*places, self.n_bits), self.scales, self.offset)

    def part(self, images):
        """Return images of words, (n, n_planes, lines, columns, n_words), as rows of places."""
        rows = np.ascontiguousarray(images.transpose(0, 2, 3, 1, 4))
        return rows.reshape(rows.shape[0] * rows.shape[1] * rows.shape[2], *rows.shape[3:])

    def join(self, rows, places):
        """Return rows of places as images, the inverse of :meth:`part`."""
        n = len(rows) // math.prod(places)
        images = rows.reshape(n, *places, *rows.shape[1:])
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2, 4))


@dataclass(frozen=True)
class BitImage(_Code):
    """Packed images: uint64 words of shape (n, n_planes, height, width, n_words(channels)).

    Elements are worth as much as those of a :class:`BitCode`. As a row they are ordered line by
    line, pixel by pixel, channel by channel.

    Parameters
    ----------
    shape : tuple of three ints
        Height, width and channels.
    scales : tuple of int
        Worth of each plane; one plane worth 1 is the plain sign code.
    offset : int
        Worth of an element apart from its bits.
    """

    shape: tuple[int, ...]
    scales: tuple[int, ...] = (1,)
    offset: int = 0

    def __post_init__(self):
        is_image = len(self.shape) == 3 and min(self.shape[:2]) >= 1 and self.shape[2] >= 0
        require(is_image, f"{self.shape} is no height, width and channels of an image.")
        super().__post_init__()

    @property
    def n_bits(self):
        """Elements in a row."""
        return math.prod(self.shape)

    @property
    def nbytes(self):
        """Bytes of one row."""
        height, width, channels = self.shape
        return 8 * len(self.scales) * height * width * n_words(channels)

    def of_place(self, places):
        """Return the value of a single place."""
        return BitCode(self.shape[2], self.scales, self.offset)

    def flat(self, rows):
        """Return images as dense products read them: of shape (n, n_planes, n_words)."""
        return rows.reshape(len(rows), len(self.scales), self.nbytes // 8 // len(self.scales))

    def lay_out(self, words):
        """Return canonical rows of weights with their bits where those of :meth:`flat` are."""
        height, width, channels = self.shape
        pixels = (*words.shape[:-1], height * width, channels)
        laid_out = pack_bits(unpack_bits(words, self.n_bits).reshape(pixels))
        return laid_out.reshape(*words.shape[:-1], height * width * n_words(channels))


@dataclass(frozen=True)
class Raw:
    """Rows as a user passes them, of shape (n, width); only input operations take them."""

    width: int

    @property
    def nbytes(self):
        """Bytes of one row, as float32."""
        return 4 * self.width


@dataclass(frozen=True)
class Reals:
    """Real rows: floats of shape (n, width), finite."""

    width: int

    def __post_init__(self):
        require(self.width >= 0, f"Rows cannot have {self.width} elements.")

    @property
    def nbytes(self):
        """Bytes of one row, as float32."""
        return 4 * self.width

    def at_places(self, places):
        """Return the value of rows of such rows."""
        return Reals(math.prod(places) * self.width)

    def of_place(self, places):
        """Return the value of a single one of some places."""
        return Reals(self.width // math.prod(places))

    def part(self, rows):
        """Return rows as rows of places."""
        return rows.reshape(rows.size // max(1, self.width), self.width)

    def join(self, rows, places):
        """Return rows of places as rows, the inverse of :meth:`part`."""
        n_places = math.prod(places)
        return rows.reshape(len(rows) // n_places, n_places * self.width)


@dataclass(frozen=True)
class IntStream:
    """Integers that operations add to: of shape (n, *shape), int16 where they fit, else int32.

    Parameters
    ----------
    shape : tuple of int
        Lines, columns and channels of an image, or channels alone for the rows of a place.
    largest : int
        No absolute value is larger.
    """

    shape: tuple[int, ...]
    largest: int

    def __post_init__(self):
        is_shape = len(self.shape) >= 1 and min(self.shape) >= 1
        require(is_shape, f"A stream cannot have the shape {self.shape}.")
        # A threshold may lie one beyond the largest value.
        fits = 0 <= self.largest < INT32_MAX
        require(fits, f"Numbers up to {self.largest}: such a stream does not fit int32.")

    @property
    def width(self):
        """Elements in a row."""
        return math.prod(self.shape)

    @property
    def dtype(self):
        """The type of the numbers."""
        return np.dtype(np.int16 if self.largest < _INT16_MAX else np.int32)

    @property
    def nbytes(self):
        """Bytes of one row."""
        return self.dtype.itemsize * self.width

    def at_places(self, places):
        """Return the value of images with such a row at each of their places."""
        return IntStream((*places, *self.shape), self.largest)

    def part(self, images):
        """Return images as rows of places."""
        rank = images.ndim - len(self.shape)
        return images.reshape(math.prod(images.shape[:rank]), *self.shape)

    def join(self, rows, places):
        """Return rows of places as images, the inverse of :meth:`part`."""
        return rows.reshape(len(rows) // math.prod(places), *places, *self.shape)


@dataclass(frozen=True)
class Scores:
    """Class scores of shape (n, n_classes): int32, or float32 behind real activations."""

    n_classes: int
    integer: bool = True

    @property
    def width(self):
        """Elements in a row, as other values call it."""
        return self.n_classes

    @property
    def nbytes(self):
        """Bytes of one row."""
        return 4 * self.n_classes


@dataclass(frozen=True, eq=False)
class BitMatrix(Immutable):
    """A matrix of coded weights, one row of bits for each unit and plane.

    Weight i of unit j is worth ``offsets[j] + sum_k scales[k, j] * b_kji``.

    Parameters
    ----------
    words : uint64 ndarray of shape (n_planes, n_units, n_words(n_bits))
        Packed rows; padding bits are 0.
    n_bits : int
        Inputs of each unit.
    scales : int32 ndarray of shape (n_planes, n_units) or None
        Worth of each plane of each unit; None is 1 for one plane.
    offsets : int32 ndarray of shape (n_units,) or None
        Worth of a weight apart from its bits; None is 0.
    """

    words: np.ndarray
    n_bits: int
    scales: np.ndarray | None = None
    offsets: np.ndarray | None = None

    def __post_init__(self):
        _require_n_bits(self.n_bits)
        require_array("words", self.words, [np.uint64], (None, None, n_words(self.n_bits)))
        require(self.n_planes >= 1 and self.n_units >= 1, "A bit matrix cannot be empty.")
        padding = ~tail_mask(self.n_bits % WORD_BITS or WORD_BITS)
        require(
            not (self.words[..., -1:] & padding).any(), "Padding bits of a bit matrix must be 0."
        )
        require(self.scales is not None or self.n_planes == 1, "Several planes need their scales.")
        if self.scales is not None:
            require_array("scales", self.scales, [np.int32], (self.n_planes, self.n_units))
        if self.offsets is not None:
            require_array("offsets", self.offsets, [np.int32], (self.n_units,))
        self.freeze_arrays()

    @property
    def n_planes(self):
        """Bits per weight."""
        return self.words.shape[0]

    @property
    def n_units(self):
        """Rows of the matrix."""
        return self.words.shape[1]

    @property
    def is_sign(self):
        """Whether weights are plain +-1."""
        return self.scales is None and self.offsets is None

    @property
    def plane_scales(self):
        """Scales as int64 of shape (n_planes, n_units), given or not."""
        if self.scales is None:
            return np.ones((1, self.n_units), np.int64)
        return self.scales.astype(np.int64)

    @property
    def unit_offsets(self):
        """Offsets as int64 of shape (n_units,), given or not."""
        if self.offsets is None:
            return np.zeros(self.n_units, np.int64)
        return self.offsets.astype(np.int64)

    @property
    def largest(self):
        """The largest absolute worth of a weight of each unit, int64 of shape (n_units,)."""
        return np.abs(self.unit_offsets) + np.abs(self.plane_scales).sum(0)
