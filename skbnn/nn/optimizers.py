"""Optimizers by name: torch's, Bop, which keeps no latent weights, and one that does nothing."""

from functools import partial

import torch

from skbnn.nn.named import named
from skbnn.nn.quantizers import sign

__all__ = ["Bop", "Idle", "make_optimizer"]


class Bop(torch.optim.Adam):
    """Binary optimizer: flips weights of -1 and +1; other parameters are Adam's.

    ``m <- (1 - rate) m + rate g`` follows the gradient g of a weight w; w flips where
    ``abs(m) > threshold`` and ``sign(m) = sign(w)``. The rate falls as the learning rate does.

    Parameters
    ----------
    groups : list of dict
        Parameter groups; those of latent weights have ``"latent": True`` and become signs.
    lr : float
        Learning rate of the other parameters.
    rate : float, default=1e-2
        Initial rate of m. The paper has 1e-4, for trainings of 10^5 updates.
    threshold : float, default=1e-6
        Least size of an m that flips its weight.

    References
    ----------
    Helwegen et al., Latent Weights Do Not Exist: Rethinking Binarized Neural Network Optimization,
    NeurIPS 2019, arXiv 1906.02107.
    """

    separates_latent = True

    def __init__(self, groups, lr, rate=1e-2, threshold=1e-6):
        super().__init__(groups, lr=lr, fused=True)
        self.rate, self.threshold = rate, threshold
        with torch.no_grad():
            for weight in self._latent():
                weight.copy_(sign(weight))

    def step(self, closure=None):
        """Flip weights, and let Adam update the other parameters."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        with torch.no_grad():
            for group in self.param_groups:
                if group.get("latent"):
                    rate = self.rate * group["lr"] / group["initial_lr"]
                    for weight in group["params"]:
                        self._flip(weight, rate)
        super().step()
        return loss

    def _flip(self, weight, rate):
        if weight.grad is None:
            return
        state = self.state[weight]
        if "average" not in state:
            # Adam looks for a step in every state that it is given back.
            state.update(step=torch.zeros(()), average=torch.zeros_like(weight))
        average = state["average"].lerp_(weight.grad, rate)
        weight.mul_(torch.where(average * weight > self.threshold, -1.0, 1.0))
        # Nothing is left for Adam to do.
        weight.grad = None

    def _latent(self):
        return [w for group in self.param_groups if group.get("latent") for w in group["params"]]


class Idle(torch.optim.SGD):
    """Changes no parameter: the statistics of normalisers are all that a fit finds."""

    def step(self, closure=None):
        """Compute the loss."""
        return None if closure is None else closure()


_OPTIMIZERS = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamax": torch.optim.Adamax,
    "sgd": torch.optim.SGD,
    "bop": Bop,
    "none": Idle,
}


def make_optimizer(optimizer, groups_of, learning_rate):
    """Return a new optimizer.

    Parameters
    ----------
    optimizer : str or callable
        A name, or a callable of parameter groups and ``lr``; where it has a true attribute
        ``separates_latent``, latent weights have groups of their own.
    groups_of : callable
        Maps whether latent weights are separated to the groups.
    learning_rate : float
        Initial learning rate.

    Returns
    -------
    optimizer : torch.optim.Optimizer

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    make = named("optimizer", _OPTIMIZERS, optimizer)
    # A partial has none of the attributes of what it calls.
    kind = getattr(make, "func", make)
    return make(groups_of(getattr(kind, "separates_latent", False)), lr=learning_rate)
