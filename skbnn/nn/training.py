"""One training loop for every network: skorch's, on batches of prepared rows.

skorch is used by composition, in :class:`Run` alone. Randomness comes from one generator and
nothing global is touched; an interrupt passes through to the caller.
"""

import math
import os
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from threadpoolctl import ThreadpoolController
from torch import nn
from torch.utils.data import Dataset

from skbnn.nn.losses import distillation, make_loss, make_regularizer
from skbnn.nn.named import named
from skbnn.nn.optimizers import make_optimizer
from skbnn.nn.processes import ALONE, Processes
from skbnn.nn.randomness import make_generator
from skbnn.nn.rows import Rows

__all__ = ["Examples", "Run", "Training", "scores_of"]

_LAST_RATE = 1e-3
_MANY_ROWS = 1024
_SMALL_STEP = 1 << 23
_IS_SCALED = {"none": False, "glorot": True}
_SCHEDULES = {
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
    "linear": lambda progress: 1 - progress,
    # Such that with the last rate it is a geometric sequence.
    "exponential": lambda progress: (_LAST_RATE**progress - _LAST_RATE) / (1 - _LAST_RATE),
    "constant": lambda progress: 1.0,
}


@dataclass(frozen=True)
class Training:
    """Settings of one training run.

    Parameters
    ----------
    learning_rate : float
        Initial rate; it follows the technique's schedule, or stays if ``constant``.
    max_iter : int
        Epochs.
    batch_size : int
        Rows per update; batches of an epoch differ by at most one row.
    alpha : float
        Strength of the technique's regularizer, divided by the rows of a batch as
        scikit-learn's networks do.
    processes : Processes
        Where to train, and who shares the batches.
    constant : bool
        Whether the learning rate stays.
    """

    learning_rate: float
    max_iter: int
    batch_size: int
    alpha: float = 0.0
    processes: Processes = ALONE
    constant: bool = False


class Examples(Dataset):
    """Prepared rows with their classes and weights.

    Parameters
    ----------
    rows : Rows
        Prepared rows.
    y : int64 ndarray of shape (n_rows,)
        Class indices.
    sample_weight : float ndarray of shape (n_rows,) or None
        Weights, of mean 1; None for equal ones.
    teacher : float32 ndarray of shape (n_rows, n_classes) or None
        Class scores of a teacher.
    """

    def __init__(self, rows: Rows, y, sample_weight=None, teacher=None):
        self.rows = rows
        self.y = y
        self.sample_weight = sample_weight
        self.teacher = teacher

    def __len__(self):
        """Return the number of rows."""
        return len(self.rows)

    def take(self, index):
        """Return some of the examples."""
        weight = None if self.sample_weight is None else self.sample_weight[index]
        teacher = None if self.teacher is None else self.teacher[index]
        return Examples(self.rows.take(index), self.y[index], weight, teacher)

    def batch(self, index):
        """Return a batch in skorch's form: keywords of the network, arguments of the loss."""
        x = {"x": self.rows.batch(index)}
        y = torch.from_numpy(self.y[index])
        taught = () if self.teacher is None else (torch.from_numpy(self.teacher[index]),)
        if self.sample_weight is None:
            return x, (y, torch.ones(len(index)), *taught)
        weight = torch.from_numpy(self.sample_weight[index].astype(np.float32))
        return {**x, "sample_weight": weight}, (y, weight, *taught)


class _Batches:
    """Shuffled batches of nearly equal size, so that none is left with a single row.

    Of several processes each has the same batches, and a part of every one.
    """

    def __init__(self, examples, batch_size, generator, processes=ALONE):
        self.examples = examples
        self.generator = generator
        self.processes = processes
        self.n_batches = max(1, math.ceil(len(examples) / max(2, batch_size)))
        if len(examples) < 2 * self.n_batches:
            self.n_batches = max(1, len(examples) // 2)

    def __len__(self):
        return self.n_batches

    def __iter__(self):
        order = torch.randperm(len(self.examples), generator=self.generator).numpy()
        for index in np.array_split(order, self.n_batches):
            yield self.examples.batch(self.processes.part(index))


class _Loss(nn.Module):
    """Weighted mean of the technique's loss, plus its regularizer on the latent weights.

    Where examples have a teacher's scores, a share of the loss is that of distillation. Of several
    processes, each has a loss whose average over them is that of the batch.
    """

    def __init__(self, technique, latent, alpha, processes=ALONE):
        super().__init__()
        self.loss = make_loss(technique.loss)
        self.regularizer = make_regularizer(technique.regularizer)
        self.latent = latent
        self.alpha = alpha
        self.taught = technique.distillation
        self.processes = processes

    def forward(self, scores, target):
        y, weight, *teacher = target
        losses = self.loss(scores, y)
        if losses.shape != weight.shape:
            raise ValueError(
                f"A technique's loss must return one loss for each row, {tuple(weight.shape)}, got "
                f'shape {tuple(losses.shape)}; pass reduction="none" to torch\'s own.'
            )
        for given in teacher:
            losses = torch.lerp(losses, distillation(scores, given), self.taught)
        n_rows = self.processes.total(len(y))
        loss = (losses * weight).sum() * self.processes.count / n_rows
        if self.alpha:
            loss = loss + self.alpha / n_rows * sum(map(self.regularizer, self.latent))
        return loss


class _Steps(Callback):
    """Before each update the scheduled learning rate, after it the clip of latent weights."""

    def __init__(self, network, latent, technique, settings, n_batches):
        self.network = network
        self.latent = latent
        self.clip = technique.latent_clip
        self.is_whole = not settings.constant
        schedule = technique.schedule if self.is_whole else "constant"
        self.schedule = named("schedule", _SCHEDULES, schedule)
        self.n_batches = n_batches
        self.total = settings.max_iter * n_batches
        self.step = 0

    def on_batch_begin(self, net, **kwargs):
        if self.is_whole:
            self.network.set_progress(self.step / self.total)
        wave = self.schedule(self.step / self.total)
        for group in net.optimizer_.param_groups:
            group["lr"] = group["initial_lr"] * (_LAST_RATE + (1 - _LAST_RATE) * wave)

    def on_batch_end(self, net, **kwargs):
        self.step += 1
        if self.clip is not None:
            with torch.no_grad():
                for weight in self.latent:
                    weight.clamp_(-self.clip, self.clip)


def _parameter_groups(network, technique, learning_rate, separate):
    """Return the optimizer's groups, one for each rate.

    Latent matrices may have scaled ones, and quantizers name parameters that have a share of it.
    """
    latent = network.latent()
    shares = {
        id(getattr(module, name)): share
        for module in network.modules()
        for name, share in getattr(module, "rates", {}).items()
    }
    is_scaled = named("learning_rate_scaling", _IS_SCALED, technique.learning_rate_scaling)
    parameters_of = {}
    for name, parameter in network.named_parameters():
        rate = learning_rate * shares.get(id(parameter), 1.0)
        if name in latent and is_scaled:
            rate *= math.sqrt(sum(parameter.shape) / 1.5)
        parameters_of.setdefault((rate, separate and name in latent), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "initial_lr": rate, "latent": is_latent}
        for (rate, is_latent), parameters in parameters_of.items()
    ]


def _threads(latent, batch_size):
    """Return a context for an epoch: one thread where there is too little work to share.

    Where an update is small, threads that meet after each of its short operations cost more than
    they save, by far where other programs keep a core busy. And fits in the threads of a pool
    share the cores out already, unless OMP_NUM_THREADS says how many there are for each of them;
    that of the main thread has them all. The limit holds for the calling thread alone.
    """
    is_large = batch_size * sum(weight.numel() for weight in latent) >= _SMALL_STEP
    in_main_thread = threading.current_thread() is threading.main_thread()
    if is_large and (in_main_thread or "OMP_NUM_THREADS" in os.environ):
        return nullcontext
    # Torch sets its own number when a thread first asks for it, which must not come later.
    torch.get_num_threads()
    return partial(ThreadpoolController().limit, limits=1, user_api="openmp")


class Run:
    """Training of a network; each step of the iteration is one epoch and yields its loss.

    ``flip_ratios`` grows with each epoch by the share of latent weights that changed their sign.

    Parameters
    ----------
    network : Network
        Trained in place.
    examples : Examples
        Training set.
    technique : Technique
        Loss, optimizer, clip and regularizer.
    settings : Training
        Rates and sizes.
    generator : torch.Generator
        Source of the order of rows.

    Raises
    ------
    ValueError
        If the technique names an unknown loss, optimizer or regularizer; while training, if the
        loss, a weight or a statistic is no longer finite after an epoch.
    """

    def __init__(self, network, examples, technique, settings, generator):
        processes = settings.processes
        network.to(processes.device).share(processes)
        latent = list(network.latent().values())
        batches = _Batches(examples, settings.batch_size, generator, processes)
        groups_of = partial(_parameter_groups, network, technique, settings.learning_rate)
        self.latent = latent
        self.flip_ratios = []
        self.network, self.examples = network, examples
        self.max_iter = settings.max_iter
        self.processes = processes
        self.steps = _Steps(network, latent, technique, settings, len(batches))
        self.threads = _threads(latent, len(examples) / len(batches))
        self.net = NeuralNet(
            processes.averaged(network),
            criterion=_Loss(technique, latent, settings.alpha, processes),
            optimizer=lambda _, lr: make_optimizer(technique.optimizer, groups_of, lr),
            lr=settings.learning_rate,
            iterator_train=lambda _, batch_size: batches,
            train_split=None,
            device=processes.device,
            callbacks=[self.steps],
            callbacks__print_log=None,
        )
        self.net.initialize()

    def __iter__(self):
        """Yield the mean training loss of each epoch as it ends."""
        self.net.notify("on_train_begin", X=self.examples, y=None)
        signs = self._signs()
        for _ in range(self.max_iter - len(self.flip_ratios)):
            # Not fit or partial_fit: both swallow an interrupt and return a half-trained network.
            with self.threads():
                self.net.fit_loop(self.examples, epochs=1)
            # Of all processes: one that stopped alone would leave the others waiting.
            loss = self.processes.total(self.net.history[-1, "train_loss"]) / self.processes.count
            self._check_finite(loss)
            before, signs = signs, self._signs()
            self.flip_ratios.append(_flip_ratio(before, signs))
            yield loss
        self.net.notify("on_train_end", X=self.examples, y=None)

    def settle(self):
        """Give the batch norms of the trained network the statistics of the weights it ended with.

        One more pass over the examples, without gradients. What is trained afterwards is the same
        with it and without.
        """
        batches = _Batches(self.examples, _MANY_ROWS, make_generator(), self.processes)
        device = self.processes.device
        with self.threads():
            self.network.estimate_statistics(
                {name: tensor.to(device) for name, tensor in x.items()} for x, _ in batches
            )

    def settled(self):
        """Settle, and return the network's arrays."""
        self.settle()
        return self.network.arrays()

    def _signs(self):
        """Return the signs of all latent weights, tensor by tensor."""
        return [weight.detach() >= 0 for weight in self.latent]

    def _check_finite(self, loss):
        """Refuse a network that has diverged: signs of NaN look like any others."""
        module = self.net.module_
        tensors = [*module.parameters(), *module.buffers()]
        if not (math.isfinite(loss) and all(bool(t.isfinite().all()) for t in tensors)):
            raise ValueError(
                "Training diverged: weights, statistics or the loss are not finite. Lower "
                "learning_rate_init, or scale features with very large values."
            )

    def optimizer_arrays(self):
        """Return the optimizer's state as NumPy arrays, a dict by the number of a parameter."""
        state = self.net.optimizer_.state_dict()["state"]
        return {
            str(i): {name: value.cpu().numpy().copy() for name, value in values.items()}
            for i, values in state.items()
        }

    def restore_optimizer(self, arrays):
        """Go on with the optimizer's state of :meth:`optimizer_arrays`."""
        full = self.net.optimizer_.state_dict()
        full["state"] = {
            int(i): {name: torch.from_numpy(value.copy()) for name, value in values.items()}
            for i, values in arrays.items()
        }
        self.net.optimizer_.load_state_dict(full)

    def restore(self, optimizer, flip_ratios):
        """Go on after some epochs, with the optimizer's state and flip ratios of then.

        The network itself is restored by its owner.
        """
        self.restore_optimizer(optimizer)
        self.flip_ratios = list(flip_ratios)
        self.steps.step = len(flip_ratios) * self.steps.n_batches


def scores_of(network, examples, batch_size=_MANY_ROWS):
    """Return the class scores that a network gives examples.

    Parameters
    ----------
    network : Network
        In any mode; it is in evaluation mode afterwards.
    examples : Examples
        Rows.
    batch_size : int, default=1024
        Rows at once.

    Returns
    -------
    scores : float32 ndarray of shape (n_rows, n_classes)
    """
    network.eval()
    device = next(network.parameters()).device
    threads = _threads(network.latent().values(), batch_size)
    parts = []
    with torch.no_grad(), threads():
        for start in range(0, len(examples), batch_size):
            index = np.arange(start, min(start + batch_size, len(examples)))
            parts.append(network(examples.rows.batch(index).to(device)).cpu())
    return torch.cat(parts).numpy()


def _flip_ratio(before, after):
    """Return the share of signs that differ."""
    flips = sum(int((a ^ b).sum()) for a, b in zip(before, after, strict=True))
    return flips / max(1, sum(signs.numel() for signs in after))
