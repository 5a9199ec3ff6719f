"""Frozen ``block(x)`` equals ``block.pack()(x)`` for convolutions, and what they compute."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skbnn.bits import backend, pack_bits, unpack_bits
from skbnn.nn.block import Signal
from skbnn.nn.conv import CodedConvolution, RealConvolution, conv_blocks
from skbnn.nn.convolution import Convolution
from skbnn.nn.quantizers import make_quantizer
from skbnn.packed import BitImage, MixedConv, RealConv, Window
from skbnn.packed.values import Reals
from skbnn.techniques import get_technique, list_techniques

BNN = get_technique("bnn")
SETTINGS = {"init": None, "dropout": 0.3}
WINDOWS = [
    Window((1, 1, 1), (1, 1), 1, (1, 1)),
    Window((5, 7, 31), (3, 3), 1, (2, 2)),
    Window((1, 20, 64), (1, 7), 2, (1, 3)),
    Window((9, 32, 3), (3, 5), 1, (3, 4)),
    Window((4, 4, 65), (7, 7), 2, (1, 2)),
    Window((6, 5, 130), (1, 1), 1, (2, 2)),
]


def randomize(block, seed):
    """Give a block any weights, and normaliser slopes of every sign, zeros among them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (block.weight, block.normalizer.gamma, block.normalizer.beta):
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
        spread = block.weight.shape[1] ** 0.5
        block.normalizer.gamma[::4] = 0.0
        for tensor, power in ((block.normalizer.mean, 1), (block.normalizer.var, 2)):
            tensor.copy_((torch.randn(tensor.shape, generator=generator) * spread) ** power)
    return block


def frozen(kind, window, n_units, technique, seed, value, padding_value=-1):
    """Return a frozen block and its operation."""
    generator = torch.Generator().manual_seed(seed)
    block = kind(window, n_units, technique, padding_value, generator=generator, **SETTINGS)
    randomize(block, seed).double().eval().requires_grad_(False)
    return block, block.freeze(Signal(value)), block.pack()


def check_coded(window, n_units, technique, padding_value, seed, kernels):
    code = BitImage(window.shape)
    block, signal, operation = frozen(
        CodedConvolution, window, n_units, technique, seed, code, padding_value
    )
    bits = np.random.default_rng(seed).random((6, 1, *window.shape)) < 0.5
    x = torch.from_numpy(np.where(bits, 1.0, -1.0).reshape(6, -1))
    out = operation.prepare(kernels)(pack_bits(bits))
    found = np.where(unpack_bits(out, n_units), 1.0, -1.0).reshape(6, -1)
    np.testing.assert_array_equal(found, block(x).flatten(1).numpy())
    assert signal.value == operation.gives == BitImage((*window.pooled, n_units))
    assert math.prod(block.shape) == operation.gives.width


@pytest.mark.parametrize("padding_value", [-1, 0, 1])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("backend_name", ["numba", "numpy"])
def test_coded(window, padding_value, backend_name):
    for technique in (BNN, replace(BNN, name="softplus", nonlinearity=torch.nn.Softplus)):
        for n_units in (1, 33, 64, 257):
            check_coded(window, n_units, technique, padding_value, 0, backend(backend_name))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_coded(data):
    draw = data.draw
    shape = tuple(draw(st.integers(1, n)) for n in (10, 10, 70))
    kernel = tuple(2 * draw(st.integers(0, min(3, size - 1))) + 1 for size in shape[:2])
    stride = draw(st.integers(1, 2))
    places = Window(shape, kernel, stride, (1, 1)).places
    window = Window(shape, kernel, stride, tuple(draw(st.integers(1, n)) for n in places))
    padding_value, seed = draw(st.sampled_from([-1, 0, 1])), draw(st.integers(0, 999))
    check_coded(window, draw(st.integers(1, 70)), BNN, padding_value, seed, backend("numba"))


@pytest.mark.parametrize("technique", ["float", "binaryconnect", "binaryconnect-stochastic"])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_real(technique, window):
    technique = get_technique(technique)
    value = Reals(math.prod(window.shape))
    block, signal, operation = frozen(RealConvolution, window, 20, technique, 1, value)
    assert isinstance(operation, RealConv if technique.weights == "real" else MixedConv)
    assert operation.takes == value
    assert operation.gives == signal.value == Reals(math.prod(block.shape))
    x = np.random.default_rng(1).normal(size=(5, value.width))
    expected = block(torch.from_numpy(x)).flatten(1).numpy()
    out = operation.prepare(backend("auto"))(x)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("padding", [-1, 0, 1])
def test_convolution_is_a_sum_over_taps(padding):
    window = Window((4, 5, 3), (3, 1), 2, (1, 2))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 60, generator=generator, dtype=torch.float64)
    weight = torch.randn(7, 9, generator=generator, dtype=torch.float64)
    found = Convolution(window, padding).plain(x, weight).reshape(2, 2, 1, 7)
    images = np.full((2, 6, 5, 3), float(padding))
    images[:, 1:5] = x.numpy().reshape(2, 4, 5, 3)
    filters = weight.numpy().reshape(7, 3, 1, 3)
    for line in range(2):
        places = [
            np.einsum(
                "nic,uic->nu", images[:, 2 * line : 2 * line + 3, 2 * column], filters[:, :, 0]
            )
            for column in range(2)
        ]
        np.testing.assert_allclose(found[:, line, 0], np.maximum(*places), rtol=1e-12)


def test_weights_of_rows_are_weights_of_their_places():
    """A row of weight 2 counts as the row given twice, in statistics and in results."""
    window = Window((3, 3, 5), (3, 3), 1, (1, 1))
    rows = torch.sign(torch.randn(4, 45, generator=torch.Generator().manual_seed(0)))

    def trained(x, weight):
        generator = torch.Generator().manual_seed(1)
        block = CodedConvolution(window, 8, BNN, -1, init=None, dropout=0.0, generator=generator)
        return block(x, weight), block.normalizer

    weighted, one = trained(rows, torch.tensor([2.0, 1.0, 1.0, 1.0]))
    repeated, two = trained(torch.cat([rows[:1], rows]), torch.ones(5))
    assert weighted.shape == (4, 3, 3, 8)
    assert torch.equal(weighted, repeated[1:])
    assert torch.allclose(one.mean, two.mean, atol=1e-6)
    # The unbiased variance counts weights as rows.
    assert torch.allclose(one.var, two.var, atol=1e-4)


@pytest.mark.parametrize("padding_value", [-1, 0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_residual_blocks(padding_value, seed):
    """Streams, pools and channels that grow or end: trained, frozen and packed are one."""
    channels, pools = [((4, 4, 6), (1, 2, 1)), ((5, 3), (2, 2)), ((7,), (1,)), ((3, 66), (1, 3))][
        seed
    ]
    generator = torch.Generator().manual_seed(seed)
    made = {"init": None, "input_dropout": 0.2, "hidden_dropout": 0.1, "generator": generator}
    blocks, width = conv_blocks(
        (7, 9, 3),
        channels,
        3,
        (1,) * len(channels),
        pools,
        BNN,
        padding_value=padding_value,
        residual=True,
        **made,
    )
    bits = np.random.default_rng(seed).random((20, 1, 7, 9, 3)) < 0.5
    signs = np.where(bits, 1.0, -1.0).reshape(20, -1)
    trained = torch.from_numpy(signs).float()
    for block in blocks:
        trained = block(trained, torch.ones(20))
    assert trained.shape[1:].numel() == width
    rows, x, signal = pack_bits(bits), torch.from_numpy(signs), Signal(BitImage((7, 9, 3)))
    for block in blocks:
        single = block.float().eval()(x.float())
        block.double().requires_grad_(False)
        signal, x = block.freeze(signal), block(x)
        np.testing.assert_array_equal(single.detach(), x)
        operation = block.pack()
        rows = operation.prepare(backend("auto"))(rows)
        assert operation.gives == signal.value
        found = rows
        if rows.dtype == np.uint64:
            found = np.where(unpack_bits(rows[:, 0], signal.value.shape[2]), 1, -1)
        np.testing.assert_array_equal(found * signal.unit, x.numpy())
    assert signal.value.n_bits == width


@pytest.mark.parametrize("technique", list_techniques())
def test_kernels_and_pools_are_cut_to_the_image(technique):
    blocks, width = conv_blocks(
        (1, 3, 2),
        (4, 6, 8),
        5,
        (1, 1, 1),
        (2, 2, 1),
        get_technique(technique),
        padding_value=1,
        residual=False,
        init=None,
        input_dropout=0.1,
        hidden_dropout=0.2,
        generator=torch.Generator().manual_seed(0),
    )
    assert [block.window.kernel for block in blocks] == [(1, 5), (1, 1), (1, 1)]
    assert [block.window.pooled for block in blocks] == [(1, 1)] * 3
    assert [block.dropout.p for block in blocks] == [0.1, 0.2, 0.2]
    assert width == 8
    x = torch.ones(4, 6)
    for block in blocks:
        x = block(x, torch.ones(4))
    assert x.shape == (4, 1, 1, 8)


@pytest.mark.parametrize(("padding_value", "bit"), [(-1, 0), (0, None), (1, 1)])
def test_what_pads_is_an_element_of_the_images_code(padding_value, bit):
    """All its bits are 0, or 1, whatever its quantizer makes of them; or it is nothing."""
    technique = replace(BNN, activations="adaptive")
    make = {"init": None, "dropout": 0.0, "generator": torch.Generator().manual_seed(0)}
    block = CodedConvolution(WINDOWS[1], 3, technique, padding_value, **make)
    assert block.padding == padding_value
    quantizer = make_quantizer("activations", "adaptive")
    with torch.no_grad():
        quantizer.scale.fill_(0.5)
        quantizer.center.fill_(0.75)
    block.read(quantizer)
    assert block.padding == {0: 0.25, None: 0, 1: 1.25}[bit]
    assert "image_quantizer" not in dict(block.named_modules())


@pytest.mark.parametrize("padding_value", [-1, 1])
def test_dropout_leaves_the_border_as_it_is(padding_value):
    """What is around an image is not dropped, and so must not be scaled up either."""
    generator = torch.Generator().manual_seed(0)
    window = Window((3, 3, 8), (3, 3), 1, (1, 1))
    block = CodedConvolution(window, 4, BNN, padding_value, init=None, dropout=0.5,
                             generator=generator)  # fmt: skip
    x = torch.ones(4000, 3, 3, 8)
    with torch.no_grad():
        expected = block.eval().sums(x[:1]).reshape(9, 4)
        found = block.train().sums(x).reshape(4000, 9, 4).mean(0)
    # A sum of up to 72 signs, half of them dropped: its mean over 4000 rows is within 1.
    assert (found - expected).abs().max() < 1.0


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("name", ["posttraining", "bitwise", "bit", "reactnet"])
def test_stages_have_the_same_weights_and_norms(name, residual):
    def shapes(technique):
        blocks, _ = conv_blocks(
            (8, 8, 3), (4, 6, 6), 3, (1,) * 3, (1, 2, 1), technique, padding_value=-1,
            residual=residual, init=0.3, input_dropout=0.0, hidden_dropout=0.0,
            generator=torch.Generator(),
        )  # fmt: skip
        x = torch.ones(2, 8 * 8 * 3)
        for block in blocks:
            x = block(x)
        state = torch.nn.ModuleList(blocks).state_dict()
        kept = ("weight", ".gamma", ".beta", ".mean", ".var")
        return {key: value.shape for key, value in state.items() if key.endswith(kept)}

    last = first = get_technique(name)
    while first.starts_from is not None:
        first = first.starts_from
    assert shapes(first) == shapes(last)
    assert sum(key.endswith("weight") for key in shapes(first)) == 3
