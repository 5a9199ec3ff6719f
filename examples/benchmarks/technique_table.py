"""One network, one budget, every technique: error, bytes, time of a fit and of a row.

Each technique is fitted to the training images without augmentation, with its own recipe of
learning rate and dropout and everything else alike, and scored once on the test images, from its
packed model. Each fit is stored as soon as it ends, with its settings and its loss curve, in
``results/techniques-<data>-<network>.json``; a run that is cut off goes on where it stopped. The
table is printed from that file, from fits of as many epochs and training rows as are asked for::

    python examples/benchmarks/technique_table.py                        # MLP on MNIST
    python examples/benchmarks/technique_table.py --network cnn --data fashion-mnist
    python examples/benchmarks/technique_table.py --print                # print the table only
"""

import argparse

import numpy as np
from storing import FOLDER, Results, fit_record, of_mnist

from skbnn import BinaryCNNClassifier, BinaryMLPClassifier
from skbnn.datasets import fetch_fashion_mnist, fetch_mnist
from skbnn.techniques import get_technique, list_techniques

FETCH = {"mnist": fetch_mnist, "fashion-mnist": fetch_fashion_mnist}
N_TRAIN = 60_000
NETWORKS = {
    "mlp": (BinaryMLPClassifier, {"hidden_layer_sizes": (1024, 1024, 1024)}, 30),
    "cnn": (BinaryCNNClassifier, {"channels": (32, 32, 64, 64), "pool_size": (1, 2, 1, 2)}, 10),
}


def table(records):
    """Return records as a Markdown table, techniques in the order of their errors."""
    rows = []
    for name in dict.fromkeys(record["technique"] for record in records):
        runs = sorted((r for r in records if r["technique"] == name), key=lambda r: r["seed"])
        errors = [100 * r["test_errors"] / r["n_test"] for r in runs]
        seconds, each = (
            np.median([r[key] for r in runs]) for key in ("fit_cpu_seconds", "microseconds_a_row")
        )
        seeds = " / ".join(f"{error:.2f}" for error in errors)
        rows.append((np.mean(errors), name, seeds, runs[0]["nbytes"], seconds, each))
    lines = [
        "| technique | weights | activations | test error, % (seeds) | mean | bytes | fit, CPU s "
        "| µs a row |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for mean, name, seeds, nbytes, seconds, each in sorted(rows):
        technique = get_technique(name)
        lines.append(
            f"| {name} | {technique.weights} | {technique.activations} | {seeds} | {mean:.2f} "
            f"| {nbytes:,} | {seconds:.0f} | {each:.2f} |"
        )
    return "\n".join(lines)


def main():
    """Fit what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=FETCH, default="mnist")
    parser.add_argument("--network", choices=NETWORKS, default="mlp")
    parser.add_argument("--techniques", nargs="+", choices=list_techniques(), metavar="NAME",
                        default=list_techniques())  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="instead of 30, or 10 for the CNN")
    parser.add_argument("--rows", type=int, help="training rows, for a quick look")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", help="where to store the records")
    parser.add_argument("--print", action="store_true", help="fit nothing")
    arguments = parser.parse_args()
    name = f"techniques-{arguments.data}-{arguments.network}.json"
    results = Results(arguments.json or FOLDER / name, ("technique", "seed", "max_iter", "n_train"))
    kind, params, epochs = NETWORKS[arguments.network]
    epochs = arguments.epochs or epochs
    budget = {"max_iter": epochs, "n_train": arguments.rows or N_TRAIN}
    if not arguments.print:
        data = of_mnist(FETCH[arguments.data](), arguments.rows)
        # Libraries load at the first fit; that time is no technique's.
        BinaryMLPClassifier((8,), max_iter=1).fit(data[0][:500], data[1][:500])
        for seed in arguments.seeds:
            for technique in arguments.techniques:
                key = {"technique": technique, "seed": seed}
                if results.has(**key, **budget):
                    continue
                estimator = kind(
                    **params,
                    technique=technique,
                    max_iter=epochs,
                    device=arguments.device,
                    random_state=seed,
                )
                results.add({**key, **budget, **fit_record(estimator, data)})
                last = results.records[-1]
                error = 100 * last["test_errors"] / last["n_test"]
                print(
                    f"{technique}, seed {seed}: {error:.2f} %, {last['fit_seconds']} s", flush=True
                )
    asked = budget.items()
    print(table([record for record in results.records if asked <= record.items()]))


if __name__ == "__main__":
    main()
