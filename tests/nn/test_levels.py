"""Blocks of every kind of code: frozen they equal their operations, whatever has been learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skbnn.bits import backend, pack_bits, unpack_bits
from skbnn.nn.attention import CodedAttention
from skbnn.nn.block import Signal
from skbnn.nn.conv import CodedConvolution
from skbnn.nn.linear import CodedHidden, CodedOutput, CodedSums
from skbnn.nn.normalizers import BatchNorm
from skbnn.nn.quantizers import LevelActivations
from skbnn.nn.stream import StreamSign
from skbnn.packed.outputs import LevelCodes, ShiftedScores, SignThreshold
from skbnn.packed.values import BitCode, BitImage, IntStream
from skbnn.packed.windows import Window
from skbnn.techniques import get_technique

BNN = get_technique("bnn")
SETTINGS = {"init": None, "dropout": 0.0}
PAIRS = [
    ("ternary", "sign"),
    ("xnor", "shifted"),
    ("libra", "elastic-1"),
    ("centered", "elastic-2"),
    ("layer-scaled", "uniform-1"),
    ("uniform-2", "uniform-2"),
    ("adaptive", "adaptive"),
    ("bases-3", "bases-3"),
    ("basis-2", "basis-2"),
    ("basis-1", "elastic-positive-1"),
]
TECHNIQUES = [
    replace(BNN, name=f"{w} {a}", weights=w, activations=a, nonlinearity=f)
    for (w, a), f in zip(PAIRS, ["maxout", "rprelu", "prelu", "hard_tanh", "none"] * 2, strict=True)
]


def randomize(block, seed):
    """Any weights, learned numbers and statistics; slopes of every sign, zeros among them."""
    generator = torch.Generator().manual_seed(seed)

    def normal(t, scale=1.0):
        t.copy_(torch.randn(t.shape, generator=generator) * scale)

    with torch.no_grad():
        for name, parameter in block.named_parameters():
            normal(parameter)
            if name.endswith("quantizer.scale"):
                parameter.abs_()
        for module in block.modules():
            if isinstance(module, BatchNorm):
                normal(module.mean, 4.0)
                normal(module.var, 4.0)
                module.var.square_()
                module.gamma[::5] = 0.0
            if hasattr(module, "basis"):
                normal(module.basis)
    return block.double().eval().requires_grad_(False)


def code_of(value, rows):
    """Return the numbers that packed rows of a code stand for."""
    signs = np.where(unpack_bits(rows, value.shape[2]), 1, -1)
    scales = np.array(value.scales).reshape(-1, 1, 1, 1)
    return value.offset + (signs * scales).sum(1)


def images(value, n, seed):
    """Return random packed images of a code and the numbers that they stand for."""
    height, width, channels = value.shape
    shape = (n, len(value.scales), height, width, channels)
    rows = pack_bits(np.random.default_rng(seed).random(shape) < 0.5)
    return rows, code_of(value, rows)


def check(block, value, shape, kernels, unit=0.375):
    """Freeze a block that reads a code of images or rows, and compare it with its operation."""
    signal = block.freeze(Signal(value, unit))
    operation = block.pack()
    assert operation.gives == (signal.value if signal else operation.output.gives)
    as_image = value.at_places((1, 1)) if isinstance(value, BitCode) else value
    rows, numbers = images(as_image, 20, 0)
    x = torch.from_numpy(numbers.reshape(20, *shape)).double() * unit
    found = operation.prepare(kernels)(value.part(rows) if value is not as_image else rows)
    return found, block(x).numpy(), operation, signal


@pytest.fixture(params=TECHNIQUES, ids=lambda t: t.name)
def technique(request):
    return request.param


@pytest.fixture(params=["numpy", "numba"])
def kernels(request):
    return backend(request.param)


def make(kind, *args, seed, **settings):
    generator = torch.Generator().manual_seed(seed)
    return randomize(kind(*args, generator=generator, **settings), seed)


@pytest.mark.parametrize("value", [BitCode(70), BitCode(70, (3, -5), 2)], ids=["signs", "planes"])
def test_dense(technique, value, kernels):
    block = make(CodedHidden, 70, 33, technique, seed=1, **SETTINGS)
    found, expected, operation, signal = check(block, value, (70,), kernels)
    numbers = code_of(signal.value.at_places((1, 1)), found.reshape(20, -1, 1, 1, found.shape[2]))
    np.testing.assert_array_equal(numbers.reshape(20, 33) * signal.unit, expected)
    is_sign = technique.activations in ("sign", "shifted", "elastic-1")
    assert isinstance(operation.output, SignThreshold if is_sign else LevelCodes)
    for kind in (CodedOutput, CodedSums):
        block = make(kind, 70, 5, technique, seed=2, **SETTINGS)
        found, expected, operation, signal = check(block, value, (70,), kernels)
        unit = 1.0 if signal is None else signal.unit
        np.testing.assert_array_equal(found * unit, expected)
    assert np.log2(unit) == round(np.log2(unit))


@pytest.mark.parametrize("padding_value", [-1, 0, 1])
def test_windows(technique, padding_value, kernels):
    window, value = Window((5, 4, 9), (3, 3), 1, (2, 2)), BitImage((5, 4, 9), (3, 5), 8)

    class Reads(LevelActivations):
        """Stands for the quantizer of the block before."""

        def worth(self, bit):
            return 0.375 * (16 if bit else 0)

    block = make(CodedConvolution, window, 33, technique, padding_value, seed=1, **SETTINGS)
    block.read(Reads())
    found, expected, _, signal = check(block, value, value.shape, kernels)
    np.testing.assert_array_equal(code_of(signal.value, found) * signal.unit, expected)


def test_streams_and_attention(technique, kernels):
    stream = make(StreamSign, (2, 3), 33, technique, seed=1)
    value = IntStream((2, 3, 33), 60)
    signal = stream.freeze(Signal(value, 0.125))
    numbers = np.random.default_rng(0).integers(-60, 61, (20, 2, 3, 33)).astype(value.dtype)
    found = stream.pack().prepare(kernels)(numbers)
    expected = stream(torch.from_numpy(numbers * 0.125)).numpy()
    np.testing.assert_array_equal(code_of(signal.value, found) * signal.unit, expected)
    assert stream.pack().gives == signal.value

    attention = make(CodedAttention, (2, 3), 32, 4, technique, "row-max", seed=2)
    with torch.no_grad():
        attention.normalizer.mean.zero_()
    value = BitImage((2, 3, 96))
    found, expected, _, signal = check(attention, value, value.shape, kernels, unit=1.0)
    np.testing.assert_array_equal(code_of(signal.value, found) * signal.unit, expected)


def test_large_sums_keep_the_multipliers_precise():
    """With sums of 30 bits a multiplier of int32 would have a bit or two."""
    technique = replace(BNN, weights="bases-3")
    value = BitCode(4000, (100, 150), 0)
    block = make(CodedOutput, 4000, 6, technique, seed=3, **SETTINGS)
    found, expected, operation, _ = check(block, value, (4000,), backend("auto"))
    assert isinstance(operation.output, ShiftedScores)
    np.testing.assert_array_equal(found, expected)
    assert np.abs(operation.output.multipliers).max() >= 1 << 18
