"""Kernels that make bits: from raw features, and from integer sums.

All of them compare 64 neighbouring numbers with 64 others and take the answers as one word, which
a generated vector comparison does for every dtype. The thresholds of the input encoding stand in
the entries of :class:`skbnn.bits.thresholds.ThresholdLayout`; unused bits of an entry's words are
squeezed out by six masked shifts, done for several rows at a time.

Intrinsics and their kernels share this file because a cached kernel is renewed only when the file
that defines it changes. Bits of a word are lanes of a vector: little-endian.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from skbnn.bits.packing import WORD_BITS

__all__ = ["at_least", "encode_images", "encode_planes", "encode_thresholds", "threshold_sums"]

_ROWS = 32
_INFINITY = 0x7F800000


def _load_word(context, builder, array_type, array, offset, as_float):
    """Emit the load of 64 elements of a contiguous array, perhaps rounded to float32."""
    array = context.make_array(array_type)(context, builder, array)
    element = array.data.type.pointee
    pointer = builder.gep(array.data, [offset])
    pointer = builder.bitcast(pointer, ir.VectorType(element, WORD_BITS).as_pointer())
    vector = builder.load(pointer, align=context.get_abi_sizeof(element))
    if not as_float or array_type.dtype == types.float32:
        return vector
    convert = builder.fptrunc if array_type.dtype == types.float64 else builder.uitofp
    return convert(vector, ir.VectorType(ir.FloatType(), WORD_BITS))


@intrinsic
def at_least(typing, values, i, limits, j):
    """Compare 64 elements: bit k is ``values[i + k] >= limits[j + k]``, arrays taken flat.

    Floats are compared as float32; so are bytes with float limits.
    """
    if values.layout != "C" or limits.layout != "C":
        raise TypingError("Kernels take C-contiguous arrays.")
    as_float = isinstance(values.dtype, types.Float) or isinstance(limits.dtype, types.Float)

    def emit(context, builder, signature, arguments):
        left, right = (
            _load_word(context, builder, signature.args[k], *arguments[k : k + 2], as_float)
            for k in (0, 2)
        )
        if as_float:
            bits = builder.fcmp_ordered(">=", left, right)
        elif values.dtype in (types.uint8, types.boolean):
            bits = builder.icmp_unsigned(">=", left, right)
        else:
            bits = builder.icmp_signed(">=", left, right)
        return builder.bitcast(bits, ir.IntType(WORD_BITS))

    return types.uint64(values, types.int64, limits, types.int64), emit


@intrinsic
def _raise_magnitudes(typing, values, i, n_groups, largest):
    """Raise 64 magnitudes to those of the groups of 64 elements from ``values[i]`` on.

    A magnitude is the bit pattern of ``abs(float32(x))``. These sort as the numbers do, with
    infinity above all numbers and NaN above infinity.
    """
    if values.layout != "C":
        raise TypingError("Kernels take C-contiguous arrays.")

    def emit(context, builder, signature, arguments):
        array_type, _, _, largest_type = signature.args
        array, start, n_groups, largest = arguments
        bits = ir.VectorType(ir.IntType(32), WORD_BITS)
        place = context.make_array(largest_type)(context, builder, largest).data
        place = builder.bitcast(place, bits.as_pointer())
        register = cgutils.alloca_once_value(builder, builder.load(place, align=4))
        with cgutils.for_range(builder, n_groups) as loop:
            offset = builder.add(start, builder.mul(loop.index, loop.index.type(WORD_BITS)))
            floats = _load_word(context, builder, array_type, array, offset, as_float=True)
            found = builder.and_(builder.bitcast(floats, bits), bits([0x7FFFFFFF] * WORD_BITS))
            kept = builder.load(register)
            raised = builder.select(builder.icmp_signed(">", found, kept), found, kept)
            builder.store(raised, register)
        builder.store(builder.load(register), place, align=4)
        return context.get_dummy_value()

    return types.void(values, types.int64, types.int64, largest), emit


@njit(cache=True, nogil=True, inline="always")
def _append(words, raw, n, masks, start):
    """Squeeze the unused bits out of a word of n rows, and write it from bit `start` on.

    `words` holds the rows as columns, so that each step runs over vectors of rows.
    """
    word, shift = start // WORD_BITS, np.uint64(start % WORD_BITS)
    low, high = words[word], words[word + 1]
    for r in range(n):
        bits = raw[r] & masks[0]
        for step in range(6):
            moved = bits & masks[step + 1]
            bits = (bits ^ moved) | (moved >> np.uint64(1 << step))
        low[r] |= bits << shift
        high[r] |= (bits >> np.uint64(1)) >> (np.uint64(63) - shift)


@njit(cache=True, nogil=True)
def encode_thresholds(X, table, firsts, starts, masks, out):
    """Encode features as thermometer bits, ``float32(x) >= threshold``."""
    n_rows, n_features = X.shape
    n_whole = n_features // WORD_BITS
    is_narrow = n_whole == 0
    whole = np.empty((1, WORD_BITS), X.dtype)
    whole[:] = 0
    is_open = masks.shape[1] == 1
    raw = np.empty((len(firsts), _ROWS), np.uint64)
    words = np.empty((out.shape[1] + 1, _ROWS), np.uint64)
    largest = np.empty(WORD_BITS, np.int32)
    largest[:] = 0
    for first in range(0, n_rows, _ROWS):
        n = min(_ROWS, n_rows - first)
        for r in range(n):
            row = (first + r) * n_features
            if is_narrow:
                # A window is read whole, so a row that is narrower moves to where there is room.
                for feature in range(n_features):
                    whole[0, feature] = X[first + r, feature]
                for entry in range(len(firsts)):
                    bits = at_least(whole, 0, table, entry * WORD_BITS)
                    if is_open:
                        out[first + r, entry] = bits & masks[entry, 0]
                    else:
                        raw[entry, r] = bits
            else:
                for entry in range(len(firsts)):
                    bits = at_least(X, row + firsts[entry], table, entry * WORD_BITS)
                    if is_open:
                        out[first + r, entry] = bits & masks[entry, 0]
                    else:
                        raw[entry, r] = bits
            if X.itemsize > 1 and is_narrow:
                _raise_magnitudes(whole, 0, 1, largest)
            elif X.itemsize > 1:
                _raise_magnitudes(X, row, n_whole, largest)
                _raise_magnitudes(X, row + n_features - WORD_BITS, 1, largest)
        if is_open:
            continue
        words[:] = 0
        for entry in range(len(firsts)):
            _append(words, raw[entry], n, masks[entry], starts[entry])
        for r in range(n):
            for word in range(out.shape[1]):
                out[first + r, word] = words[word, r]
    status = 0
    for magnitude in largest:
        if magnitude > _INFINITY:
            return 1
        if magnitude == _INFINITY:
            status = 2
    return status


@njit(cache=True, nogil=True)
def encode_images(X, thresholds, features, steps, out):
    """Encode the pixels of images as thermometer bits, ``float32(x) >= threshold``."""
    n_bits = len(thresholds)
    _, n_lines, n_columns, n_words = out.shape
    n_places = n_lines * n_columns
    largest = np.finfo(np.float32).max
    values = np.empty(X.shape[1], np.float32)
    pixels = np.empty(n_places, np.float32)
    words = np.empty((n_words, n_places), np.uint64)
    status = 0
    for n in range(len(X)):
        is_finite = True
        for f in range(X.shape[1]):
            values[f] = X[n, f]
            is_finite &= abs(values[f]) <= largest
        if not is_finite:
            if np.isnan(values).any():
                return 1
            status = 2
        words[:] = 0
        for bit in range(n_bits):
            if bit == 0 or features[bit] != features[bit - 1]:
                for y in range(n_lines):
                    start = y * steps[0] + features[bit]
                    for x in range(n_columns):
                        pixels[y * n_columns + x] = values[start + x * steps[1]]
            word, place = words[bit // WORD_BITS], np.uint64(1) << np.uint64(bit % WORD_BITS)
            threshold = thresholds[bit]
            for k in range(n_places):
                word[k] |= place if pixels[k] >= threshold else np.uint64(0)
        places = out[n].reshape(n_places, n_words)
        for k in range(n_places):
            for w in range(n_words):
                places[k, w] = words[w, k]
    return status


@njit(cache=True, nogil=True)
def encode_planes(X, columns, out):
    """Take the binary digits of 8-bit features, each digit a plane."""
    width = out.shape[2]
    used = np.zeros((width, WORD_BITS), np.uint8)
    flat = used.reshape(-1)
    half = np.empty(WORD_BITS, np.uint8)
    half[:] = 128
    for n in range(len(X)):
        for i in range(len(columns)):
            flat[i] = X[n, np.uint32(columns[i])]
        for word in range(width):
            for digit in range(7, -1, -1):
                # The top digit is set where a value is at least 128; doubling brings up the next.
                out[n, digit, word] = at_least(used, word * WORD_BITS, half, 0)
                for i in range(WORD_BITS):
                    used[word, i] += used[word, i]


@njit(cache=True, nogil=True)
def threshold_sums(sums, thresholds, out):
    """Compare sums with thresholds."""
    n_rows, n_units = sums.shape
    n_whole, n_rest = divmod(n_units, WORD_BITS)
    rest = np.zeros(WORD_BITS, sums.dtype)
    limits = np.empty(WORD_BITS, thresholds.dtype)
    limits[:] = 1
    for unit in range(n_rest):
        limits[unit] = thresholds[n_whole * WORD_BITS + unit]
    for n in range(n_rows):
        for word in range(n_whole):
            start = word * WORD_BITS
            out[n, word] = at_least(sums, n * n_units + start, thresholds, start)
        if n_rest:
            for unit in range(n_rest):
                rest[unit] = sums[n, n_whole * WORD_BITS + unit]
            out[n, n_whole] = at_least(rest, 0, limits, 0)
