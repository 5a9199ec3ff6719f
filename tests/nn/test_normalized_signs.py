"""Batch norm and clipped sign in one step, against the two apart."""

import pytest
import torch

from skbnn.nn.normalized_signs import are_fast
from skbnn.nn.normalizers import BatchNorm
from skbnn.nn.quantizers import make_quantizer


def made(n_units):
    """Return a batch norm with slopes of every sign, and the quantizer behind it."""
    norm = BatchNorm(n_units)
    with torch.no_grad():
        norm.gamma.copy_(torch.linspace(-1.5, 2, n_units))
        norm.beta.copy_(torch.linspace(0.5, -1, n_units))
    return norm, make_quantizer("activations", "sign", surrogate="clipped")


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(("n", "n_units"), [(2, 1), (33, 7), (300, 65)])
def test_equals_norm_and_sign(n, n_units, is_weighted):
    generator = torch.Generator().manual_seed(0)
    # Irregular numbers: no pre-activation is so near 0 or 1 that rounding could matter.
    z = 3 * torch.randn(n, n_units, generator=generator) + 5
    grad = torch.randn(n, n_units, generator=generator)
    weight = torch.arange(n) % 3 + 0.5 if is_weighted else None
    found = []
    for together in (True, False):
        norm, quantizer = made(n_units)
        x = z.clone().requires_grad_()
        assert are_fast(x, norm)
        codes = quantizer.normalized(x, norm, weight) if together else quantizer(norm(x, weight))
        codes.backward(grad)
        found.append([codes.detach(), x.grad, norm.gamma.grad, norm.beta.grad, norm.mean, norm.var])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert (found[0][1] != 0).any() or n == 2


def test_where_it_does_not_apply_nothing_is_lost():
    z = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    norm, quantizer = made(3)
    norm(z)
    norm.eval()
    assert not are_fast(z, norm)
    torch.testing.assert_close(quantizer.normalized(z, norm), quantizer(norm(z)))
    assert not are_fast(z.double(), BatchNorm(3).double())
    assert not are_fast(z[:1], BatchNorm(3))
    soft = make_quantizer("activations", "sign", surrogate="tanh")
    (one, _), (two, _) = made(3), made(3)
    x, y = (z.clone().requires_grad_() for _ in range(2))
    soft.normalized(x, one).sum().backward()
    soft(two(y)).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
