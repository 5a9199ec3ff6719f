"""Losses and regularizers: plain functions of scores and classes, and of latent weights."""

import torch.nn.functional as F

from skbnn.nn.named import named

__all__ = [
    "bipolar",
    "cross_entropy",
    "distillation",
    "l2",
    "make_loss",
    "make_regularizer",
    "squared_hinge",
]


def cross_entropy(scores, y):
    """Return the softmax cross-entropy of each row."""
    return F.cross_entropy(scores, y, reduction="none")


def squared_hinge(scores, y):
    """Return the mean of ``max(0, 1 - t s)^2`` over the classes, targets t in {-1, +1}."""
    targets = F.one_hot(y, scores.shape[1]).to(scores.dtype).mul_(2).sub_(1)
    return (1 - targets * scores).clamp(min=0).square().mean(1)


def distillation(scores, teacher):
    """Return the cross-entropy of each row with the class probabilities of a teacher's scores."""
    return -(F.softmax(teacher, 1) * F.log_softmax(scores, 1)).sum(1)


def l2(weight):
    """Return half the sum of squares of a latent weight matrix."""
    return 0.5 * weight.square().sum()


def bipolar(weight):
    """Return ``sum(1 - w^2)`` of a latent weight matrix, which is least at -1 and +1.

    References
    ----------
    Tang, Hua, Wang, How to Train a Compact Binary Neural Network with High Accuracy?, AAAI 2017.
    """
    return (1 - weight.square()).sum()


_LOSSES = {"cross_entropy": cross_entropy, "squared_hinge": squared_hinge}
_REGULARIZERS = {"l2": l2, "bipolar": bipolar}


def make_loss(loss):
    """Return the loss of a name; a callable is returned as it is, but a class is refused."""
    if isinstance(loss, type):
        raise TypeError(
            "A loss is called with scores and classes: pass an object, such as "
            f'{loss.__name__}(reduction="none"), and not its class.'
        )
    return named("loss", _LOSSES, loss)


def make_regularizer(regularizer):
    """Return the regularizer of a name; a callable is returned as it is."""
    return named("regularizer", _REGULARIZERS, regularizer)
