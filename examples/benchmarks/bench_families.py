"""Convolutional networks and transformers: packed bits against float32 torch, and their training.

Peers take turns in one process, on random pixels: time does not depend on what networks have
learned. The float twin is what a user of torch would write, in the faster of its two memory
layouts, on batches of 256 rows at most. ``% of limit`` is the share of the core's own limit for
xor, popcount and add, measured in the same rounds; padding of channels to whole words is our loss.
Run it alone on the machine, on one core::

    taskset -c 0 python examples/benchmarks/bench_families.py
"""

import argparse

import numpy as np
import torch
from pairing import Peak, in_turn, ratio, table, write
from torch import nn

from skbnn import BinaryCNNClassifier, BinaryTransformerClassifier
from skbnn.bits import backend, comparison_layout, n_words, pack_bits
from skbnn.nn.inputs import fit_input
from skbnn.nn.randomness import make_generator
from skbnn.nn.training import Examples, Run, Training
from skbnn.techniques import get_technique

SIDE, N_CLASSES, BATCH = 28, 10, 256
CHANNELS = [(64, 64), (128, 128), (256, 256)]
LAYOUTS = {"planar": torch.contiguous_format, "channels last": torch.channels_last}
CNNS = {
    "CNN 32-64": {},
    "CNN 64-64-128-128": {
        "channels": (64, 64, 128, 128),
        "pool_size": (1, 2, 1, 2),
        "n_thresholds": 3,
    },
}


class Patches(nn.Module):
    """Pixels to an embedded token for each patch, with learned positions."""

    def __init__(self, size, d_model):
        super().__init__()
        self.size = size
        self.embed = nn.Linear(size * size, d_model)
        self.positions = nn.Parameter(torch.zeros((SIDE // size) ** 2, d_model))

    def forward(self, images):
        """Return tokens."""
        patches = nn.functional.unfold(images, self.size, stride=self.size)
        return self.embed(patches.transpose(1, 2)) + self.positions


def float_cnn(channels, pools):
    """Return the float network: convolution, pool, batch norm, ReLU; then classes."""
    layers, n_in, side = [nn.PixelUnshuffle(2)], 4, SIDE // 2
    for n_out, pool in zip(channels, pools, strict=True):
        layers += [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.MaxPool2d(pool)]
        layers += [nn.BatchNorm2d(n_out), nn.ReLU()]
        n_in, side = n_out, side // pool
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(n_in * side * side, N_CLASSES))


def float_transformer(est, patch_size=7):
    """Return torch's own pre-norm transformer of the same sizes."""
    d_model, n_tokens = est.d_model, (SIDE // patch_size) ** 2
    hidden = round(est.mlp_ratio * d_model)
    layers = [
        nn.TransformerEncoderLayer(
            d_model, est.n_heads, hidden, dropout=0.0, batch_first=True, norm_first=True
        )
        for _ in range(est.n_layers)
    ]
    head = nn.LayerNorm(d_model), nn.Flatten(), nn.Linear(n_tokens * d_model, N_CLASSES)
    return nn.Sequential(Patches(patch_size, d_model), *layers, *head)


def pairs():
    """Return estimators and their float twins, by name."""
    made = {}
    for name, settings in CNNS.items():
        est = BinaryCNNClassifier(max_iter=1, random_state=0, **settings)
        pools = est.pool_size
        pools = (pools,) * len(est.channels) if isinstance(pools, int) else pools
        made[name] = est, float_cnn(est.channels, pools)
    est = BinaryTransformerClassifier(max_iter=1, random_state=0)
    made["transformer"] = est, float_transformer(est)
    return made


def in_batches(net, layout):
    """Return a function that classifies rows of pixels with a torch network."""
    net = net.eval().to(memory_format=layout)

    def predict(X):
        images = torch.from_numpy(X).view(-1, 1, SIDE, SIDE).contiguous(memory_format=layout)
        with torch.inference_mode():
            return torch.cat([net(part).argmax(1) for part in images.split(BATCH)])

    return predict


def faster_layout(net, X):
    """Return the memory layout in which a torch network is faster, and its predict function."""
    spent = {}
    for name, layout in LAYOUTS.items():
        predict = in_batches(net, layout)
        spent[name] = np.median(in_turn({name: lambda p=predict: p(X)}, 0, least=3)[name])
    best = min(spent, key=spent.get)
    return best, in_batches(net, LAYOUTS[best])


def convolutions(rng, arguments):
    """Time packed convolutions of 3 x 3 pixels against torch's."""
    kernels, rows = backend("numba"), []
    for n_in, n_out in CHANNELS:
        side = 14 if n_in < 256 else 7
        images = pack_bits(rng.random((BATCH, side + 2, side + 2, n_in)) < 0.5)
        flat = pack_bits(rng.random((n_out, 9 * n_in)) < 0.5)
        ends, bounds = np.array([0, side], np.int64), np.full((1, 1, n_out), 9 * n_in // 2)
        units, limits = comparison_layout(flat, bounds, (3, 3))
        out = np.empty((BATCH, side, side, n_words(n_out)), np.uint64)
        x = torch.randn(BATCH, n_in, side, side)
        net = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        twin = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        last = x.contiguous(memory_format=torch.channels_last)
        twin = twin.to(memory_format=torch.channels_last)
        peak = Peak()

        def ours(images=images, units=units, limits=limits, ends=ends, out=out):
            kernels.compare_windows(images, 3, 3, 1, units, limits, ends, ends, out)

        with torch.inference_mode():
            times = in_turn(
                {
                    "ours": ours,
                    "limit": peak,
                    "planar": lambda net=net, x=x: net(x),
                    "channels last": lambda twin=twin, last=last: twin(last),
                },
                arguments.seconds,
            )
        best = min(("planar", "channels last"), key=lambda key: np.median(times[key]))
        multiply_adds = BATCH * side * side * 9 * n_in * n_out
        share = times["limit"] / peak.multiply_adds * multiply_adds / times["ours"]
        rows.append(
            {
                "convolution": f"{n_in} to {n_out} channels, {side} x {side}, {BATCH} images",
                "us an image": 1e6 * float(np.median(times["ours"])) / BATCH,
                "% of limit": 100 * float(np.median(share)),
                "x torch float32": ratio(times, best, "ours"),
                "its layout": best,
            }
        )
    return rows


def predictions(rng, arguments):
    """Time whole networks through ``predict``."""
    rows = []
    X = rng.integers(0, 256, (10_000, SIDE * SIDE), np.uint8).astype(np.float32)
    y = rng.integers(0, N_CLASSES, 600)
    for name, (est, net) in pairs().items():
        est.fit(X[:600].astype(np.uint8), y)
        for n in arguments.rows:
            layout, predict = faster_layout(net, X[:n])
            timed = {
                "predict": lambda n=n, est=est: est.predict(X[:n]),
                "packed_": lambda n=n, est=est: est.packed_.predict(X[:n]),
                "torch": lambda n=n, predict=predict: predict(X[:n]),
            }
            times = in_turn(timed, arguments.seconds, calls=50 if n == 1 else 1)
            rows.append(
                {
                    "network": f"{name}, {n} rows",
                    "us a row, predict": 1e6 * float(np.median(times["predict"])) / n,
                    "packed_": 1e6 * float(np.median(times["packed_"])) / n,
                    "x torch float32, predict": ratio(times, "torch", "predict"),
                    "x, packed_": ratio(times, "torch", "packed_"),
                    "its layout": layout,
                }
            )
    return rows


def run_of(est, X, y, technique):
    """Return a run of the package's training of an estimator's network."""
    technique, generator = get_technique(technique), make_generator()
    n_features = X.shape[1]
    layout = est._layout(n_features)
    inputs = fit_input(technique, X, y, np.ones(len(X)), est.n_thresholds, layout)
    network = est._network(
        inputs.operation,
        N_CLASSES,
        technique,
        est._topology(n_features),
        init=technique.recipe(est._family).init,
        input_dropout=0.0,
        hidden_dropout=0.0,
        generator=generator,
    )
    settings = Training(learning_rate=1e-2, max_iter=10**6, batch_size=BATCH)
    return Run(network, Examples(inputs.rows(X), y), technique, settings, generator)


def plain_epoch(net, X, y):
    """Return a function that trains a float network in plain torch for one epoch."""
    net = net.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
    images = torch.from_numpy(X.astype(np.float32) / 255 - 0.5).view(-1, 1, SIDE, SIDE)
    labels, loss_of = torch.from_numpy(y), nn.CrossEntropyLoss()

    def epoch():
        for index in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            loss = loss_of(net(images[index]), labels[index])
            loss.backward()
            optimizer.step()
            loss.item()

    return epoch


def epochs(rng, arguments):
    """Time epochs of the binarized and the float networks."""
    rows = []
    X = rng.integers(0, 256, (BATCH * arguments.batches, SIDE * SIDE), np.uint8)
    y = rng.integers(0, N_CLASSES, len(X))
    for name, (est, net) in pairs().items():
        steps = {key: iter(run_of(est, X, y, key)) for key in ("bnn", "float")}
        peers = {key: lambda step=step: next(step) for key, step in steps.items()}
        times = in_turn({**peers, "plain torch": plain_epoch(net, X, y)}, arguments.seconds)
        for key in times:
            rows.append(
                {
                    "epoch": f"{name}, {key}",
                    "s per 60,000 rows": float(np.median(times[key])) * 60_000 / len(X),
                    "part of plain torch": ratio(times, key, "plain torch"),
                }
            )
    return rows


PARTS = {"convolutions": convolutions, "predictions": predictions, "epochs": epochs}


def main():
    """Time every part and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 64, 10_000])
    parser.add_argument("--batches", type=int, default=8, help="batches of a turn of training")
    parser.add_argument("--seconds", type=float, default=15.0, help="time for each comparison")
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for part in arguments.only:
        made = PARTS[part](np.random.default_rng(0), arguments)
        print(f"\n{table(made)}", flush=True)
        rows += made
    print("\none thread; median (10 % to 90 % of the rounds)")
    write(arguments.json, "families", rows)


if __name__ == "__main__":
    main()
