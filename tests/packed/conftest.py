"""Small models of every kind, and both sets of kernels.

There is a builder for each kind of operation, so it grows with them past 400 lines.
"""

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from skbnn.bits import backend, pack_bits
from skbnn.packed import (
    Affine,
    Attention,
    AttentionLevels,
    BinaryConv,
    BinaryLinear,
    BitCode,
    BitImage,
    BitMatrix,
    BitPlanes,
    ClassScores,
    CodeReals,
    EachPlace,
    ImageLayout,
    ImagePlanes,
    ImageStandardize,
    ImageThermometer,
    LevelCodes,
    MixedConv,
    MixedLinear,
    NearestCentroid,
    NearestCodeword,
    PackedModel,
    Positions,
    RealAttention,
    RealConv,
    RealLevels,
    RealLinear,
    Reals,
    Residual,
    RowMaximum,
    ScoreThreshold,
    ShiftedScores,
    Shortcut,
    SignThreshold,
    SoftmaxShare,
    Standardize,
    StreamLevels,
    StreamSign,
    Sums,
    Thermometer,
    TokenBits,
    TokenPlanes,
    TokenReals,
    Window,
    load,
)

N_FEATURES = 7


@pytest.fixture(params=["numpy", "numba"])
def backend_name(request):
    """Name of each set of kernels."""
    return request.param


@pytest.fixture
def kernels(backend_name):
    """Each set of kernels."""
    return backend(backend_name)


def sign_matrix(rng, n_units, n_bits):
    """A random matrix of plain signs."""
    return BitMatrix(pack_bits(rng.random((1, n_units, n_bits)) < 0.5), n_bits)


def thermometer(rng):
    """Three, two, one or no thresholds for each feature, and rows to encode."""
    counts = rng.permuted(np.array([3, 2, 1, 0, 2, 3, 1], np.uint8))
    planes = np.sort(rng.normal(size=(3, N_FEATURES)), axis=0).astype(np.float32)
    return Thermometer(counts, planes[np.arange(3)[:, None] < counts])


def hidden(rng, code, n_units):
    """A hidden layer of plain signs whose thresholds rows do reach."""
    thresholds = rng.integers(-3, 4, n_units).astype(np.int16)
    return BinaryLinear(sign_matrix(rng, n_units, code.n_bits), code, SignThreshold(thresholds))


def last(rng, code, n_classes):
    """An output layer of plain signs."""
    multipliers = rng.integers(1, 50, n_classes).astype(np.int32)
    offsets = rng.integers(-90, 90, n_classes).astype(np.int32)
    matrix = sign_matrix(rng, n_classes, code.n_bits)
    return BinaryLinear(matrix, code, ClassScores(multipliers, offsets))


def build_mlp(rng):
    """Thermometer bits, two hidden layers, scores."""
    first = thermometer(rng)
    middle = hidden(rng, first.gives, 70)
    return first, middle, hidden(rng, middle.gives, 5), last(rng, BitCode(5), 3)


def build_two_classes(rng):
    """Thermometer bits and two scores."""
    first = thermometer(rng)
    return first, last(rng, first.gives, 2)


def build_planes(rng):
    """Pixels as eight planes times weights of two planes with offsets."""
    first = BitPlanes(np.array([0, 2, 3, 6], np.int32), N_FEATURES)
    matrix = BitMatrix(
        pack_bits(rng.random((2, 9, 4)) < 0.5),
        4,
        rng.integers(1, 5, (2, 9)).astype(np.int32),
        rng.integers(-4, 5, 9).astype(np.int32),
    )
    thresholds = SignThreshold(rng.integers(-2000, 2000, 9).astype(np.int32))
    return first, BinaryLinear(matrix, first.gives, thresholds), last(rng, BitCode(9), 3)


def build_real(rng):
    """Standardised reals, one layer of one-bit weights and one of real weights."""
    normal = rng.standard_normal
    first = Standardize(
        np.array([0, 1, 4, 5], np.int32),
        normal(4, np.float32),
        normal(4, np.float32) ** 2 + np.float32(0.1),
        N_FEATURES,
    )
    middle = MixedLinear(
        sign_matrix(rng, 6, 4), normal(6, np.float32), normal(6, np.float32), True, False
    )
    end = RealLinear(normal((3, 6), np.float32), normal(3, np.float32), False, True)
    return first, middle, end


def build_real_ends(rng):
    """A real first layer, levels of two planes, a layer of bits, a real last one."""
    first, _, end = build_real(rng)
    project = RealLinear(rng.standard_normal((9, 4), np.float32), end.biases[:1].repeat(9), False,
                         False)  # fmt: skip
    limits = np.sort(rng.normal(size=(3, 9)).astype(np.float32), 0)
    levels = RealLevels(limits, (0, 2, 1, 3), BitCode(9, (1, 2), 3))
    middle = hidden(rng, levels.gives, 6)
    return first, project, levels, middle, CodeReals(middle.gives), end


def build_codewords(rng):
    """Nearest of five codewords, one class of three without any."""
    first = thermometer(rng)
    owners = np.array([2, 0, 2, 0, 0], np.int32)
    return first, NearestCodeword(sign_matrix(rng, 5, first.gives.n_bits), owners, 3)


def build_centroids(rng):
    """Nearest of five centroids, one class of three without any."""
    centroids = rng.standard_normal((5, N_FEATURES), np.float32)
    return (NearestCentroid(centroids, np.array([1, 2, 2, 1, 1], np.int32), 3),)


def build_windows(rng):
    """A signal's thermometer bits, two convolutions, one of two planes, scores."""
    thresholds = np.sort(rng.normal(size=3)).astype(np.float32)
    first = ImageThermometer(np.array([3], np.uint8), thresholds, ImageLayout((1, N_FEATURES, 1)))
    window = Window(first.shape, (1, 3), 1, (1, 2))
    matrix, limits = sign_matrix(rng, 9, 9), SignThreshold(rng.integers(-3, 4, 9).astype(np.int16))
    minima = pack_bits(rng.random(9) < 0.5)
    middle = BinaryConv(matrix, first.gives, limits, window, 0, minima)
    window = Window(middle.gives.shape, (1, 1), 2, (1, 1))
    scales = rng.integers(1, 5, (2, 5)).astype(np.int32)
    matrix = BitMatrix(pack_bits(rng.random((2, 5, 9)) < 0.5), 9, scales)
    limits = SignThreshold(rng.integers(-5, 6, 5).astype(np.int16))
    end = BinaryConv(matrix, middle.gives, limits, window, 1, None)
    return first, middle, end, last(rng, BitImage((1, 2, 5)), 3)


def build_windows_planes(rng):
    """A convolution of eight planes of pixels, padded with white, scores."""
    first = ImagePlanes(ImageLayout((1, N_FEATURES, 1)))
    window = Window(first.shape, (1, 3), 1, (1, 2))
    limits = SignThreshold(rng.integers(-600, 600, 9).astype(np.int16))
    middle = BinaryConv(sign_matrix(rng, 9, 3), first.gives, limits, window, 1, None)
    return first, middle, last(rng, middle.gives, 3)


def build_windows_real(rng):
    """A standardised signal, a convolution of one-bit weights, one of real weights, scores."""
    normal = rng.standard_normal
    layout = ImageLayout((N_FEATURES, 1, 1))
    first = ImageStandardize(
        np.array([0], np.int32), normal(1, np.float32), np.ones(1, np.float32), layout
    )
    window = Window((7, 1, 1), (3, 1), 1, (2, 1))
    middle = MixedConv(
        sign_matrix(rng, 4, 3), normal(4, np.float32), normal(4, np.float32), window, True
    )
    window = Window((3, 1, 4), (3, 1), 2, (1, 1))
    weights = normal((5, 12), np.float32)
    later = RealConv(weights, normal(5, np.float32), normal(5, np.float32), window, False)
    end = RealLinear(normal((3, 10), np.float32), normal(3, np.float32), False, True)
    return first, middle, later, end


def signs_of(rng, stream):
    """The bits of a stream, some of them flipped."""
    channels = stream.shape[-1]
    thresholds = rng.integers(-2, 3, channels).astype(np.int16)
    return StreamSign(stream, thresholds, pack_bits(rng.random(channels) < 0.5))


def build_stream(rng):
    """Seven places with a stream of nine integers each, one branch around two layers, scores."""
    thresholds = np.sort(rng.normal(size=3)).astype(np.float32)
    first = ImageThermometer(np.array([3], np.uint8), thresholds, ImageLayout((1, N_FEATURES, 1)))
    places = first.gives.shape[:2]

    def sums(n_bits):
        return BinaryLinear(sign_matrix(rng, 9, n_bits), BitCode(n_bits), Sums(9, n_bits))

    into = EachPlace(sums(3), places)
    table = rng.integers(-3, 4, (*places, 9)).astype(np.int16)
    start = Positions(into.gives, 1, table)
    signs = signs_of(rng, start.gives)
    branch = signs, EachPlace(hidden(rng, BitCode(9), 5), places), EachPlace(sums(5), places)
    middle = Residual(branch, start.gives, 2)
    end = signs_of(rng, middle.gives)
    return first, into, start, middle, end, last(rng, end.gives, 3)


def build_stream_real(rng):
    """The same with real numbers."""
    normal = rng.standard_normal
    layout = ImageLayout((1, N_FEATURES, 1))
    first = ImageStandardize(
        np.array([0], np.int32), normal(1, np.float32), np.ones(1, np.float32), layout
    )

    def dense(n_in, n_units, rectify=False):
        return RealLinear(normal((n_units, n_in), np.float32), normal(n_units, np.float32),
                          rectify, False)  # fmt: skip

    into = EachPlace(dense(1, 4), (1, N_FEATURES))
    affine = Affine(normal(4, np.float32), normal(4, np.float32))
    parts = affine, dense(4, 6, True), dense(6, 4)
    branch = tuple(EachPlace(part, (1, N_FEATURES)) for part in parts)
    middle = Residual(branch, Reals(28), 0)
    weights, biases = normal((3, 28), np.float32), normal(3, np.float32)
    return first, into, middle, RealLinear(weights, biases, False, True)


def rule_of(rng, name, n_heads, size):
    """A rule of attention that chooses some tokens."""
    limits = rng.integers(size // 4, size // 2 + 1, n_heads).astype(np.int16)
    table = np.round(2**20 * np.exp(-2 * np.arange(size + 1) / size**0.5)).astype(np.int32)
    return {
        "threshold": ScoreThreshold(limits),
        "row-max": RowMaximum(limits),
        "softmax": SoftmaxShare(table, rng.integers(9000, 20000, n_heads).astype(np.int32)),
    }[name]


def build_attention(rng):
    """Three tokens of a thermometer's bits, one branch of attention with two heads, scores."""
    first = thermometer(rng)
    tokens = TokenBits(np.sort(rng.integers(0, 3, first.gives.n_bits)).astype(np.uint8), (1, 3))
    code = BitCode(tokens.length)
    matrix = sign_matrix(rng, 9, code.n_bits)
    into = EachPlace(BinaryLinear(matrix, code, Sums(9, code.n_bits)), (1, 3))
    signs = signs_of(rng, into.gives)
    project = EachPlace(hidden(rng, BitCode(9), 3 * 8), (1, 3))
    limits = rng.integers(-1, 2, 8).astype(np.int16)
    flips = pack_bits(rng.random(8) < 0.5)
    attention = Attention((1, 3), rule_of(rng, "softmax", 2, 4), limits, flips)
    back = EachPlace(BinaryLinear(sign_matrix(rng, 9, 8), BitCode(8), Sums(9, 8)), (1, 3))
    middle = Residual((signs, project, attention, back), into.gives, 0)
    end = signs_of(rng, middle.gives)
    return first, tokens, into, middle, end, last(rng, end.gives, 3)


def build_attention_planes(rng):
    """Three tokens of some pixels as eight planes each, their sums, signs and scores."""
    first = BitPlanes(np.array([0, 2, 3, 5, 6], np.int32), N_FEATURES)
    tokens = TokenPlanes(np.array([2, 0, 1, 1, 2], np.uint8), (1, 3))
    code = tokens.gives.of_place((1, 3))
    sums = BinaryLinear(sign_matrix(rng, 9, 2), code, Sums(9, 2 * code.largest))
    into = EachPlace(sums, (1, 3))
    limits = rng.integers(-300, 300, 9).astype(np.int16)
    signs = StreamSign(into.gives, limits, pack_bits(rng.random(9) < 0.5))
    return first, tokens, into, signs, last(rng, signs.gives, 3)


def build_attention_real(rng):
    """Tokens of reals, attention of two heads, scores."""
    normal = rng.standard_normal
    columns = np.arange(5, dtype=np.int32)
    first = Standardize(columns, normal(5, np.float32), np.ones(5, np.float32), N_FEATURES)
    tokens = TokenReals(np.array([0, 2, 2, 0, 1], np.uint8), (1, 3))
    weights = normal((12, 2), np.float32)
    project = EachPlace(RealLinear(weights, normal(12, np.float32), False, False), (1, 3))
    end = RealLinear(normal((3, 12), np.float32), normal(3, np.float32), False, True)
    return first, tokens, project, RealAttention(3, 4, 2), end


def level_codes(rng, n_units, reach, codes, scales, offset):
    """Thresholds that rise from step to step, falling for some units, and any codes."""
    steps = np.sort(rng.integers(-reach, reach + 1, (len(codes) - 1, n_units)), 0)
    falls = rng.random(n_units) < 0.5
    steps = np.where(falls, 1 - steps, steps).astype(np.int16)
    return LevelCodes(steps, pack_bits(falls), codes, scales, offset)


def build_levels(rng):
    """Codes of several planes everywhere: windows, stream, attention; scores that are shifted."""
    thresholds = np.sort(rng.normal(size=3)).astype(np.float32)
    first = ImageThermometer(np.array([3], np.uint8), thresholds, ImageLayout((1, N_FEATURES, 1)))
    window = Window(first.shape, (1, 3), 1, (1, 2))
    output = level_codes(rng, 8, 4, (0, 2, 1, 3), (3, 5), 8)
    windows = BinaryConv(sign_matrix(rng, 8, 9), first.gives, output, window, 0, None)
    code, places = windows.gives.of_place((1, 3)), (1, 3)
    scales = rng.integers(1, 4, (2, 8)).astype(np.int32)
    offsets = rng.integers(-2, 3, 8).astype(np.int32)
    matrix = BitMatrix(pack_bits(rng.random((2, 8, 8)) < 0.5), 8, scales, offsets)
    largest = int(8 * 16 * matrix.largest.max())
    into = EachPlace(BinaryLinear(matrix, code, Sums(8, largest)), places)
    norm = StreamLevels(into.gives, level_codes(rng, 8, 40, (5, 4, 6), (1, -2, 3), 0))
    signs = EachPlace(hidden(rng, norm.gives.of_place(places), 24), places)
    rule = rule_of(rng, "threshold", 2, 4)
    attention = AttentionLevels(places, rule, level_codes(rng, 8, 1, (0, 1), (2,), 2))
    multipliers = rng.integers(-9, 9, 3).astype(np.int32)
    offsets = rng.integers(-90, 90, 3)
    scores = ShiftedScores(multipliers, offsets, 2)
    end = BinaryLinear(sign_matrix(rng, 3, 24), attention.gives, scores)
    return first, windows, into, norm, signs, attention, end


def build_windows_stream(rng):
    """A signal's bits, sums as a stream, a pooled and widened branch, a cut one, scores."""
    thresholds = np.sort(rng.normal(size=3)).astype(np.float32)
    first = ImageThermometer(np.array([3], np.uint8), thresholds, ImageLayout((1, N_FEATURES, 1)))
    window = Window(first.shape, (1, 3), 1, (1, 1))
    stem = BinaryConv(sign_matrix(rng, 4, 9), first.gives, Sums(4, 9), window, -1, None)
    stream, parts = stem.gives, [first, stem]
    for n_units, size in ((6, (1, 2)), (5, (1, 1))):
        limits = rng.integers(-3, 4, stream.shape[2]).astype(np.int16)
        signs = StreamSign(stream, limits, pack_bits(rng.random(stream.shape[2]) < 0.5))
        window = Window(stream.shape, (1, 3), 1, size)
        matrix = sign_matrix(rng, n_units, window.n_taps)
        layer = BinaryConv(matrix, signs.gives, Sums(n_units, window.n_taps), window, 0, None)
        skip = Shortcut(stream, stream.shape, size, n_units)
        parts.append(Residual((signs, layer), stream, 1, (skip,)))
        stream = parts[-1].gives
    signs = StreamSign(stream, np.zeros(5, np.int16), np.zeros(1, np.uint64))
    return *parts, signs, last(rng, signs.gives, 3)


BUILDERS = {
    "mlp": (build_mlp, ["cat", "dog", "eel"], 0.01),
    "two-classes": (build_two_classes, [-1, 1], 0.125),
    "planes": (build_planes, [0.5, 1.5, 4.0], 1.0),
    "real": (build_real, [0, 1, 9], 1.0),
    "real-ends": (build_real_ends, [0, 1, 9], 1.0),
    "codewords": (build_codewords, [0, 1, 2], None),
    "centroids": (build_centroids, [0, 1, 2], None),
    "windows": (build_windows, [0, 1, 2], 1.0),
    "windows-planes": (build_windows_planes, [0, 1, 2], 1.0),
    "windows-real": (build_windows_real, [0, 1, 2], 1.0),
    "windows-stream": (build_windows_stream, [0, 1, 2], 1.0),
    "stream": (build_stream, [0, 1, 2], 1.0),
    "stream-real": (build_stream_real, [0, 1, 2], 1.0),
    "attention": (build_attention, [0, 1, 2], 1.0),
    "levels": (build_levels, [0, 1, 2], 1.0),
    "attention-planes": (build_attention_planes, [0, 1, 2], 1.0),
    "attention-real": (build_attention_real, [0, 1, 2], 1.0),
}


@pytest.fixture
def make_model():
    """A function that builds a small model by name, and rows that it reads."""

    def make(name, backend="numpy", n_rows=40):
        rng = np.random.default_rng([1, crc32(name.encode())])
        build, classes, scale = BUILDERS[name]
        model = PackedModel(build(rng), np.array(classes), scale, backend)
        if name.endswith("planes"):
            return model, rng.integers(0, 256, (n_rows, N_FEATURES), np.uint8)
        return model, rng.normal(size=(n_rows, N_FEATURES))

    return make


@pytest.fixture
def load_bytes(monkeypatch):
    """A function that loads bytes as if a file held them."""

    def load_as_file(data, path="model.skbnn"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", lambda _: bytes(data))
            return load(path, backend="numpy")

    return load_as_file


@pytest.fixture(params=list(BUILDERS))
def kind(request):
    """Name of each small model."""
    return request.param
