"""Frozen ``block(x)`` equals ``block.pack()(x)``, for every dense block and every technique."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skbnn.bits import backend, pack_bits, unpack_bits
from skbnn.nn.block import Block, Signal
from skbnn.nn.linear import CodedHidden, CodedOutput, linear_blocks
from skbnn.nn.normalizers import BatchNorm
from skbnn.nn.reals import RealHidden, RealOutput
from skbnn.packed.values import INT32_MAX, BitCode, Reals
from skbnn.techniques import get_technique, list_techniques

BNN = get_technique("bnn")
SCALED = replace(BNN, output_normalizer="scale")
CODED = [
    BNN,
    replace(BNN, name="bnn-batch", output_normalizer="batch"),
    replace(BNN, name="bnn-relu", nonlinearity="relu"),
    replace(BNN, name="bnn-softplus", nonlinearity=torch.nn.Softplus),
    replace(BNN, name="bnn-stochastic", weights="stochastic"),
]
REAL = [
    get_technique("float"),
    get_technique("binaryconnect"),
    get_technique("binaryconnect-stochastic"),
    replace(get_technique("float"), name="float-batch", output_normalizer="batch"),
    replace(get_technique("binaryconnect"), name="linear", nonlinearity="none"),
]
SETTINGS = {"init": None, "dropout": 0.3}


def randomize(block, seed, scale=1.0):
    """Give a block any weights, and normaliser slopes of every sign, zeros among them."""
    generator = torch.Generator().manual_seed(seed)

    def normal(t):
        return torch.randn(t.shape, generator=generator)

    with torch.no_grad():
        block.weight.copy_(normal(block.weight))
        block.weight.view(-1)[::7] = 0.0
        normalizer = block.normalizer
        spread = block.weight.shape[1] ** 0.5 * scale
        if isinstance(normalizer, BatchNorm):
            normalizer.gamma.copy_(normal(normalizer.gamma))
            normalizer.gamma[::4] = 0.0
            normalizer.beta.copy_(normal(normalizer.beta))
            normalizer.beta[::8] = -0.0
            normalizer.mean.copy_(normal(normalizer.mean) * spread)
            normalizer.var.copy_(normal(normalizer.var).square() * spread**2)
        else:
            normalizer.scale.copy_(normal(normalizer.scale) * scale)
            normalizer.scale[::4] = 0.0
            normalizer.shift.copy_(normal(normalizer.shift) * spread)
    return block


def frozen(kind, n_in, n_units, technique, seed, value, scale=1.0):
    """Return a frozen block and its operation."""
    generator = torch.Generator().manual_seed(seed)
    block = kind(n_in, n_units, technique, generator=generator, **SETTINGS)
    randomize(block, seed, scale).double().eval().requires_grad_(False)
    block.freeze(Signal(value))
    return block, block.pack()


def coded_rows(n, n_in, seed):
    """Return +-1 rows as a Tensor and packed."""
    bits = np.random.default_rng(seed).random((n, n_in)) < 0.5
    return torch.from_numpy(np.where(bits, 1.0, -1.0)), pack_bits(bits)[:, None]


def names(techniques):
    return [technique.name for technique in techniques]


WIDTHS = {"n_in": st.integers(1, 200), "n_units": st.integers(1, 200), "seed": st.integers(0, 999)}


@pytest.mark.parametrize("technique", CODED, ids=names(CODED))
@settings(deadline=None, max_examples=15)
@given(**WIDTHS)
def test_coded_hidden(technique, n_in, n_units, seed):
    block, operation = frozen(CodedHidden, n_in, n_units, technique, seed, BitCode(n_in))
    x, packed = coded_rows(40, n_in, seed)
    for kernels in map(backend, ("numba", "numpy")):
        out = operation.prepare(kernels)(packed)[:, 0]
        found = np.where(unpack_bits(out, n_units), 1.0, -1.0)
        np.testing.assert_array_equal(found, block(x).numpy())
    assert operation.gives == BitCode(n_units)


@pytest.mark.parametrize("technique", CODED, ids=names(CODED))
@settings(deadline=None, max_examples=15)
@given(**WIDTHS, scale=st.sampled_from([1e-20, 1.0, 1e9]))
def test_coded_output(technique, n_in, n_units, seed, scale):
    block, operation = frozen(CodedOutput, n_in, n_units, technique, seed, BitCode(n_in), scale)
    x, packed = coded_rows(40, n_in, seed)
    scores = operation.prepare(backend("auto"))(packed)
    assert scores.dtype == np.int32
    np.testing.assert_array_equal(scores, block(x).numpy())
    # Close to what the normaliser gave before its constants were snapped.
    slope, shift = block.normalizer.affine()
    exact = (x @ block.weight_quantizer(block.weight).T) * slope + shift
    error = np.abs(scores * block.score_unit - exact.numpy()).max()
    assert error <= (n_in + 1) * block.score_unit


@pytest.mark.parametrize("technique", [BNN, SCALED], ids=["batch", "scale"])
@settings(deadline=None, max_examples=60)
@given(**WIDTHS, exponent=st.integers(-30, 30))
def test_scores_use_int32_well_and_never_leave_it(technique, n_in, n_units, seed, exponent):
    scale = 2.0**exponent
    block, _ = frozen(CodedOutput, n_in, n_units, technique, seed, BitCode(n_in), scale)
    reach = int((block.multipliers.abs() * n_in + block.offsets.abs()).max())
    assert reach <= INT32_MAX
    if any(float(part.abs().max()) > 0 for part in block.normalizer.affine()):
        assert reach > INT32_MAX // 3
        assert np.log2(block.score_unit) == round(np.log2(block.score_unit))


def test_scores_of_nothing():
    block = CodedOutput(5, 3, SCALED, generator=torch.Generator().manual_seed(0), **SETTINGS)
    with torch.no_grad():
        block.normalizer.scale.zero_()
    block.double().eval().requires_grad_(False).freeze(Signal(BitCode(5)))
    assert block.score_unit == 1.0
    x, packed = coded_rows(4, 5, 0)
    assert not block.pack().prepare(backend("auto"))(packed).any()


@pytest.mark.parametrize("kind", [RealHidden, RealOutput])
@pytest.mark.parametrize("technique", REAL, ids=names(REAL))
@settings(deadline=None, max_examples=10)
@given(**WIDTHS)
def test_real(kind, technique, n_in, n_units, seed):
    block, operation = frozen(kind, n_in, n_units, technique, seed, Reals(n_in))
    x = np.random.default_rng(seed).normal(size=(20, n_in))
    found = operation.prepare(backend("auto"))(x)
    expected = block(torch.from_numpy(x)).numpy()
    # Stored weights, scales and biases are float32.
    slope, shift = (t.abs().numpy() for t in block.normalizer.affine())
    weights = block.weight_quantizer(block.weight).abs().numpy()
    bound = 1e-6 * (np.abs(x) @ weights.T * slope + shift) + 1e-12
    assert (np.abs(found - expected) <= bound).all()
    assert operation.gives.width == n_units


@pytest.mark.parametrize("technique", REAL, ids=names(REAL))
def test_only_hidden_units_are_rectified(technique):
    x = np.random.default_rng(0).normal(size=(50, 30))
    for kind, rectify in ((RealHidden, technique.nonlinearity == "relu"), (RealOutput, False)):
        block, operation = frozen(kind, 30, 20, technique, 0, Reals(30))
        assert operation.rectify == rectify
        assert (float(block(torch.from_numpy(x)).min()) >= 0) == rectify


@pytest.mark.parametrize("name", list_techniques())
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_linear_blocks(name, depth):
    widths = (20, *[8] * depth, 3)
    generator = torch.Generator().manual_seed(0)
    blocks = linear_blocks(
        widths,
        get_technique(name),
        init=0.2,
        input_dropout=0.1,
        hidden_dropout=0.4,
        generator=generator,
    )
    hidden, output = (
        (RealHidden, RealOutput)
        if get_technique(name).activations == "real"
        else (CodedHidden, CodedOutput)
    )
    assert [type(block) for block in blocks] == [hidden] * depth + [output]
    assert [tuple(block.weight.shape) for block in blocks] == list(
        zip(widths[1:], widths[:-1], strict=True)
    )
    assert [block.dropout.p for block in blocks] == [0.1] + [0.4] * depth
    assert all(block.n_units == width for block, width in zip(blocks, widths[1:], strict=True))
    assert max(float(block.weight.detach().abs().max()) for block in blocks) <= 0.2


def test_logits_start_about_three():
    generator = torch.Generator().manual_seed(0)
    block = CodedOutput(400, 50, SCALED, init=0.3, dropout=0.0, generator=generator)
    x, _ = coded_rows(200, 400, 0)
    assert float(block(x.float()).detach().std()) == pytest.approx(3.0, rel=0.05)


def test_dropped_inputs_count_as_zero_and_are_made_up_for():
    generator = torch.Generator().manual_seed(0)
    block = CodedOutput(1000, 30, BNN, init=0.3, dropout=0.5, generator=generator)
    x = torch.ones(400, 1000)
    block.train()
    sums = block.sums(x).detach()
    assert torch.equal(sums, (sums / 2).round() * 2)
    expected = block.eval().sums(x).detach()[0]
    torch.testing.assert_close(sums.mean(0), expected, rtol=0, atol=5 * (1000 / 400) ** 0.5)


@pytest.mark.parametrize(
    ("technique", "message"),
    [
        (replace(BNN, weights="real"), "'bnn' has one-bit activations but real weights"),
        (replace(BNN, weights="two"), "Unknown quantizer of weights 'two'"),
        (replace(BNN, activations="two"), "Unknown quantizer of activations 'two'"),
        (replace(BNN, surrogate="two"), "Unknown surrogate 'two'"),
        (replace(BNN, nonlinearity="swish"), "Unknown non-linearity 'swish'; known are 'none'"),
        (replace(BNN, output_normalizer="two"), "Unknown normalizer 'two'"),
        (
            replace(REAL[0], nonlinearity=torch.nn.PReLU),
            "'float' has real activations and the non-linearity .*PReLU.*; only 'relu' and 'none'",
        ),
    ],
)
def test_what_could_not_be_packed_is_not_built(technique, message):
    with pytest.raises(ValueError, match=message):
        linear_blocks(
            (5, 4, 3),
            technique,
            init=None,
            input_dropout=0.0,
            hidden_dropout=0.0,
            generator=torch.Generator().manual_seed(0),
        )


def test_a_block_says_what_it_lacks():
    for call in (lambda: Block()(None), lambda: Block().freeze(None), lambda: Block().pack()):
        with pytest.raises(TypeError, match="Block defines no"):
            call()


@pytest.mark.parametrize("activations", ["sign", "shifted", "adaptive", "elastic-1", "bases-1"])
def test_rows_are_not_taken_for_signs_that_only_begin_as_such(activations):
    """Learned levels move away from -1 and +1: 8-bit integers would lose what they have become."""
    technique, generator = replace(BNN, activations=activations), torch.Generator().manual_seed(0)
    block = CodedHidden(64, 512, technique, init=1.0, dropout=0.0, generator=generator)
    size = 1.0 if activations in ("sign", "shifted") else 0.75
    x = torch.where(torch.rand(256, 64, generator=generator) < 0.5, size, -size)
    expected = x @ torch.where(block.weight >= 0, 1.0, -1.0).t()
    assert torch.equal(block.sums(x), expected)
    assert (block.source[0].grain == 1.0) == (size == 1.0)
