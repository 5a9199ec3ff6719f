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
