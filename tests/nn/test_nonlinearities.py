"""Non-linearities: learned slopes are never negative, and never stuck."""

import pytest
import torch

from skbnn.nn.nonlinearities import make_nonlinearity

SLOPES = {"prelu": "slope", "rprelu": "slope", "maxout": "fall"}


@pytest.mark.parametrize("name", SLOPES)
def test_a_slope_below_zero_is_zero_and_can_come_back(name):
    layer = make_nonlinearity(name, 3)
    slope = getattr(layer, SLOPES[name])
    with torch.no_grad():
        slope.copy_(torch.tensor([-0.5, 0.0, 0.5]))
    y = layer(torch.full((1, 3), -2.0))
    assert y.tolist() == [[0, 0, -1]]
    # To have larger results for negative numbers, slopes would have to fall; and the reverse.
    (-y).sum().backward()
    assert slope.grad.tolist() == [2, 2, 2]


@pytest.mark.parametrize("name", ["relu", "hard_tanh", "tanh", *SLOPES])
def test_monotone(name):
    layer = make_nonlinearity(name, 2)
    for parameter in layer.parameters():
        with torch.no_grad():
            parameter.copy_(torch.tensor([-0.3, 0.7]))
    y = layer(torch.linspace(-3, 3, 101)[:, None].expand(-1, 2))
    assert bool((y.diff(dim=0) >= 0).all())


@pytest.mark.parametrize("name", SLOPES)
@pytest.mark.parametrize("shape", [(50, 3), (7, 5, 3), (0, 3), (3,)])
def test_one_pass_computes_what_the_definition_does(name, shape):
    """In float32 with kernels, in float64 with torch's own gradients."""
    generator = torch.Generator().manual_seed(0)
    # Whole numbers, many of them at the corner.
    x, grad = (torch.randint(-3, 4, shape, generator=generator).float() for _ in range(2))
    results = []
    for dtype in (torch.float32, torch.float64):
        layer = make_nonlinearity(name, 3).to(dtype)
        with torch.no_grad():
            for k, parameter in enumerate(layer.parameters()):
                parameter.copy_(torch.tensor([-0.5, 1.0, 2.0]).roll(k))
        given = x.to(dtype, copy=True).requires_grad_()
        # What comes after it may work in place.
        y = layer(given).mul_(1)
        assert y.dtype == dtype
        y.backward(grad.to(dtype))
        results.append([y, given.grad, *(p.grad for p in layer.parameters())])
    for found, expected in zip(*results, strict=True):
        assert torch.equal(found.double(), expected)
