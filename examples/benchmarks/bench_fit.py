"""Time of an epoch: a binarized network against the same network in plain float32 torch.

Both train 784-1024-1024-1024-10 with the same batches of 256 rows, Adam, batch norm and dropout, on
random pixels: time does not depend on what they learn. Plain torch is a loop that a user would
write, on tensors that are ready. ``bare loop`` is the binarized network in such a loop, so its
ratio says what composing skorch costs. Peers take turns, a part of an epoch each.

K-means on bits is timed against scikit-learn's on the same rows, both for the same number of
iterations from their own k-means++ seeds::

    python examples/benchmarks/bench_fit.py
"""

import argparse

import numpy as np
import torch
from pairing import in_turn, ratio, table, write
from torch import nn

from skbnn import KMeansClassifier
from skbnn.nn.inputs import fit_input
from skbnn.nn.networks import dense_network
from skbnn.nn.randomness import make_generator
from skbnn.nn.training import Examples, Run, Training
from skbnn.techniques import get_technique

HIDDEN, N_CLASSES, BATCH = (1024, 1024, 1024), 10, 256
INPUT_DROPOUT, HIDDEN_DROPOUT = 0.2, 0.3


def binarized(X, y, technique, n_thresholds, dropouts):
    """Return a run of the package's training, one epoch a step."""
    technique, generator = get_technique(technique), make_generator()
    inputs = fit_input(technique, X, y, np.ones(len(X)), n_thresholds)
    network = dense_network(
        inputs.operation,
        N_CLASSES,
        technique,
        hidden_layer_sizes=HIDDEN,
        init=technique.recipe("mlp").init,
        input_dropout=dropouts[0],
        hidden_dropout=dropouts[1],
        generator=generator,
    )
    settings = Training(learning_rate=1e-2, max_iter=10**6, batch_size=BATCH)
    return Run(network, Examples(inputs.rows(X), y), technique, settings, generator)


def epoch_of(run):
    """Return a function that trains for one epoch of a run."""
    epochs = iter(run)
    return lambda: next(epochs)


def bare_epoch(run):
    """Return a function that trains the network of a run without skorch."""
    net, network = run.net, run.net.module_
    (steps,) = (callback for name, callback in net.callbacks_ if name == "_Steps")

    def epoch():
        network.train()
        steps.on_epoch_begin(net)
        for x, target in net.iterator_train(None, batch_size=BATCH):
            steps.on_batch_begin(net)
            net.optimizer_.zero_grad()
            loss = net.criterion_(network(**x), target)
            loss.backward()
            net.optimizer_.step()
            steps.on_batch_end(net)
            loss.item()

    return epoch


def plain_epoch(X, y, dropouts):
    """Return a function that trains the float network in plain torch for one epoch."""
    widths = (X.shape[1], *HIDDEN)
    layers = []
    for n_in, n_out, p in zip(
        widths[:-1], widths[1:], [dropouts[0], *[dropouts[1]] * 2], strict=True
    ):
        layers += [nn.Dropout(p)] if p else []
        layers += [nn.Linear(n_in, n_out, bias=False), nn.BatchNorm1d(n_out), nn.ReLU()]
    layers += [nn.Dropout(dropouts[1])] if dropouts[1] else []
    net = nn.Sequential(*layers, nn.Linear(widths[-1], N_CLASSES)).train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
    rows = torch.from_numpy(X.astype(np.float32) / 255 - 0.5)
    labels, loss_of = torch.from_numpy(y), nn.CrossEntropyLoss()

    def epoch():
        for index in torch.randperm(len(rows)).split(BATCH):
            optimizer.zero_grad()
            loss = loss_of(net(rows[index]), labels[index])
            loss.backward()
            optimizer.step()
            loss.item()

    return epoch


def networks(rng, arguments):
    """Time epochs of the binarized and the float network, with dropout and without."""
    X = rng.integers(0, 256, (BATCH * arguments.batches, 784), np.uint8)
    y = rng.integers(0, N_CLASSES, len(X))
    rows = []
    for name, dropouts in (
        ("dropout", (INPUT_DROPOUT, HIDDEN_DROPOUT)),
        ("no dropout", (0.0, 0.0)),
    ):
        runs = {
            f"{technique}, {n} bits a pixel": binarized(X, y, technique, n, dropouts)
            for technique, n in (("bnn", 1), ("bnn", 3))
        }
        peers = {key: epoch_of(run) for key, run in runs.items()}
        peers["bnn, 1 bits a pixel, bare loop"] = bare_epoch(binarized(X, y, "bnn", 1, dropouts))
        peers["float, this package"] = epoch_of(binarized(X, y, "float", 1, dropouts))
        peers["float, plain torch"] = plain_epoch(X, y, dropouts)
        times = in_turn(peers, arguments.seconds)
        made = [
            {
                "epoch": f"{key}, {name}",
                "s per 60,000 rows": float(np.median(times[key])) * 60_000 / len(X),
                "part of plain torch": ratio(times, key, "float, plain torch"),
                "part of bare loop": ratio(times, key, "bnn, 1 bits a pixel, bare loop"),
            }
            for key in peers
        ]
        print(f"\n{table(made)}", flush=True)
        rows += made
    return rows


def clusters(rng, arguments):
    """Time K-means on bits and on floats, for as many iterations."""
    X = rng.integers(0, 256, (arguments.rows, 784), np.uint8)
    y = rng.integers(0, N_CLASSES, len(X))
    rows = []
    for k in (10, 256):
        settings = {"n_clusters": k, "max_iter": 10, "tol": 0, "random_state": 0}
        peers = {name: KMeansClassifier(technique=name, **settings) for name in ("binary", "float")}
        times = in_turn(
            {name: lambda peer=peer: peer.fit(X, y) for name, peer in peers.items()},
            arguments.seconds / 4,
        )
        rows.append(
            {
                "k-means": f"{k} clusters, {len(X):,} rows",
                "iterations": " / ".join(str(peer.n_iter_) for peer in peers.values()),
                "s on bits": float(np.median(times["binary"])),
                "s, scikit-learn": float(np.median(times["float"])),
                "x scikit-learn": ratio(times, "float", "binary"),
            }
        )
    print(f"\n{table(rows)}", flush=True)
    return rows


def main():
    """Time every peer and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=100.0, help="time for each table")
    parser.add_argument("--batches", type=int, default=20, help="batches of a turn")
    parser.add_argument("--rows", type=int, default=10_000, help="rows to cluster")
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    # Libraries load and kernels compile at the first fit.
    KMeansClassifier().fit(np.eye(4), [0, 1, 2, 3])
    rows = networks(rng, arguments) + clusters(rng, arguments)
    print(f"\n{torch.get_num_threads()} threads; median (10 % to 90 % of the rounds)")
    write(arguments.json, "fit", rows)


if __name__ == "__main__":
    main()
