"""The MNIST figures of three papers, by the papers' own recipes.

BinaryConnect, BNN and Bitwise Neural Networks: their networks, losses, optimizers and batch sizes.
As in the papers, a sixth of the training images is set aside, and the epoch with the best accuracy
on it is tested, once. What differs is said in ``differs``; epochs can be fewer, and are stored with
the result. Every epoch is logged; each fit is stored as soon as it ends, with its settings and its
curves, in ``results/papers.json``, and a run that is cut off goes on where it stopped::

    python examples/benchmarks/reproduce_papers.py                          # all, three seeds
    python examples/benchmarks/reproduce_papers.py --papers bnn --epochs 200 --device cuda
    python examples/benchmarks/reproduce_papers.py --print                  # print the table only
"""

import argparse
from dataclasses import dataclass, replace

import numpy as np
from storing import FOLDER, Results, fit_record, of_mnist

from skbnn import BinaryMLPClassifier
from skbnn.datasets import fetch_mnist
from skbnn.techniques import Recipe, Technique, get_technique


@dataclass(frozen=True)
class Paper:
    """A figure and how it came about.

    Attributes
    ----------
    error : float
        The published test error in percent.
    technique : Technique
        All that is not a parameter of the estimator.
    params : dict
        Parameters of the estimator.
    epochs : int
        Epochs of the paper.
    differs : str
        Where we do something else.
    """

    error: float
    technique: Technique
    params: dict
    epochs: int
    differs: str


BINARYCONNECT = replace(
    get_technique("binaryconnect"),
    name="binaryconnect-paper",
    schedule="exponential",
    recipes={"mlp": Recipe(learning_rate=1e-3, init=1.0)},
)
BNN = replace(
    get_technique("bnn"),
    name="bnn-paper",
    output_normalizer="batch",
    loss="squared_hinge",
    schedule="exponential",
    learning_rate_scaling="glorot",
    recipes={"mlp": Recipe(learning_rate=3e-3, init=1.0, input_dropout=0.2, hidden_dropout=0.5)},
)
PAPERS = {
    "binaryconnect": Paper(
        1.29,
        BINARYCONNECT,
        {"hidden_layer_sizes": (1024,) * 3, "batch_size": 100},
        250,
        "Adam and 250 epochs of the released code in place of SGD and 1000 epochs; standardised "
        "pixels; BN of eps 1e-5",
    ),
    "bnn": Paper(
        0.96,
        BNN,
        {"hidden_layer_sizes": (4096,) * 3, "batch_size": 100, "n_thresholds": 3},
        1000,
        "three thermometer bits a pixel in place of real pixels",
    ),
    "bitwise": Paper(
        1.33,
        get_technique("bitwise"),
        {
            "hidden_layer_sizes": (1024,) * 3,
            "n_thresholds": 1,
            "input_dropout": 0.2,
            "hidden_dropout": 0.2,
        },
        500,
        "batch normalisation in training, folded into integer thresholds, in place of bits of "
        "bias; Adam",
    ),
}


def table(records):
    """Return records as a Markdown table."""
    lines = [
        "| paper | published, % | here, % (seeds) | mean | difference | epochs | differs |",
        "| --- | ---: | --- | ---: | ---: | ---: | --- |",
    ]
    runs_of = {}
    for record in sorted(records, key=lambda r: (r["paper"], r["max_iter"], r["seed"])):
        runs_of.setdefault((record["paper"], record["max_iter"], record["n_train"]), []).append(
            record
        )
    for (name, epochs, _), runs in runs_of.items():
        paper = PAPERS[name]
        errors = [100 * r["test_errors"] / r["n_test"] for r in runs]
        seeds, mean = " / ".join(f"{error:.2f}" for error in errors), np.mean(errors)
        lines.append(
            f"| {name} | {paper.error:.2f} | {seeds} | {mean:.2f} | {mean - paper.error:+.2f} "
            f"| {epochs} | {paper.differs} |"
        )
    return "\n".join(lines)


def main():
    """Fit what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--papers", nargs="+", choices=PAPERS, default=list(PAPERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="instead of the paper's")
    parser.add_argument("--width", type=int, help="units of a layer, for a quick look")
    parser.add_argument("--rows", type=int, help="training rows, for a quick look")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", default=FOLDER / "papers.json", help="where to store the records")
    parser.add_argument("--print", action="store_true", help="fit nothing")
    arguments = parser.parse_args()
    results = Results(arguments.json, ("paper", "seed", "max_iter", "n_train"))
    if not arguments.print:
        data = of_mnist(fetch_mnist(), arguments.rows)
        for seed in arguments.seeds:
            for name in arguments.papers:
                paper = PAPERS[name]
                epochs = arguments.epochs or paper.epochs
                key = {"paper": name, "seed": seed, "max_iter": epochs}
                if results.has(**key, n_train=len(data[0])):
                    continue
                params = dict(paper.params)
                if arguments.width:
                    params["hidden_layer_sizes"] = (arguments.width,) * 3
                print(f"{name}, seed {seed}", flush=True)
                estimator = BinaryMLPClassifier(
                    **params,
                    technique=paper.technique,
                    max_iter=epochs,
                    early_stopping=True,
                    validation_fraction=1 / 6,
                    n_iter_no_change=epochs,
                    device=arguments.device,
                    random_state=seed,
                    verbose=True,
                )
                record = fit_record(estimator, data)
                results.add({**key, "published": paper.error, **record})
    print(table(results.records))


if __name__ == "__main__":
    main()
