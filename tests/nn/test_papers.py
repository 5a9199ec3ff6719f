"""What the papers say of their quantizers: levels, bases, gradients."""

import math

import pytest
import torch

from skbnn.nn.quantizers import _QUANTIZERS as KNOWN
from skbnn.nn.quantizers import (
    AdaptiveActivations,
    AdaptiveWeights,
    BasesActivations,
    BasesWeights,
    BasisActivations,
    BasisWeights,
    ElasticActivations,
    ElasticPositiveActivations,
    LevelActivations,
    LibraWeights,
    PlaneWeights,
    ShiftedSignActivations,
    TernaryWeights,
    UniformActivations,
    UniformWeights,
    XnorWeights,
    make_quantizer,
    sign,
    snap,
)
from skbnn.nn.quantizers.rounding import at_levels, level_sums
from skbnn.nn.surrogates import make_surrogate

POINTS = torch.tensor([-2.0, -1.0, -0.5, -0.05, 0.0, 0.05, 0.5, 1.0, 2.0])
PLANES = [n for n, kind in KNOWN["weights"].items()
          if isinstance(make_quantizer("weights", n, n_units=7), PlaneWeights)]  # fmt: skip
LEVELS = [n for n in KNOWN["activations"] if n != "real"]


def normal(*shape, seed=0, scale=1.0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def ready(role, name, x, n_units):
    """A quantizer that has seen a batch in training."""
    quantizer = make_quantizer(role, name, surrogate="clipped", n_units=n_units).train()
    quantizer(x)
    return quantizer


@pytest.mark.parametrize("name", PLANES)
def test_weights_in_training_are_the_frozen_ones(name):
    w = normal(7, 40, scale=0.3)
    quantizer = ready("weights", name, w, 7)
    expected = quantizer.eval()(w.double())
    torch.testing.assert_close(quantizer.encode(w.double()).decode(), expected, rtol=0, atol=0)
    torch.testing.assert_close(quantizer(w), expected.float(), rtol=0, atol=0)
    # On the grid, near to what the planes are before they are snapped to it.
    bits, scales, offset = quantizer.planes(w.double())
    real = (scales[..., None] * (bits.double() * 2 - 1)).sum(0)
    real = real if offset is None else real + offset[:, None]
    size = scales.abs().sum(0) + (0 if offset is None else offset.abs())
    assert bool(((expected - real).abs() <= (len(scales) + 1) * size[:, None] / 256).all())


@pytest.mark.parametrize("name", LEVELS)
def test_activations_in_training_are_the_frozen_ones(name):
    x = normal(50, 7)
    quantizer = ready("activations", name, x, 7)
    y = normal(60, 7, seed=1, scale=2)
    y[:9] = POINTS[:, None]
    trained = quantizer(y).detach()
    if hasattr(quantizer, "basis"):
        # The basis has moved on with the batch.
        quantizer = ready("activations", name, x, 7)
    torch.testing.assert_close(quantizer.eval()(y), trained, rtol=0, atol=1e-6)
    stairs = quantizer.staircase()
    assert bool((stairs.thresholds[1:] >= stairs.thresholds[:-1]).all())
    assert len(stairs.codes) == len(stairs.thresholds) + 1
    worths = [quantizer.worth(bit) for bit in (False, True)]
    values = (stairs.offset + (stairs.codes.long() * 2 - 1) @ stairs.scales) * stairs.unit
    assert all(any(abs(w - float(v)) < 1e-9 for v in values) for w in worths)


def test_snapped_numbers_keep_eight_bits():
    parts = normal(3, 20, scale=1.0) * 10 ** normal(1, 20, seed=1)
    whole, unit = snap(parts, 256)
    assert torch.equal(torch.log2(unit), torch.log2(unit).round())
    size = whole.abs().sum(0)
    assert int(size.max()) <= 257
    assert int(size.min()) >= 127
    assert float((whole * unit - parts).abs().div(unit).max()) <= 0.5
    assert torch.equal(snap(torch.zeros(2, 1), 256)[0], torch.zeros(2, 1, dtype=torch.int64))


@pytest.mark.parametrize("n_bases", [1, 2, 3, 5])
def test_more_bases_leave_less(n_bases):
    # What is approximated are the weights, units of positive ones too, not their deviations.
    w = normal(9, 60) + torch.linspace(-1, 1, 9)[:, None]

    def residual(m):
        bits, scales, _ = BasesWeights(m).planes(w)
        return (w - (scales[..., None] * (bits * 2.0 - 1)).sum(0)).square().sum()

    if n_bases > 1:
        assert residual(n_bases) < residual(n_bases - 1 if n_bases < 5 else 3)
    else:
        bits, scales, _ = BasesWeights(1).planes(w)
        assert torch.equal(bits[0], w >= w.mean())
        signed = (w * (bits[0] * 2.0 - 1)).mean(1)
        torch.testing.assert_close(scales[0], signed, rtol=1e-4, atol=1e-6)


def test_bases_of_equal_weights_are_defined():
    quantizer = BasesWeights(3)
    assert bool(quantizer(torch.full((2, 5), 0.3)).isfinite().all())


def test_shifts_of_activations_start_apart():
    for n_bases in (2, 3, 5):
        assert len(BasesActivations(n_bases).shifts.unique()) == n_bases


@pytest.mark.parametrize("n_bits", [1, 2, 3])
def test_a_step_of_the_basis_lowers_the_error(n_bits):
    w = normal(6, 80, scale=0.2)
    quantizer = BasisWeights(n_bits, n_units=6).train()
    quantizer._begin(w)
    bits, scales, _ = quantizer.planes(w)
    signs = bits * 2.0 - 1

    def error(basis):
        return (w - (basis[..., None] * signs).sum(0)).square().sum(1)

    before = error(scales)
    quantizer(w)
    assert bool((error(quantizer.basis.T) <= before + 1e-6).all())
    for _ in range(60):
        quantizer(w)
    if n_bits == 1:
        torch.testing.assert_close(quantizer.basis[:, 0], w.abs().mean(1), rtol=2e-3, atol=0)
    kept = quantizer.basis.clone()
    quantizer.eval()(w * 3)
    assert torch.equal(quantizer.basis, kept)


def test_the_basis_of_activations_finds_the_mean_of_what_is_on():
    x = normal(4000, 3)
    quantizer = BasisActivations(1).train()
    for _ in range(200):
        quantizer(x)
    threshold = float(quantizer.staircase().thresholds)
    mean = float(x[x >= threshold].mean())
    assert float(quantizer.basis) == pytest.approx(mean, rel=5e-3)
    x = torch.tensor([-1.0, 0.1, 1.0, 9.0]).reshape(4, 1).requires_grad_()
    quantizer(x).sum().backward()
    assert x.grad.flatten().tolist() == [0, 1, 1, 0]


def test_a_surrogate_may_compute_in_another_dtype():
    class Finer:
        def backward(self, grad, x, progress):
            return grad.double() * (x.abs() <= 1)

    x = normal(20, 3)
    found = []
    for surrogate in (Finer(), make_surrogate("clipped")):
        quantizer = AdaptiveActivations(surrogate=surrogate).train()
        given = x.clone().requires_grad_()
        quantizer(given).backward(torch.ones(20, 3))
        found.append([given.grad, quantizer.scale.grad, quantizer.center.grad])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("n_bases", [1, 3, 5])
def test_gradient_of_several_signs(n_bases):
    """Each sign by itself: d/dx = b 1[0 <= x + v <= 1], the same for v, and d/db = A."""
    quantizer = BasesActivations(n_bases).train()
    with torch.no_grad():
        quantizer.scales.copy_(torch.arange(n_bases) * 0.5 - 0.25)
        quantizer.shifts.add_(0.25)
    # Some numbers are at the ends of zones, and at thresholds.
    x = (torch.randint(-20, 21, (60, 4)) / 4).requires_grad_()
    grad = torch.linspace(-1, 1, 240).view(60, 4)
    quantizer(x).backward(grad)
    moved = x.detach()[..., None] + quantizer.shifts.detach()
    zones, signs = ((moved >= 0) & (moved <= 1)).float(), torch.where(moved >= 0.5, 1.0, -1.0)
    assert (moved == 0).any() and (moved == 1).any() and (moved == 0.5).any()
    to_signs = grad[..., None] * quantizer.scales.detach()
    torch.testing.assert_close(x.grad, (to_signs * zones).sum(-1))
    torch.testing.assert_close(quantizer.shifts.grad, (to_signs * zones).sum((0, 1)))
    torch.testing.assert_close(quantizer.scales.grad, (grad[..., None] * signs).sum((0, 1)))


def test_gradient_of_uniform_activations_passes_between_0_and_1():
    x = torch.tensor([[-1e-6, 0.0, 0.3, 1.0, 1.0001]], requires_grad=True)
    UniformActivations(2).train()(x).backward(torch.tensor([[1.0, 2, 3, 4, 5]]))
    assert x.grad.tolist() == [[0, 2, 3, 4, 0]]


@pytest.mark.parametrize("shape", [(1, 1), (30, 7), (4, 5, 7)])
@pytest.mark.parametrize("n_steps", [1, 3])
def test_levels_and_their_sums_on_both_ways(shape, n_steps):
    """In float32 with kernels, in float64 without."""
    x = torch.randint(-4, 5, shape).float()
    thresholds = torch.sort(torch.randint(-3, 4, (n_steps,))).values.float()
    values = torch.randn(n_steps + 1)
    found = at_levels(x, thresholds[:, None], values)
    assert found.dtype == torch.float32
    expected = at_levels(x.double(), thresholds[:, None], values)
    assert torch.equal(found.double(), expected)
    each = thresholds[:, None].expand(-1, shape[-1])
    assert torch.equal(at_levels(x, each, values), found)
    level = (x[..., None] >= thresholds).sum(-1)
    assert torch.equal(values[level], found)
    for counts, sums in (level_sums(x, thresholds), level_sums(x.double(), thresholds)):
        assert counts.tolist() == [int((level == k).sum()) for k in range(n_steps + 1)]
        assert sums.tolist() == [float(x[level == k].sum()) for k in range(n_steps + 1)]


def test_gradient_of_adaptive_activations():
    """d/dx = q', d/da = sign(u) - u q', d/db = 1 - q' with u = (x - b) / a."""
    quantizer = AdaptiveActivations(surrogate=make_surrogate("approx_sign"))
    with torch.no_grad():
        quantizer.scale.fill_(0.75)
        quantizer.center.fill_(0.25)
    for value in POINTS.tolist():
        x = torch.tensor([[value]], requires_grad=True)
        quantizer.zero_grad()
        out = quantizer(x)
        out.sum().backward()
        u = (value - 0.25) / 0.75
        slope = max(0.0, 2 - 2 * abs(u))
        assert float(out.detach()) == (1.0 if u >= 0 else -0.5)
        assert float(x.grad) == pytest.approx(slope, abs=1e-6)
        expected = (1 if u >= 0 else -1) - u * slope
        assert float(quantizer.scale.grad) == pytest.approx(expected, abs=1e-5)
        assert float(quantizer.center.grad) == pytest.approx(1 - slope, abs=1e-5)


def test_gradient_of_adaptive_weights_is_that_of_the_relaxed_function():
    """Finite differences of a tanh(t u) k + b, which the surrogate stands for."""
    w = normal(3, 6, scale=0.5).double().requires_grad_()
    quantizer = AdaptiveWeights()
    quantizer.progress = 0.75
    grad = normal(3, 6, seed=1).double()
    (quantizer(w) * grad).sum().backward()
    t = 1e-3 * (10 / 1e-3) ** 0.75
    k = max(1 / t, 1)

    def primitive(v):
        mean, spread = v.mean(1, keepdim=True), v.std(1, correction=0, keepdim=True)
        u = (v - mean) / spread
        # The value of the sign, and the slope of k tanh(t u).
        soft = k * torch.tanh(t * u)
        return spread * (sign(u.detach()) + soft - soft.detach()) + mean

    other = w.detach().clone().requires_grad_()
    (primitive(other) * grad).sum().backward()
    torch.testing.assert_close(w.grad, other.grad)


@pytest.mark.parametrize("kind", [ElasticActivations, ElasticPositiveActivations])
@pytest.mark.parametrize("n_bits", [1, 2])
def test_gradient_of_elastic_activations(kind, n_bits):
    quantizer = kind(n_bits, n_units=1)
    first = normal(100, 1)
    quantizer(first)
    scale = float(first.abs().mean()) * (2 if kind is ElasticActivations else 4)
    assert float(quantizer.scale.detach()) == pytest.approx(scale)
    quantizer(first * 9)
    assert float(quantizer.scale.detach()) == pytest.approx(scale)
    with torch.no_grad():
        quantizer.scale.fill_(0.5)
        quantizer.shift.fill_(0.125)
    lowest, most = kind.lowest, 2**n_bits - 1
    for value in POINTS.tolist():
        x = torch.tensor([[value]], requires_grad=True)
        quantizer.zero_grad()
        out = quantizer(x)
        out.sum().backward()
        u = (value - 0.125) / 0.5
        share = (min(1.0, max(lowest, u)) - lowest) / (1 - lowest)
        level = lowest + (1 - lowest) * math.floor(share * most + 0.5) / most
        inside = lowest <= u <= 1
        is_sign = kind is ElasticActivations and n_bits == 1
        slope = level if is_sign or not inside else level - u
        assert float(out.detach()) == pytest.approx(0.5 * level, rel=0.02)
        assert float(x.grad) == inside
        assert float(quantizer.shift.grad) == -inside
        assert float(quantizer.scale.grad) == pytest.approx(slope, abs=0.02)


@pytest.mark.parametrize("kind", [ElasticActivations, ElasticPositiveActivations])
def test_elastic_scales_come_back_from_below(kind):
    quantizer = kind(1, n_units=1)
    quantizer(normal(100, 1))
    with torch.no_grad():
        quantizer.scale.fill_(-0.25)
    out = quantizer(torch.ones(10, 1))
    assert float(quantizer.scale.detach()) == pytest.approx(1e-5)
    # A loss that falls with larger levels must raise the scale.
    (-out.sum()).backward()
    torch.optim.SGD([quantizer.scale], 0.1).step()
    assert float(quantizer.scale.detach()) > 0.05


def test_shifted_signs_learn_their_thresholds():
    quantizer = ShiftedSignActivations(n_units=3, surrogate=make_surrogate("approx_sign"))
    with torch.no_grad():
        quantizer.threshold.copy_(torch.tensor([-0.5, 0.0, 0.5]))
    out = quantizer(torch.full((2, 3), 0.25))
    assert out[0].tolist() == [1, 1, -1]
    out.sum().backward()
    torch.testing.assert_close(quantizer.threshold.grad, -2 * torch.tensor([0.5, 1.5, 1.5]))


@pytest.mark.parametrize("zeros", [0.0, 0.3, 0.5])
def test_ternary_weights_have_their_share_of_zeros(zeros):
    w = normal(10, 50)
    w[0, 0] = 0.0
    quantized = TernaryWeights(zeros)(w)
    assert float((quantized == 0).float().mean()) == pytest.approx(zeros)
    assert set(quantized.unique().tolist()) <= {-1.0, 0.0, 1.0}
    nonzero = quantized != 0
    assert torch.equal(quantized[nonzero], sign(w)[nonzero])


def test_scales_of_signs():
    w = normal(5, 30, scale=0.4)
    for name, expected in (
        ("xnor", sign(w) * w.abs().mean(1, keepdim=True)),
        ("magnitude", sign(w) * w.abs().mean(1, keepdim=True)),
        ("layer-scaled", sign(w) * w.abs().mean()),
        ("power", sign(w) * w.abs().mean()),
        ("centered", sign(w - w.mean()) * w.abs().mean()),
    ):
        found = make_quantizer("weights", name)(w)
        torch.testing.assert_close(found, expected, rtol=1 / 128, atol=0)
    u = (w - w.mean(1, keepdim=True)) / w.std(1, correction=0, keepdim=True)
    power = torch.exp2(torch.log2(u.abs().mean(1, keepdim=True)).round())
    assert torch.equal(LibraWeights()(w), sign(u) * power)
    w.requires_grad_()
    XnorWeights()(w).sum().backward()
    alpha = w.detach().abs().mean(1, keepdim=True)
    torch.testing.assert_close(w.grad, 1 / 30 + (w.detach().abs() <= 1) * alpha)


def test_uniform_levels():
    assert UniformActivations(2).eval()(POINTS)[3:].tolist() == pytest.approx(
        [0, 0, 0, 2 / 3, 1, 1], rel=0.02
    )
    x = POINTS.clone().requires_grad_()
    UniformActivations(2).learn(x).sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0]
    w = torch.tensor([[-3.0, -0.3, 0.0, 0.3, 3.0]])
    assert UniformWeights(2)(w)[0].tolist() == pytest.approx(
        [-1, -1 / 3, 1 / 3, 1 / 3, 1], rel=0.02
    )


def test_a_quantizer_of_activations_needs_levels():
    class Odd(TernaryWeights):
        pass

    with pytest.raises(TypeError, match="must derive from .*LevelActivations, got Odd"):
        make_quantizer("activations", Odd)
    for method in ("staircase", "learn"):
        with pytest.raises(TypeError, match=f"LevelActivations defines no {method}"):
            getattr(LevelActivations(), method)(*[None] * (method == "learn"))
    with pytest.raises(TypeError, match=r"PlaneWeights defines no planes\(w\)"):
        PlaneWeights().planes(None)
