"""Optimizers: Bop flips what the average says, the idle one changes nothing."""

from functools import partial

import numpy as np
import torch

from skbnn import BinaryMLPClassifier
from skbnn.nn.optimizers import Bop, Idle, make_optimizer


def bop(weights, **settings):
    weight = torch.nn.Parameter(torch.tensor(weights))
    group = {"params": [weight], "lr": 0.1, "initial_lr": 0.1, "latent": True}
    return weight, Bop([group], 0.1, **settings)


def test_bop_flips_what_the_average_says():
    weight, optimizer = bop([0.3, -0.2, 0.0, -0.7], rate=0.5, threshold=0.25)
    assert weight.tolist() == [1, -1, 1, -1]
    # The average is half the gradient: no flip at the threshold itself, one beyond it.
    weight.grad = torch.tensor([0.5, -0.6, 0.6, 0.6])
    optimizer.step()
    assert weight.tolist() == [1, 1, -1, -1]
    assert weight.grad is None
    idle, optimizer = bop([0.3, -0.2], rate=0.0)
    idle.grad = torch.tensor([9.0, -9.0])
    optimizer.step()
    assert idle.tolist() == [1, -1]


def test_bop_with_other_settings_gets_the_latent_weights_too():
    asked = []
    weight = torch.nn.Parameter(torch.tensor([0.3, -0.2]))

    def groups_of(separate):
        asked.append(separate)
        return [{"params": [weight], "lr": 0.1, "initial_lr": 0.1, "latent": separate}]

    made = make_optimizer(partial(Bop, rate=0.25), groups_of, 0.1)
    assert asked == [True]
    assert made.rate == 0.25
    assert weight.tolist() == [1, -1]


def test_a_fit_with_bop_keeps_signs(digits):
    X, X_test, y, y_test = digits
    est = BinaryMLPClassifier((50,), technique="bop", max_iter=8, random_state=0).fit(X, y)
    for name in ("blocks.0.weight", "blocks.1.weight"):
        assert set(np.unique(est.state_[name])) == {-1.0, 1.0}
    assert est.score(X_test, y_test) > 0.85


def test_an_idle_optimizer_changes_nothing():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = Idle([weight], lr=1.0)
    weight.grad = torch.ones(3)
    assert optimizer.step(lambda: 5) == 5
    assert weight.tolist() == [1, 1, 1]
