"""Convolutions: windows of coded images times coded weights, and their real-valued relatives.

A convolution is a product of every window of an image, so everything that
:mod:`skbnn.packed.linear` says about codes holds here too. Images are padded to *same* size: with
an odd kernel of k pixels, k // 2 on each side. What pads is a bit, or zero, which has no bit:
then -1 is counted, and what its taps added wrongly is taken back, for each unit and each zone of
places whose windows reach beyond the same borders.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from skbnn.bits import comparison_layout, lanes_for, n_words, unpack_bits
from skbnn.packed.checks import require, require_array, require_bits
from skbnn.packed.linear import BinaryProduct
from skbnn.packed.operation import Operation, register
from skbnn.packed.outputs import LevelCodes, SignThreshold, Sums
from skbnn.packed.values import BitImage, BitMatrix, Reals
from skbnn.packed.windows import CHUNK_WORDS, Window, layout_of, pool

__all__ = ["BinaryConv", "MixedConv", "RealConv"]


@register("binary-conv")
@dataclass(frozen=True, eq=False)
class BinaryConv(BinaryProduct):
    """Windows of a coded image times coded weights, pooled, then an output transform.

    Parameters
    ----------
    weights : BitMatrix
        One row of bits for each unit and plane: line by line, pixel by pixel, channel by channel.
    takes : BitImage
        Meaning of the images it reads.
    output : SignThreshold, LevelCodes or Sums
        What becomes of the pooled sums.
    window : Window
        Size and step.
    padding_value : {-1, 0, 1}
        What pads: elements whose bits are all 0 or all 1, or nothing.
    minima : uint64 ndarray of shape (n_words(n_units),) or None
        Bit 1 for units whose pooled sum is the least instead of the greatest, which is so where
        the weights of a unit of max-pooled sums are negated. None for no unit.
    """

    weights: BitMatrix
    takes: BitImage
    output: SignThreshold | LevelCodes | Sums
    window: Window
    padding_value: int
    minima: np.ndarray | None

    def __post_init__(self):
        require(self.takes.shape == self.window.shape, "Window and images differ in shape.")
        require(self.window.n_taps == self.weights.n_bits, "Weights and window differ in width.")
        require(self.padding_value in (-1, 0, 1), "The padding is neither -1 nor 0 nor 1.")
        if self.minima is not None:
            has_bits = isinstance(self.output, SignThreshold)
            require(has_bits, "Only units that become bits can take the least sum.")
            require_bits("minima", self.minima, self.weights.n_units)
        super().__post_init__()
        self.freeze_arrays()

    @property
    def gives(self):
        """What the output transform makes of the pooled images."""
        return self.output.gives.at_places(self.window.pooled)

    @property
    def is_fused(self):
        """Whether sums are compared inside the product's registers, from signs to signs."""
        return self.is_plain and isinstance(self.output, SignThreshold)

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        return (self._prepare_fused if self.is_fused else self._prepare_sums)(kernels)

    def fused_layout(self):
        """Return what ``convolve_signs`` takes beside images, in its order.

        Returns
        -------
        layout : tuple
            Padding pixel, gathered bits, taps, units, limits, lines, columns, pool and minima.
        """
        layout = layout_of(self.window, self.weights.words, self.padding_value == 1)
        *ends, correction = self.corrections()
        n_bits, n_units = self.weights.n_bits, self.weights.n_units
        limits = (n_bits - self.output.thresholds.astype(np.int64) + correction) // 2
        read = (1, 1) if layout.gathered_bits else self.window.kernel
        units, limits = comparison_layout(layout.words[0], limits, read)
        minima = np.zeros(n_words(n_units), np.uint64) if self.minima is None else self.minima
        taps = (*self.window.kernel, self.window.stride)
        return (
            *(layout.pixel, layout.gathered_bits, taps, units, limits),
            *(*ends, self.window.pool, minima),
        )

    def _prepare_fused(self, kernels):
        """Return the function from signs to signs."""
        layout, shape = self.fused_layout(), (*self.window.pooled, n_words(self.weights.n_units))

        def run(images):
            out = np.empty((len(images), *shape), np.uint64)
            kernels.convolve_signs(images[:, 0], *layout, out)
            return out[:, None]

        return run

    def _prepare_sums(self, kernels):
        """Return the function that sums the products of planes and transforms the sums."""
        layout = layout_of(self.window, self.weights.words, self.padding_value == 1)
        window, n_units, dtype = self.window, self.weights.n_units, self.stored_dtype
        planes = self.planes_layout(layout.words, lanes_for(n_units))
        *ends, corrections = self.corrections()
        finish, code = self.output.prepare(kernels, dtype), self.output.gives
        taps = (*window.kernel, window.stride)
        minima = np.zeros(n_units, np.bool_)
        if self.minima is not None:
            minima = unpack_bits(self.minima, n_units)

        def run(images):
            sums = np.empty((len(images), *window.pooled, n_units), dtype)
            kernels.convolve_sums(
                images,
                layout.pixel,
                layout.gathered_bits,
                taps,
                *planes,
                corrections,
                *ends,
                window.pool,
                minima,
                sums,
            )
            return code.join(finish(sums.reshape(-1, n_units)), window.pooled)

        return run

    def corrections(self):
        """Return zones of lines and of columns, and what zero padding adds to the sums of each.

        Returns
        -------
        lines, columns : int64 ndarray
            Ends of the zones.
        correction : int64 ndarray of shape (n_line_zones, n_column_zones, n_units)
        """
        n_units = self.weights.n_units
        if self.padding_value:
            ends = [np.array([0, n], np.int64) for n in self.window.places]
            return *ends, np.zeros((1, 1, n_units), np.int64)
        (lines, line_taps), (columns, column_taps) = map(self.window.zones, (0, 1))
        taps = self._tap_sums()
        inside = [[taps[:, i, j].sum((1, 2)) for j in column_taps] for i in line_taps]
        # Padded taps were counted as elements whose bits are all 0.
        worth = self.takes.offset - sum(self.takes.scales)
        return lines, columns, -worth * (taps.sum((1, 2)) - np.array(inside))

    def _tap_sums(self):
        """Return the sum of a unit's weights over the channels, (n_units, height, width)."""
        weights, window = self.weights, self.window
        bits = unpack_bits(weights.words, weights.n_bits)
        bits = bits.reshape(*bits.shape[:2], *window.kernel, window.shape[2])
        signs = 2 * bits.sum(-1, dtype=np.int64) - window.shape[2]
        sums = np.einsum("kj,kjyx->jyx", weights.plane_scales, signs)
        return sums + window.shape[2] * weights.unit_offsets[:, None, None]


class _Real(Operation):
    """What both convolutions of real rows share: zeros around, pooling, an affine map, ReLU."""

    @property
    def takes(self):
        """Real rows: images line by line, pixel by pixel, channel by channel."""
        return Reals(math.prod(self.window.shape))

    @property
    def gives(self):
        """Real rows of the pooled images."""
        return Reals(math.prod(self.window.pooled) * len(self.biases))

    def _check(self, n_units, n_taps):
        require(n_taps == self.window.n_taps, "Weights and window differ in width.")
        for name in ("scales", "biases"):
            require_array(name, getattr(self, name), [np.float32], (n_units,))
        self.freeze_arrays()

    def prepare(self, kernels, real=np.float64):  # noqa: D102
        window, matrix = self.window, np.ascontiguousarray(self._matrix(real))
        scales, biases = self.scales.astype(real), self.biases.astype(real)
        (top, left), (height, width, channels) = window.margins, window.shape
        step = max(1, CHUNK_WORDS // (math.prod(window.places) * len(matrix)))

        def convolve(images):
            padded = np.zeros((len(images), height + 2 * top, width + 2 * left, channels), real)
            window.pad(images, padded)
            taps = sliding_window_view(padded, window.kernel, (1, 2))
            taps = taps[:, :: window.stride, :: window.stride].transpose(0, 1, 2, 4, 5, 3)
            # One product for each image, so that none depends on the others.
            sums = taps.reshape(len(images), -1, len(matrix)) @ matrix
            return sums.reshape(len(images), *window.places, -1)

        def run(rows):
            images = rows.reshape(len(rows), *window.shape)
            out = np.empty((len(rows), *window.pooled, len(biases)), real)
            for start in range(0, len(rows), step):
                sums = convolve(images[start : start + step])
                out[start : start + step] = pool(sums, window.pool)
            out *= scales
            out += biases
            if self.rectify:
                np.maximum(out, 0, out=out)
            return out.reshape(len(rows), self.gives.width)

        return run


@register("real-conv")
@dataclass(frozen=True, eq=False)
class RealConv(_Real):
    """Windows of a real image times real weights: ``max(0, pool(x * W) * scale + b)``.

    Parameters
    ----------
    weights : float32 ndarray of shape (n_units, height * width * channels)
        Weights, line by line, pixel by pixel, channel by channel.
    scales, biases : float32 ndarray of shape (n_units,)
        Folded normalisation.
    window : Window
        Size and step; images are padded with zeros.
    rectify : bool
        Whether the ReLU follows.
    """

    weights: np.ndarray
    scales: np.ndarray
    biases: np.ndarray
    window: Window
    rectify: bool

    def __post_init__(self):
        require_array("weights", self.weights, [np.float32], (None, None))
        require(len(self.weights) >= 1, "There must be at least one unit.")
        self._check(*self.weights.shape)

    def _matrix(self, real):
        return self.weights.T.astype(real)


@register("mixed-conv")
@dataclass(frozen=True, eq=False)
class MixedConv(_Real):
    """Windows of a real image times one-bit weights: ``max(0, pool(x * W_b) * scale + b)``.

    Products take the weights as floats: those of a convolution fit the cache, where adding numbers
    under masks of bits, as :class:`~skbnn.packed.linear.MixedLinear` does because its weights come
    from memory, takes mostly 1 to 1.7 times as long as a product of floats, for windows of few
    numbers up to four times.

    Parameters
    ----------
    weights : BitMatrix
        Weights of one plane, each +-1.
    scales, biases : float32 ndarray of shape (n_units,)
        Folded normalisation.
    window : Window
        Size and step; images are padded with zeros.
    rectify : bool
        Whether the ReLU follows.
    """

    weights: BitMatrix
    scales: np.ndarray
    biases: np.ndarray
    window: Window
    rectify: bool

    def __post_init__(self):
        require(self.weights.is_sign, "Real rows need weights that are plain +-1.")
        self._check(self.weights.n_units, self.weights.n_bits)

    def _matrix(self, real):
        bits = unpack_bits(self.weights.words[0], self.weights.n_bits)
        return np.where(bits, real(1), real(-1)).T
