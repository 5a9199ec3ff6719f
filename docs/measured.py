"""What every technique reached on one network, and the papers' figures, from stored results."""

import json
import math
from collections import Counter
from statistics import mean, median

import torch
from study import BLUE, GENERATED, GREEN, ORANGE, PURPLE, RESULTS, list_table, of_seeds

from skbnn.nn.quantizers import make_quantizer
from skbnn.techniques import get_technique

NETWORKS = {
    "mlp": "a perceptron of three layers of 1024 units",
    "cnn": "a convolutional network of 32-32-64-64 channels",
}
FAR = 4
DATA = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
KINDS = {
    "float": BLUE,
    "weights of one bit": GREEN,
    "several bits": PURPLE,
    "all of one bit": ORANGE,
}


def stored(name):
    """Return the records of a file of results; none where it has not been run."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else []


def kind_of(name):
    """Return what a technique makes bits of."""
    technique = get_technique(name)
    if technique.activations == "real":
        return "float" if technique.weights == "real" else "weights of one bit"
    made = (make_quantizer(role, getattr(technique, role)) for role in ("weights", "activations"))
    planes = {len(quantizer.encode(torch.linspace(-1, 1, 9)[None]).bits) for quantizer in made}
    return "all of one bit" if planes == {1} else "several bits"


def by_technique(records):
    """Return the runs of each technique, and their errors in per cent, the lowest mean first."""
    runs_of = {}
    for record in records:
        runs_of.setdefault(record["technique"], []).append(record)
    rows = [
        (name, runs, [100 * run["test_errors"] / run["n_test"] for run in runs])
        for name, runs in runs_of.items()
    ]
    return sorted(rows, key=lambda row: mean(row[2]))


def usual_machine(rows):
    """Return the machine that most fits of most techniques ran on: times are compared on one."""
    machines_of = [{run["machine"] for run in runs} for _, runs, _ in rows]
    n_fits = Counter(run["machine"] for _, runs, _ in rows for run in runs)
    return max(n_fits, key=lambda name: (sum(name in of for of in machines_of), n_fits[name]))


def technique_table(rows):
    """Return what each technique reached and what it costs as a table."""
    cells = [["technique", "in bits", "test error, %", "bytes", "fit, CPU s", "a row, µs"]]
    machine = usual_machine(rows)
    for name, runs, errors in rows:
        timed = [run for run in runs if run["machine"] == machine]
        seconds, each = (
            median(run[key] for run in timed) if timed else math.nan
            for key in ("fit_cpu_seconds", "microseconds_a_row")
        )
        cells.append(
            [
                f"``{name}``",
                kind_of(name),
                of_seeds(errors),
                f"{runs[0]['nbytes']:,}",
                f"{seconds:.0f}".replace("nan", "–"),
                f"{each:.1f}".replace("nan", "–"),
            ]
        )
    return list_table(cells)


def draw_errors(rows):
    """Return the function that draws the error of each technique, one dot for each seed.

    What is many times worse than the rest is an arrow with its mean error: on one axis with it, the
    rest would look alike.
    """
    far = FAR * median(mean(errors) for _, _, errors in rows)

    def draw(ax, colours):
        for place, (name, _, errors) in enumerate(reversed(rows)):
            ax.axhline(place, color=colours["faint"], lw=0.5, zorder=0)
            colour = KINDS[kind_of(name)]
            if mean(errors) > far:
                text = f"{mean(errors):.1f} \N{RIGHTWARDS ARROW}"
                edge = ax.get_yaxis_transform()
                ax.text(0.99, place, text, transform=edge, color=colour, ha="right", va="center")
            else:
                ax.plot(errors, [place] * len(errors), "o", color=colour, ms=6)
        shown = {kind_of(name) for name, _, _ in rows}
        for kind, colour in KINDS.items():
            if kind in shown:
                ax.plot([], [], "o", color=colour, label=kind)
        ax.legend(frameon=False, labelcolor=colours["ink"])
        ax.set_yticks(range(len(rows)), [name for name, _, _ in reversed(rows)])
        ax.set(xlabel="test error, %")
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)

    return draw


def technique_parts(data, network, in_both_themes):
    """Return the text on one network and data set; nothing where no results are stored."""
    records = stored(f"techniques-{data}-{network}")
    if not records:
        return []
    rows, name = by_technique(records), f"techniques-{data}-{network}"
    in_both_themes(name, draw_errors(rows), (6.6, 0.24 * len(rows) + 0.9))
    seeds = sorted({len(runs) for _, runs, _ in rows})
    seeds = " to ".join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1])))
    return [
        f"{DATA[data]}, {NETWORKS[network]}, {records[0]['epochs_run']} epochs, "
        f"seeds of a technique: {seeds}; times on {usual_machine(rows)}:\n",
        *(
            f".. figure:: /generated/{name}-{theme}.svg\n   :class: only-{theme}\n"
            f"   :alt: Test error of every technique on {DATA[data]}.\n"
            for theme in ("light", "dark")
        ),
        technique_table(rows),
    ]


def paper_parts():
    """Return the text on what papers have published; nothing where no results are stored."""
    records = stored("papers")
    if not records:
        return []
    runs_of = {}
    for record in records:
        key = record["paper"], record["max_iter"], record["n_train"]
        runs_of.setdefault(key, []).append(record)
    cells = [["paper", "published, %", "here, %", "seeds", "epochs"]]
    for (paper, epochs, _), runs in sorted(runs_of.items()):
        errors = [100 * run["test_errors"] / run["n_test"] for run in runs]
        published = f"{runs[0]['published']:.2f}"
        cells.append([paper, published, of_seeds(errors), str(len(runs)), str(epochs)])
    return [
        "By the papers' own recipes, with a sixth of the training images set aside to choose the "
        "epoch (``examples/benchmarks/reproduce_papers.py``, which says what differs):\n",
        list_table(cells),
    ]


def technique_page(in_both_themes):
    """Write the generated part of the page on techniques."""
    parts = [
        part
        for network in NETWORKS
        for data in DATA
        for part in technique_parts(data, network, in_both_themes)
    ]
    GENERATED.mkdir(exist_ok=True)
    (GENERATED / "techniques.rst").write_text("\n".join([*parts, *paper_parts()]))
