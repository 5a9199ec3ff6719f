"""What two processes must agree on, checked in both; `test_processes.py` launches them.

Each check trains, or computes, on a part of a batch as one of two processes, and on the whole batch
alone, and compares. The first process writes what each check found to the file that is named.
"""

import atexit
import json
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits

from skbnn import BinaryCNNClassifier, BinaryMLPClassifier, BinaryTransformerClassifier
from skbnn.nn.inputs import fit_input
from skbnn.nn.networks import dense_network
from skbnn.nn.normalizers import BatchNorm
from skbnn.nn.processes import ALONE, processes_of
from skbnn.nn.randomness import Dropout, make_generator
from skbnn.nn.training import Examples, Run, Training
from skbnn.packed.format import to_bytes
from skbnn.techniques import get_technique, list_techniques

N_ROWS = 47


def normalized(processes, weight, steps=3):
    """Return what a batch norm gives some rows, its gradients and its statistics."""
    index = processes.part(np.arange(N_ROWS))
    norm = BatchNorm(5).double()
    norm.processes = processes
    for step in range(steps):
        generator = make_generator(step)
        z = (9 * torch.randn(N_ROWS, 5, generator=generator) + 200).double().requires_grad_()
        pull = torch.randn(N_ROWS, 5, generator=generator).double()
        given = None if weight is None else weight[index]
        y = norm(z[index], given)
        norm.zero_grad()
        (y * pull[index]).sum().backward()
    whole = [processes.sum(p.grad) for p in norm.parameters()]
    return y, z.grad[index], *whole, norm.mean, norm.var


def check_batch_norm(processes):
    """Statistics are those of the whole batch, with weights and without, and so are gradients."""
    rows = processes.part(np.arange(N_ROWS))
    weights = [None, 3 * torch.rand(N_ROWS, generator=make_generator(9)).double()]
    for weight in weights:
        together, alone = normalized(processes, weight), normalized(ALONE, weight)
        of_part = [alone[0][rows], alone[1][rows], *alone[2:]]
        for found, expected in zip(together, of_part, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def check_dropout(processes):
    """Processes drop other elements, and leave their generators in the same state."""
    dropout = Dropout(0.5, make_generator(3))
    dropout.processes = processes
    masks = dropout(torch.ones(2, 1000)).sum(0) > 0
    assert 1200 < processes.sum(masks.float()).sum() < 1800
    assert processes.total(float((masks != processes.agree(masks)).sum())) > 300
    state = dropout.generator.get_state()
    assert torch.equal(state, processes.agree(state))


def trained(technique, processes, weighted):
    """Return a network after an epoch of two batches, and its loss."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N_ROWS, 12)), rng.integers(0, 3, N_ROWS)
    inputs = fit_input(technique, X, y, np.ones(N_ROWS), 3)
    weight = rng.uniform(0.5, 1.5, N_ROWS) if weighted else None
    examples = Examples(inputs.rows(X), y, weight)
    generator = make_generator(5)
    network = dense_network(
        inputs.operation,
        3,
        technique,
        hidden_layer_sizes=(9, 8),
        init=0.3,
        input_dropout=0.0,
        hidden_dropout=0.0,
        generator=generator,
    )
    settings = Training(0.1, max_iter=1, batch_size=24, alpha=0.3, processes=processes)
    (loss,) = Run(network, examples, technique, settings, generator)
    return network.arrays(), loss


def check_techniques(processes):
    """Every technique's network gets the same updates from two processes as from one."""
    weighted = [(name, True) for name in list_techniques()]
    # Without weights batch norm and sign are one step.
    for name, has_weights in [*weighted, ("bnn", False), ("bit", False)]:
        technique = get_technique(name)
        if technique.optimizer.startswith("ada"):
            # Steps of Adam do not show how large a gradient is.
            technique = replace(technique, optimizer="sgd")
        (together, loss), (alone, loss_alone) = (
            trained(technique, shared, has_weights) for shared in (processes, ALONE)
        )
        # An epoch's mean counts batches by the rows of each process, 12 or 11 of them.
        np.testing.assert_allclose(loss, loss_alone, rtol=3e-2, err_msg=name)
        for key, expected in alone.items():
            np.testing.assert_allclose(
                together[key], expected, rtol=2e-3, atol=2e-5, err_msg=f"{name}: {key}"
            )


def check_fits(processes):
    """Every process ends with the same estimator, without a seed too, and so goes on."""
    X, y = load_digits(return_X_y=True)
    settings = {"max_iter": 1, "device": "accelerate"}
    for est in (
        BinaryMLPClassifier((16,), early_stopping=True, n_iter_no_change=2, **settings),
        BinaryMLPClassifier((16,), technique="bit", **settings),
        BinaryCNNClassifier((4, 4), **settings),
        BinaryTransformerClassifier(d_model=8, n_layers=1, n_heads=2, **settings),
    ):
        est.fit(X, y).partial_fit(X[:200], y[:200])
        fitted = to_bytes(est.packed_), est.loss_curve_, est.flip_ratios_, est.n_iter_
        assert fitted == processes.agree(fitted), est
        network = est.to_torch()(torch.from_numpy(X))
        assert np.array_equal(network.numpy(), est.packed_.scores(X)), est


def check_accuracy(processes):
    """Two processes learn as one does."""
    X, y = load_digits(return_X_y=True)
    est = BinaryMLPClassifier((32,), max_iter=8, random_state=0, device="accelerate").fit(X, y)
    assert est.score(X, y) > 0.93


class _Ends:
    """A callback of scikit-learn: something happens at the end of an epoch.

    Parameters
    ----------
    end : callable
        Called with the number of the end.
    """

    def __init__(self, end):
        self.end, self.count = end, 0

    def setup(self, estimator, context):
        """Have nothing to prepare."""

    teardown = setup

    def on_fit_task_begin(self, estimator, context):
        """Have nothing to do."""

    def on_fit_task_end(self, estimator, context, **kwargs):
        """Let it happen."""
        self.count += 1
        return self.end(self.count)


def check_stop(processes):
    """Where one process stops, all do."""
    est = BinaryMLPClassifier((8,), max_iter=5, random_state=0, device="accelerate")
    if not hasattr(est, "set_callbacks"):
        return
    X, y = load_digits(return_X_y=True)
    est.set_callbacks(_Ends(lambda count: processes.rank == 1)).fit(X[:200], y[:200])
    assert est.n_iter_ == 1


def check_checkpoint(processes):
    """A broken fit goes on from what the first process has written."""
    X, y = load_digits(return_X_y=True)
    settings = {"max_iter": 3, "random_state": 0, "device": "accelerate"}
    path = Path(sys.argv[1]).with_name("fit.checkpoint")
    est = BinaryMLPClassifier((8,), checkpoint=path, **settings)
    if not hasattr(est, "set_callbacks"):
        return

    def breaks(count):
        if count == 2:
            raise KeyboardInterrupt

    try:
        est.set_callbacks(_Ends(breaks)).fit(X, y)
    except KeyboardInterrupt:
        assert processes.total(path.exists()) == processes.count
    again = BinaryMLPClassifier((8,), checkpoint=path, **settings).fit(X, y)
    whole = BinaryMLPClassifier((8,), **settings).fit(X, y)
    assert again.packed_ == whole.packed_
    assert processes.total(path.exists()) == 0


def check_refusals(processes):
    """Other rows in each process are refused, in all of them; so are batches of too few rows."""
    X, y = load_digits(return_X_y=True)
    est = BinaryMLPClassifier((8,), max_iter=1, random_state=0, device="accelerate")
    try:
        est.fit(X[processes.rank :: 2], y[processes.rank :: 2])
    except ValueError as error:
        assert "were given different rows" in str(error)
    else:
        raise AssertionError("different rows were not refused")
    try:
        processes.part(np.arange(1))
    except ValueError as error:
        assert "larger batch_size" in str(error)
    else:
        raise AssertionError("a batch of one row was shared")


def has_left():
    """Threads of torch that outlive Python's end can abort it, so a fit's own end comes first."""
    if dist.is_initialized():
        print("the process group was left to the end of Python", file=sys.stderr, flush=True)
        os._exit(3)


def main():
    """Run every check in every process, and write the errors of all."""
    # What is registered first runs last.
    atexit.register(has_left)
    processes = processes_of("accelerate")
    assert dist.is_initialized()
    found = {"count": int(processes.total(1))}
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            error = ""
            try:
                check(processes)
            except Exception:
                error = traceback.format_exc()
            found[name] = [processes.agree(error), error]
    if processes.rank == processes.count - 1:
        Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
