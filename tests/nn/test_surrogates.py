"""Every surrogate against its formula."""

import math

import pytest
import torch

from skbnn.nn.quantizers import SignActivations, surrogate_sign
from skbnn.nn.surrogates import EDE, Clipped, Surrogate, make_surrogate, slope_table

POINTS = [-2.0, -1.0, -0.5, -0.05, 0.0, 0.05, 0.5, 1.0, 2.0]


def ede(x, progress):
    t = 1e-3 * (10.0 / 1e-3) ** progress
    return max(1 / t, 1.0) * t * (1 - math.tanh(t * x) ** 2)


FORMULAS = {
    "identity": lambda x, progress: 1.0,
    "clipped": lambda x, progress: float(abs(x) <= 1),
    "approx_sign": lambda x, progress: max(2 - 2 * abs(x), 0.0),
    "tanh": lambda x, progress: 1 - math.tanh(x) ** 2,
    "ede": ede,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("progress", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name, progress, dtype):
    x = torch.tensor(POINTS, dtype=dtype)
    grad = torch.linspace(-3, 4, len(POINTS), dtype=dtype)
    expected = grad * torch.tensor([FORMULAS[name](p, progress) for p in POINTS], dtype=dtype)
    found = make_surrogate(name).backward(grad, x, progress)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bound", [0.5, 1.0, 1.3])
def test_clipped_is_inclusive_and_no_wider(bound, dtype):
    edge = torch.tensor([bound], dtype=dtype)
    beyond = torch.nextafter(torch.nextafter(edge, 2 * edge), 2 * edge)
    x = torch.cat([-beyond, -edge, edge, beyond])
    found = Clipped(bound).backward(torch.ones_like(x), x, 0.0)
    assert found.tolist() == [0, 1, 1, 0]


def test_ede_starts_as_identity_and_ends_steep():
    x = torch.tensor([0.0, 0.5], dtype=torch.float64)
    one = torch.ones_like(x)
    torch.testing.assert_close(EDE().backward(one, x, 0.0), one, rtol=1e-6, atol=0)
    at_zero, aside = EDE().backward(one, x, 1.0)
    assert at_zero == pytest.approx(10.0)
    assert aside < 0.01
    assert EDE(t_min=0.1, t_max=0.1).backward(one, x, 0.7)[0] == pytest.approx(1.0)


@pytest.mark.parametrize("name", FORMULAS)
def test_reaches_the_gradient_of_sign(name):
    quantizer = SignActivations(surrogate=make_surrogate(name))
    quantizer.progress = 0.6
    x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    quantizer(x).sum().backward()
    expected = [FORMULAS[name](point, 0.6) for point in POINTS]
    torch.testing.assert_close(x.grad, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize("shape", [(70_000,), (1100, 65), (3, 4, 80, 80)])
def test_many_numbers_take_a_slow_derivative_from_a_table(shape, is_turned):
    generator = torch.Generator().manual_seed(0)
    x, grad = torch.randn(2, *shape, generator=generator)
    if is_turned:
        x, grad = x.mT if x.ndim > 1 else x.flip(0), grad.mT if x.ndim > 1 else grad.flip(0)
    found = []
    for dtype in (torch.float32, torch.float64):
        of = x.to(dtype, copy=True).requires_grad_()
        assert of.is_contiguous() != (is_turned and x.ndim > 1)
        surrogate_sign(of, EDE(), 0.6).backward(grad.to(dtype))
        found.append(of.grad.double())
    error = float((found[0] - found[1]).norm() / found[1].norm())
    assert 1e-6 < error < 2e-3
    assert slope_table(EDE(), x, 0.6) is not None
    assert slope_table(EDE(), x.double(), 0.6) is None
    assert slope_table(EDE(), x.flatten()[:1000], 0.6) is None
    assert slope_table(Clipped(), x, 0.6) is None
    assert slope_table(object(), x, 0.6) is None


def test_own_class_and_own_callable():
    class Half(Surrogate):
        def backward(self, grad, x, progress):
            return 0.5 * grad

    assert isinstance(make_surrogate(Half), Half)
    assert make_surrogate(lambda: Clipped(0.25)).bound == 0.25


def test_errors():
    with pytest.raises(ValueError, match="Unknown surrogate 'sine'; known are 'identity', 'cli"):
        make_surrogate("sine")
    with pytest.raises(ValueError, match=r"has no backward\(grad, x, progress\) method"):
        make_surrogate(object)
    with pytest.raises(TypeError, match="Surrogate has no backward"):
        Surrogate().backward(torch.ones(1), torch.ones(1), 0.0)


@pytest.mark.parametrize("o", [1.0, 2.0, 3.0])
def test_power_surrogate(o):
    points = torch.tensor(POINTS)
    progress = math.acos(1 - (o - 1) / 2) * 2 / math.pi
    grad = make_surrogate("power").backward(torch.ones(9), points, progress)
    size = points.abs()
    outer = torch.where(size <= 1.5, size.clamp(min=0.1) ** ((1 - o) / o) / o, 0.0)
    expected = torch.where(size <= 0.1, 0.1 ** (1 / o) / 0.1, outer)
    torch.testing.assert_close(grad, expected)


def test_sign_swish_is_the_derivative():
    x = torch.tensor(POINTS, dtype=torch.float64)
    grad = make_surrogate("sign_swish").backward(torch.ones(9).double(), x, 0.0)

    def primitive(z):
        s = torch.sigmoid(5 * z)
        return 2 * s * (1 + 5 * z * (1 - s)) - 1

    step = 1e-6
    torch.testing.assert_close(
        grad, (primitive(x + step) - primitive(x - step)) / (2 * step), rtol=1e-5, atol=1e-6
    )
