"""Training in stages: networks that start from each other, and learn from each other."""

from dataclasses import replace

import numpy as np
import torch

from skbnn.nn.training import Examples, Run, scores_of

__all__ = ["Stages"]


class Stages:
    """Training of a technique's stages; each step of the iteration is an epoch, as in ``Run``.

    Each network begins with what it has in common with the one before, and may learn from its
    class probabilities too.

    Parameters
    ----------
    stages : list of (Technique, int)
        Techniques and their epochs; see :func:`skbnn.techniques.stages_of`.
    build : callable
        Maps a technique to its untrained network.
    examples : Examples
        Training set.
    settings : callable
        Maps a technique to its :class:`~skbnn.nn.training.Training`, but for the epochs.
    generator : torch.Generator
        Source of the order of rows.

    Attributes
    ----------
    network : Network
        That of the stage in training.
    run : Run
        Its run.
    is_last : bool
        Whether it is the last stage.
    """

    def __init__(self, stages, build, examples, settings, generator):
        self.stages, self.build, self.settings = list(stages), build, settings
        self.examples, self.generator = examples, generator
        self._chain, self._flip_ratios, self._before = self.stages[:], [], {}
        self._begin(None)

    @property
    def flip_ratios(self):
        """Share of latent weights that changed their sign in each epoch, of all stages so far."""
        return [ratio for ratios in self._flip_ratios for ratio in ratios]

    @property
    def is_last(self):  # noqa: D102
        return not self.stages

    def __iter__(self):
        """Yield the mean training loss of each epoch as it ends."""
        yield from self.run
        while self.stages:
            self.run.settle()
            self._begin(self.network)
            yield from self.run

    def state(self):
        """Return what :meth:`restore` goes on from after an epoch: dicts, lists and arrays."""
        return {
            "before": self._before,
            "flip_ratios": [np.array(ratios, np.float64) for ratios in self._flip_ratios],
            "network": self.network.arrays(),
            "optimizer": self.run.optimizer_arrays(),
            "generator": self.generator.get_state().numpy(),
        }

    def restore(self, state):
        """Go on from a state, so that what follows is what would have followed then."""
        *past, ratios = state["flip_ratios"]
        if past:
            technique, _ = self._chain[len(past) - 1]
            before = self.build(technique).restore(state["before"])
            self.stages = self._chain[len(past) :]
            self._begin(before.to(self.settings(technique).processes.device))
        self.network.restore(state["network"])
        self.run.restore(state["optimizer"], ratios.tolist())
        self._flip_ratios = [*(done.tolist() for done in past), self.run.flip_ratios]
        self.generator.set_state(torch.from_numpy(state["generator"].copy()))

    def _begin(self, before):
        """Build the next network and what trains it."""
        technique, epochs = self.stages.pop(0)
        self.network = self.build(technique)
        examples = self.examples
        if before is not None:
            self._before = before.arrays()
            self.network.adopt(before)
            if technique.distillation:
                taught = scores_of(before, examples)
                examples = Examples(examples.rows, examples.y, examples.sample_weight, taught)
        settings = replace(self.settings(technique), max_iter=epochs)
        self.run = Run(self.network, examples, technique, settings, self.generator)
        self._flip_ratios.append(self.run.flip_ratios)
