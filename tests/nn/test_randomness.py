"""Random tensors come from their generator, whole, uniform, and from nowhere else."""

import pytest
import torch

from skbnn.nn.randomness import Dropout, uniform


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (4,), (5, 7)])
def test_uniform_shape_and_grid(shape):
    u = uniform(shape, generator(), torch.device("cpu"))
    assert u.shape == shape
    assert u.dtype == torch.float32
    assert ((u >= 0) & (u < 1)).all()
    assert torch.equal(u * 2**16, (u * 2**16).round())


def test_uniform_is_uniform():
    u = uniform((400, 1000), generator(), torch.device("cpu"))
    counts = torch.histc(u, 64, 0, 1)
    expected = u.numel() / 64
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 63 + 5 * (2 * 63) ** 0.5
    # Four numbers come out of each draw: they must not depend on each other.
    quarters = u.reshape(-1, 4).T - 0.5
    correlation = torch.corrcoef(quarters)
    assert (correlation - torch.eye(4)).abs().max() < 5 / len(quarters[0]) ** 0.5


def test_same_seed_same_numbers():
    a, b, c = (uniform((9, 9), generator(seed), torch.device("cpu")) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_drops_a_share(p):
    dropout = Dropout(p, generator()).train()
    x = torch.full((300, 300), -1.0)
    y = dropout(x)
    assert set(y.unique().tolist()) == {-1.0, 0.0}
    share = float((y == 0).float().mean())
    assert share == pytest.approx(p, abs=5 * (p * (1 - p)) ** 0.5 / 300)
    assert dropout.gain == pytest.approx(1 / (1 - p))
    assert not torch.equal(dropout(x), y)


def test_dropout_does_nothing_outside_training_or_at_zero():
    x = torch.ones(5, 5)
    for dropout in (Dropout(0.5, generator()).eval(), Dropout(0.0, generator()).train()):
        before = dropout.generator.get_state()
        assert dropout(x) is x
        assert dropout.gain == 1.0
        assert torch.equal(dropout.generator.get_state(), before)


def test_dropout_lets_the_gradient_through_what_it_keeps():
    dropout = Dropout(0.5, generator()).train()
    x = torch.ones(20, 20, requires_grad=True)
    y = dropout(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_global_generator_is_untouched():
    before = torch.get_rng_state()
    uniform((100,), generator(), torch.device("cpu"))
    Dropout(0.5, generator()).train()(torch.ones(100))
    assert torch.equal(torch.get_rng_state(), before)
