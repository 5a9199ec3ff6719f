"""The processes that train one network together, each on its part of every batch.

What one process computes of a whole batch, they compute of it together: the statistics of batch
norm, the mean of the loss, what a quantizer learns from its inputs. So several processes make the
same updates as one on the same batches, but for the rounding of sums and other dropout masks.
Gradients are averaged by torch's own ``DistributedDataParallel``.

Everything that need not be the same in every process is drawn from generators of the same state in
all of them, or comes from the first one.
"""

import atexit
import multiprocessing
import os
import threading
from dataclasses import dataclass
from inspect import signature

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

__all__ = ["ALONE", "Processes", "processes_of"]

# Another name since torch 2.13.
_SYNC_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in signature(DistributedDataParallel).parameters
)


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; so is the gradient of each one's addend."""

    @staticmethod
    def forward(ctx, x):
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, grad):
        return _Sum.forward(ctx, grad)


@dataclass(frozen=True)
class Processes:
    """Processes that train a network together; by default, one that does so alone.

    Parameters
    ----------
    device : torch.device
        Where this process trains.
    count : int, default=1
        Number of processes.
    rank : int, default=0
        Number of this one.
    """

    device: torch.device
    count: int = 1
    rank: int = 0

    def part(self, index):
        """Return this process's part of the rows of a batch; parts differ by at most one row."""
        if self.count > len(index):
            raise ValueError(
                f"A batch of {len(index)} rows cannot be shared among {self.count} processes; pass "
                "a larger batch_size or launch fewer processes."
            )
        return np.array_split(index, self.count)[self.rank]

    def sum(self, x):
        """Return the sum of a tensor over all processes; gradients flow to all of them."""
        return x if self.count == 1 else _Sum.apply(x)

    def total(self, number):
        """Return the sum of a number over all processes."""
        if self.count == 1:
            return number
        return self.sum(torch.tensor(float(number), device=self.device)).item()

    def agree(self, value):
        """Return what the first process passes, any object that can be pickled."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, device=self.device)
        return values[0]

    def check_same(self, digest):
        """Refuse to go on where processes have different rows, which would train no one network.

        Parameters
        ----------
        digest : callable
            Returns a text that stands for the rows, their classes and weights.

        Raises
        ------
        ValueError
            In every process, if they differ in any.
        """
        if self.count == 1:
            return
        found = digest()
        if self.total(found != self.agree(found)):
            raise ValueError(
                "Processes that train together were given different rows. Every process must call "
                "fit with the same X, y and sample_weight; batches are shared out among them."
            )

    def averaged(self, network):
        """Return the network as a module whose gradients are averaged over all processes."""
        if self.count == 1:
            return network
        # Statistics that are not parameters are the same everywhere already.
        return DistributedDataParallel(network, **{_SYNC_BUFFERS: False})


ALONE = Processes(torch.device("cpu"))


def processes_of(device):
    """Return the processes that an estimator's ``device`` names.

    Parameters
    ----------
    device : str
        A device of torch, or ``"accelerate"`` for the processes and devices with which ``accelerate
        launch`` has started the script: one process where it has not.

    Returns
    -------
    processes : Processes

    Raises
    ------
    ValueError
        If torch has no such device.
        If it is ``"accelerate"``, several processes were launched, and joblib has shared fits out
        among workers or threads of this one.
    ImportError
        If accelerate is needed and missing.
    """
    if device == "accelerate":
        return _launched()
    try:
        found = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"torch cannot use device={device!r}; 'cpu' always works.") from error
    return Processes(found)


def _launched():
    """Return the processes that have been launched together, as accelerate finds them."""
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise ImportError(
            'device="accelerate" needs accelerate: pip install "skbnn[dist]"'
        ) from error
    _check_not_shared_out()
    # Without a GPU it would let each process train alone.
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    atexit.unregister(_leave)
    atexit.register(_leave)
    return Processes(accelerator.device, accelerator.num_processes, accelerator.process_index)


def _leave():
    """End what the processes exchange by, if the script has not.

    A thread of gloo that still holds a tensor while Python goes down would abort the process.
    """
    if dist.is_initialized():
        dist.destroy_process_group()


def _check_not_shared_out():
    """Refuse fits that joblib has shared out: each would wait for partners that train another."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return
    is_worker = multiprocessing.current_process().name.startswith("LokyProcess")
    if is_worker or threading.current_thread() is not threading.main_thread():
        raise ValueError(
            'device="accelerate" in processes that were launched together needs n_jobs=None in '
            "searches and cross-validation: each fit is already shared among all of them."
        )
