"""Batch norm with weights, and the affine map that both normalisers are once trained."""

import pytest
import torch

from skbnn.nn.normalizers import BatchNorm, ScaleShift, make_normalizer


def rows(n, n_units=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 5 * torch.randn(n, n_units, generator=generator) + 2


def trained(n_units=4, dtype=torch.float64):
    """Return a batch norm that has seen batches, with slopes of every sign."""
    norm = BatchNorm(n_units).to(dtype)
    with torch.no_grad():
        norm.gamma.copy_(torch.linspace(-1.5, 2, n_units))
        norm.beta.copy_(torch.linspace(3, -1, n_units))
        for seed in range(5):
            norm(rows(9, n_units, seed).to(dtype))
    return norm.eval()


def test_weights_are_repetitions():
    z, weight = rows(6), torch.tensor([1.0, 3.0, 2.0, 1.0, 4.0, 1.0])
    repeated = z.repeat_interleave(weight.long(), 0)
    a, b = BatchNorm(4), BatchNorm(4)
    weighted = a(z, weight).repeat_interleave(weight.long(), 0)
    torch.testing.assert_close(weighted, b(repeated), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(a.mean, b.mean)
    torch.testing.assert_close(a.var, b.var)
    unweighted = BatchNorm(4)(z).repeat_interleave(weight.long(), 0)
    assert not torch.allclose(weighted, unweighted, atol=0.1)


@pytest.mark.parametrize("weight", [None, torch.tensor([3.0])])
def test_one_row_is_normalised_by_the_running_statistics(weight):
    norm, z = trained(dtype=torch.float32), rows(1)
    expected, before = norm(z), (norm.mean.clone(), norm.var.clone())
    z.requires_grad_()
    found = norm.train()(z, weight)
    torch.testing.assert_close(found, expected)
    assert torch.equal(norm.mean, before[0])
    assert torch.equal(norm.var, before[1])
    found.sum().backward()
    torch.testing.assert_close(z.grad[0], norm.affine()[0].float())


def test_equal_weights_change_nothing():
    z = rows(8)
    a, b = BatchNorm(4), BatchNorm(4)
    torch.testing.assert_close(a(z, torch.ones(8)), b(z), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(a.var, b.var)


@pytest.mark.parametrize("weight", [None, torch.ones(32)])
def test_running_statistics(weight):
    norm, z = BatchNorm(4), rows(32)
    y = norm(z, weight)
    torch.testing.assert_close(y.mean(0), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.var(0, correction=0), torch.ones(4), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.mean, 0.1 * z.mean(0))
    torch.testing.assert_close(norm.var, 0.9 + 0.1 * z.var(0, correction=1))
    norm.eval()
    before = norm.mean.clone()
    norm(rows(5, seed=1))
    assert torch.equal(norm.mean, before)


def test_a_row_that_weighs_little_keeps_the_variance_finite():
    norm = BatchNorm(2)
    norm(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([0.3, 0.4]))
    assert torch.isfinite(norm.var).all()


@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 2.0, 1.0, 5.0, 1.0, 1.0])])
def test_gradient_is_that_of_the_formula(weight):
    z = rows(6).double().requires_grad_()
    norm = BatchNorm(4).double()
    share = (torch.ones(6) if weight is None else weight).double()
    share = (share / share.sum())[:, None]
    mean = (share * z).sum(0)
    var = (share * (z - mean) ** 2).sum(0)
    pull = rows(6, seed=1).double()
    (expected,) = torch.autograd.grad((pull * (z - mean) / torch.sqrt(var + norm.eps)).sum(), z)
    weight = None if weight is None else weight.double()
    (found,) = torch.autograd.grad((pull * norm(z, weight)).sum(), z)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("weight", [None, torch.arange(300) % 3 + 0.5])
@pytest.mark.parametrize("n", [2, 65, 300])
def test_one_pass_computes_what_torch_does(n, weight):
    """In float32 with kernels, in float64 without: results, gradients and running statistics."""
    z, pull, found = rows(n), rows(n, seed=1), []
    weight = None if weight is None else weight[:n]
    for dtype in (torch.float32, torch.float64):
        norm = BatchNorm(4).to(dtype)
        with torch.no_grad():
            norm.gamma.copy_(torch.linspace(-1.5, 2, 4))
            norm.beta.copy_(torch.linspace(3, -1, 4))
        given = z.to(dtype, copy=True).requires_grad_()
        # What comes after it may work in place.
        y = norm(given, weight).mul_(1)
        y.backward(pull.to(dtype))
        found.append([y.detach(), given.grad, norm.gamma.grad, norm.beta.grad, norm.mean, norm.var])
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("normalizer", [trained(), ScaleShift(4, 0.25).double()])
def test_affine_is_the_evaluated_map(normalizer):
    slope, shift = normalizer.eval().affine()
    assert slope.dtype == shift.dtype == torch.float64
    z = rows(20, seed=7).double()
    torch.testing.assert_close(normalizer(z), slope * z + shift)


def test_evaluation_is_monotone_in_the_last_bit():
    norm = trained(dtype=torch.float64)
    z = torch.arange(-300.0, 301.0, dtype=torch.float64)[:, None].expand(-1, 4)
    steps = norm(z).detach().diff(dim=0) * torch.sign(norm.gamma.detach())
    assert (steps >= 0).all()


def test_by_name():
    assert isinstance(make_normalizer("batch", 3, 2.0), BatchNorm)
    scale = make_normalizer("scale", 3, 2.0)
    assert scale.scale.tolist() == [1, 1, 1]
    assert scale.affine()[0].tolist() == [2, 2, 2]
    assert scale(torch.tensor([[1.0, -1.0, 0.5]])).tolist() == [[2, -2, 1]]
    assert make_normalizer(lambda n_units, gain: (n_units, gain), 3, 2.0) == (3, 2.0)
    with pytest.raises(ValueError, match="Unknown normalizer 'layer'; known are 'batch', 'scale'"):
        make_normalizer("layer", 3, 2.0)
