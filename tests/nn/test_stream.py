"""Frozen stream blocks equal their operations; in training the stream is the same numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skbnn.bits import backend, pack_bits, unpack_bits
from skbnn.nn.block import Signal
from skbnn.nn.dense import step_of
from skbnn.nn.linear import CodedHidden, CodedOutput, CodedSums
from skbnn.nn.normalizers import BatchNorm
from skbnn.nn.reals import RealHidden, RealSums
from skbnn.nn.stream import (
    CodedPositions,
    EachPlace,
    RealPositions,
    Residual,
    StreamNorm,
    StreamSign,
)
from skbnn.packed.values import BitImage, IntStream, Reals
from skbnn.techniques import get_technique

BNN = get_technique("bnn")
SETTINGS = {"init": None, "dropout": 0.2}


def generator_of(seed):
    return torch.Generator().manual_seed(seed)


def coded_chain(places, n_bits, width, hidden, seed, technique=BNN):
    """Blocks of a small residual network."""
    generator = generator_of(seed)

    def each(kind, n_in, n_units):
        return EachPlace(kind(n_in, n_units, technique, generator=generator, **SETTINGS), places)

    def sign():
        return StreamSign(places, width, technique, generator)

    return [
        each(CodedSums, n_bits, width),
        CodedPositions((*places, width), step_of(n_bits) / 4, generator),
        Residual([sign(), each(CodedSums, width, width)]),
        Residual([sign(), each(CodedHidden, width, hidden), each(CodedSums, hidden, width)]),
        sign(),
        CodedOutput(places[0] * places[1] * width, 3, technique, generator=generator, **SETTINGS),
    ]


def real_chain(places, n_in, width, hidden, seed, technique):
    generator = generator_of(seed)

    def each(kind, n_in, n_units):
        return EachPlace(kind(n_in, n_units, technique, generator=generator, **SETTINGS), places)

    def norm():
        return StreamNorm(places, width, technique, generator)

    return [
        each(RealSums, n_in, width),
        RealPositions((*places, width), 1.0, generator),
        Residual([norm(), each(RealHidden, width, hidden), each(RealSums, hidden, width)]),
        norm(),
    ]


def randomize(blocks, seed):
    """Random parameters and statistics; slopes of every sign, zeros among them."""
    generator = generator_of(seed)
    with torch.no_grad():
        for block in blocks:
            for module in block.modules():
                if isinstance(module, BatchNorm):
                    for tensor in module.state_dict().values():
                        tensor.copy_(torch.randn(tensor.shape, generator=generator))
                    module.gamma[::5] = 0.0
                    module.gamma[::7] = -0.0
                    module.beta[::10] = 0.0
                    module.var.square_()
    return blocks


def freeze(blocks, signal):
    """Freeze blocks one after another and return what each gives."""
    signals = []
    for block in blocks:
        block.double().eval().requires_grad_(False)
        signal = block.freeze(signal)
        signals.append(signal)
    return signals


SHAPES = {
    "places": st.tuples(st.integers(1, 3), st.integers(1, 4)),
    "n_bits": st.integers(1, 150),
    "width": st.integers(1, 130),
    "hidden": st.integers(1, 90),
    "seed": st.integers(0, 999),
}


@settings(deadline=None, max_examples=20)
@given(**SHAPES)
def test_the_stream_is_the_same_numbers_everywhere(places, n_bits, width, hidden, seed):
    rng = np.random.default_rng(seed)
    bits = rng.random((6, *places, n_bits)) < 0.5
    blocks = randomize(coded_chain(places, n_bits, width, hidden, seed), seed)
    x = torch.from_numpy(np.where(bits, 1.0, -1.0))
    trained, values = x.float(), []
    for block in blocks:
        trained = block.eval()(trained).detach()
        values.append(trained)
    signals = freeze(blocks, Signal(BitImage((*places, n_bits))))
    rows = pack_bits(bits)[:, None]
    for block, signal, in_training in zip(blocks, signals, values, strict=True):
        operation = block.pack()
        x, rows = block(x), operation.prepare(backend("auto"))(rows)
        if signal is None:
            np.testing.assert_array_equal(rows, x.numpy())
            continue
        assert operation.gives == signal.value
        if isinstance(signal.value, IntStream):
            assert rows.dtype == signal.value.dtype
            np.testing.assert_array_equal(rows * signal.unit, x.numpy())
            assert np.abs(rows).max() <= signal.value.largest
            np.testing.assert_array_equal(x.float().numpy(), in_training.numpy())
        else:
            found = np.where(unpack_bits(rows[:, 0], width), 1.0, -1.0)
            np.testing.assert_array_equal(found, x.numpy())


@pytest.mark.parametrize("name", ["float", "binaryconnect", "binaryconnect-stochastic"])
@settings(deadline=None, max_examples=8)
@given(**SHAPES)
def test_real_streams(name, places, n_bits, width, hidden, seed):
    x = np.random.default_rng(seed).normal(size=(6, *places, n_bits))
    blocks = randomize(real_chain(places, n_bits, width, hidden, seed, get_technique(name)), seed)
    freeze(blocks, Signal(Reals(places[0] * places[1] * n_bits)))
    rows, x = x.reshape(6, -1), torch.from_numpy(x)
    for block in blocks:
        operation = block.pack()
        assert operation.takes.width == rows.shape[1]
        x, rows = block(x), operation.prepare(backend("auto"))(rows)
        expected = x.reshape(6, -1).numpy()
        np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("in_unit", "shifts", "unit"), [(1.0, (2, 2, -1), 1 / 32), (1 / 64, (0, 6, 3), 1 / 256)]
)
def test_units_of_any_size_are_brought_together(in_unit, shifts, unit):
    """Branches coarser or finer than the stream, and a stream finer than its table."""
    blocks = coded_chain((1, 2), 20, 8, 2000, 0)[:4]
    bits = np.random.default_rng(0).random((5, 1, 2, 20)) < 0.5
    signals = freeze(blocks, Signal(BitImage((1, 2, 20)), in_unit))
    operations = [block.pack() for block in blocks]
    assert tuple(operation.shift for operation in operations[1:]) == shifts
    assert signals[-1].unit == unit
    x = torch.from_numpy(np.where(bits, 1.0, -1.0)) * in_unit
    rows = pack_bits(bits)[:, None]
    for block, operation in zip(blocks, operations, strict=True):
        x, rows = block(x), operation.prepare(backend("auto"))(rows)
    np.testing.assert_array_equal(rows * unit, x.numpy())


@pytest.mark.parametrize(("n_in", "step"), [(0, 1.0), (1, 1.0), (64, 1 / 8), (147, 1 / 16)])
def test_a_step_is_a_power_of_two_near_the_root(n_in, step):
    assert step_of(n_in) == step


def test_table_is_on_its_grid_and_learns():
    block = CodedPositions((1, 3, 4), 1 / 16, generator_of(0))
    x = torch.zeros(2, 1, 3, 4)
    out = block(x)
    assert torch.equal(out * 16, (out * 16).round())
    assert float((out[0] - block.table).detach().abs().max()) <= 1 / 32
    (out * torch.arange(4.0)).sum().backward()
    assert torch.equal(block.table.grad, 2 * torch.arange(4.0).expand(1, 3, 4))


@pytest.mark.parametrize("kind", [StreamSign, StreamNorm])
def test_weights_count_at_every_place(kind):
    """A row of weight 2 is the row given twice."""
    technique = replace(BNN, surrogate="identity")
    x = torch.randn(5, 1, 3, 4, generator=generator_of(0))
    weight = torch.tensor([1.0, 2.0, 1.0, 1.0, 3.0])
    repeated = x.repeat_interleave(weight.long(), 0)
    a, b = (kind((1, 3), 4, technique, generator_of(0)) for _ in range(2))
    found, expected = a(x, weight), b(repeated)
    torch.testing.assert_close(found.repeat_interleave(weight.long(), 0), expected)
    torch.testing.assert_close(a.normalizer.mean, b.normalizer.mean)
    torch.testing.assert_close(a.normalizer.var, b.normalizer.var)
