"""Training that stops when the accuracy on other rows no longer grows."""

import math

import numpy as np

from skbnn.nn.training import scores_of

__all__ = ["EarlyStopping", "accuracy"]


def accuracy(network, examples, batch_size=1024):
    """Return the weighted accuracy of a network on examples.

    Parameters
    ----------
    network : Network
        In any mode; it is in evaluation mode afterwards.
    examples : Examples
        Rows to classify.
    batch_size : int, default=1024
        Rows at once.

    Returns
    -------
    accuracy : float
    """
    hits = scores_of(network, examples, batch_size).argmax(1) == examples.y
    return float(np.average(hits, weights=examples.sample_weight))


class EarlyStopping:
    """Watches the accuracy on validation rows and keeps the best network.

    Parameters
    ----------
    examples : Examples
        Validation rows.
    tol : float
        What counts as better.
    patience : int
        Epochs without a better score before training stops.

    Attributes
    ----------
    scores : list of float
        Accuracy after each epoch.
    best_score : float
        The best of them.
    best_arrays : dict of str to ndarray
        The network's arrays at that epoch.
    """

    def __init__(self, examples, tol, patience):
        self.examples = examples
        self.tol = tol
        self.patience = patience
        self.scores = []
        self.best_score = -math.inf
        self.best_arrays = None
        self.reference = -math.inf
        self.waited = 0

    def state(self):
        """Return what :meth:`restore` goes on from; nothing before the first score."""
        if not self.scores:
            return {}
        return {
            "scores": np.array(self.scores),
            "best": self.best_arrays,
            "numbers": [self.best_score, self.reference, self.waited],
        }

    def restore(self, state):
        """Go on from a state."""
        if state:
            self.scores, self.best_arrays = state["scores"].tolist(), state["best"]
            self.best_score, self.reference, self.waited = state["numbers"]

    def update(self, network):
        """Score the network and return whether training should stop."""
        score = accuracy(network, self.examples)
        self.scores.append(score)
        if score > self.best_score:
            self.best_score, self.best_arrays = score, network.arrays()
        if score > self.reference + self.tol:
            self.reference, self.waited = score, 0
        else:
            self.waited += 1
        return self.waited >= self.patience
