"""Batch norm and sign in one step, against the two apart, as torch computes them."""

import pytest
import torch

from skbnn.nn.normalized_signs import are_fast
from skbnn.nn.normalizers import BatchNorm
from skbnn.nn.quantizers import make_quantizer
from skbnn.nn.surrogates import Clipped


def made(n_units, surrogate="clipped"):
    """Return a batch norm with slopes of every sign, and the quantizer behind it."""
    norm = BatchNorm(n_units)
    with torch.no_grad():
        norm.gamma.copy_(torch.linspace(-1.5, 2, n_units))
        norm.beta.copy_(torch.linspace(0.5, -1, n_units))
    return norm, make_quantizer("activations", "sign", surrogate=surrogate)


class Half(Clipped):
    """A surrogate that derives from one that is known, and is another."""

    def backward(self, grad, x, progress):
        return super().backward(grad, x, progress) / 2


@pytest.mark.parametrize("surrogate", ["clipped", "approx_sign", "power", Half])
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(("n", "n_units"), [(2, 1), (33, 7), (300, 65)])
def test_equals_norm_and_sign(n, n_units, is_weighted, surrogate):
    generator = torch.Generator().manual_seed(0)
    # Irregular numbers: no pre-activation is so near 0 or 1 that rounding could matter.
    z = 3 * torch.randn(n, n_units, generator=generator) + 5
    grad = torch.randn(n, n_units, generator=generator)
    weight = torch.arange(n) % 3 + 0.5 if is_weighted else None
    found = []
    for dtype in (torch.float32, torch.float64):
        norm, quantizer = made(n_units, surrogate)
        norm, quantizer.progress = norm.to(dtype), 0.5
        x = z.to(dtype, copy=True).requires_grad_()
        assert are_fast(x, norm) == (dtype == torch.float32)
        codes = quantizer.normalized(x, norm, weight)
        codes.backward(grad.to(dtype))
        found.append([codes.detach(), x.grad, norm.gamma.grad, norm.beta.grad, norm.mean, norm.var])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs.float(), rtol=1e-4, atol=1e-5)
    assert (found[0][1] != 0).any() or n == 2


@pytest.mark.parametrize("surrogate", ["power", "ede", "tanh", "sign_swish", "approx_sign"])
def test_large_batches_take_slow_derivatives_from_a_table(surrogate):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1100, 65, generator=generator)
    grad = torch.randn(z.shape, generator=generator)
    found = []
    for dtype in (torch.float32, torch.float64):
        norm, quantizer = made(65, surrogate)
        norm, quantizer.progress = norm.to(dtype), 0.5
        x = z.to(dtype, copy=True).requires_grad_()
        quantizer.normalized(x, norm).backward(grad.to(dtype))
        found.append((x.grad, norm.gamma.grad, norm.beta.grad))
    is_table = quantizer.surrogate.tabulated
    assert is_table == (surrogate != "approx_sign")
    for ours, theirs in zip(*found, strict=True):
        error = float((ours - theirs).norm() / theirs.norm())
        # "power" has jumps, whose places the table knows to within a step.
        assert error < (0.02 if surrogate == "power" else 2e-3)
        assert (error > 1e-5) == is_table


def test_a_surrogate_of_ones_own_is_asked_for_every_number():
    class Uneven:
        def backward(self, grad, x, progress):
            return torch.where(x > 0, grad, -2 * grad)

    z = torch.randn(1100, 65, generator=torch.Generator().manual_seed(0))
    found = []
    for dtype in (torch.float32, torch.float64):
        norm, quantizer = made(65, Uneven)
        x = z.to(dtype, copy=True).requires_grad_()
        quantizer.normalized(x, norm.to(dtype)).sum().backward()
        found.append(x.grad)
    torch.testing.assert_close(found[0], found[1].float(), rtol=1e-3, atol=1e-4)


def test_the_way_back_is_that_of_the_way_forth():
    """Parameters may have changed by then, as where several losses are summed up."""
    z = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    found = []
    for moves in (False, True):
        norm, quantizer = made(5)
        x = z.clone().requires_grad_()
        codes = quantizer.normalized(x, norm)
        if moves:
            with torch.no_grad():
                norm.gamma += 1
                norm.beta += 3
        codes.sum().backward()
        found.append([x.grad, norm.gamma.grad, norm.beta.grad])
    assert (found[0][0] != 0).any()
    for first, second in zip(*found, strict=True):
        assert torch.equal(first, second)


def test_where_it_does_not_apply_nothing_is_lost():
    z = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    norm, quantizer = made(3)
    norm(z)
    norm.eval()
    assert not are_fast(z, norm)
    torch.testing.assert_close(quantizer.normalized(z, norm), quantizer(norm(z)))
    assert not are_fast(z.double(), BatchNorm(3).double())
    assert not are_fast(z[:1], BatchNorm(3))
