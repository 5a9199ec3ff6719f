"""Losses and regularizers against their formulas."""

import pytest
import torch

from skbnn.nn.losses import bipolar, distillation, make_loss


def test_losses():
    scores = torch.tensor([[2.0, -0.5, 0.0], [0.5, 1.0, -3.0]])
    y = torch.tensor([0, 1])
    hinge = make_loss("squared_hinge")(scores, y)
    torch.testing.assert_close(hinge, torch.tensor([(0 + 0.25 + 1) / 3, (2.25 + 0 + 0) / 3]))
    entropy = make_loss("cross_entropy")(scores, y)
    torch.testing.assert_close(entropy, -torch.log_softmax(scores, 1)[[0, 1], y])


def test_a_class_is_no_loss():
    with pytest.raises(TypeError, match="pass an object, such as CrossEntropyLoss"):
        make_loss(torch.nn.CrossEntropyLoss)


def test_distillation_is_the_cross_entropy_of_the_teacher():
    generator = torch.Generator().manual_seed(0)
    scores, teacher = torch.randn(2, 5, 3, generator=generator)
    p = torch.softmax(teacher, 1)
    expected = torch.nn.functional.cross_entropy(scores, p, reduction="none")
    torch.testing.assert_close(distillation(scores, teacher), expected)


def test_bipolar_regularizer():
    w = torch.tensor([[0.5, -1.0]], requires_grad=True)
    assert bipolar(w).item() == 0.75
    bipolar(w).backward()
    assert w.grad.tolist() == [[-1.0, 2.0]]
