"""The answer page's figures and tables, from the stored results of the study."""

import json
from pathlib import Path

import numpy as np

from skbnn.inspection import Comparison

GENERATED = Path(__file__).parent / "generated"
RESULTS = Path(__file__).parent.parent / "examples" / "benchmarks" / "results"
BLUE, GREEN, ORANGE, PURPLE = "#3b82c4", "#5a9e6f", "#e0832f", "#9a6fb8"


def stored_results(data):
    """Return what was measured on a data set: rows of plain data, and where they come from.

    Those of the whole study where there are any, else those of the first results table.
    """
    path = RESULTS / "study" / f"{data}.json"
    if path.exists():
        stored = json.loads(path.read_text())
        comparisons = [Comparison.from_dict(c) for c in stored["comparisons"].values()]
        rows = [
            _row(family, comparison, result)
            for family, comparison in zip(stored["comparisons"], comparisons, strict=True)
            for result in comparison.results
        ]
        return rows, stored
    path = RESULTS / f"{data}.json"
    if not path.exists():
        return [], {}
    by_model = {}
    for run in json.loads(path.read_text()):
        by_model.setdefault(run["model"], []).append(run)
    rows = []
    for name, runs in by_model.items():
        family, kind = name.split(", ", 1)
        errors = [100 * r["test_errors"] / r["n_test"] for r in runs]
        cpu = [r["fit_cpu_seconds"] for r in runs]
        row = {"family": family, "kind": kind, "errors": errors}
        rows.append(row | {"nbytes": runs[0]["nbytes"], "cpu": cpu})
    order = ["k-means 10", "k-means 256", "logistic"]
    rank = {family: i for i, family in enumerate(order)}
    rows.sort(key=lambda r: (rank.get(r["family"], len(order)), r["kind"] != "float"))
    return rows, {"machine": json.loads(path.read_text())[0]["machine"]}


def _row(family, comparison, result):
    """Return what was measured of a model as plain data, times as quantiles of 10, 50, 90 %."""
    runs = [run for run in comparison.runs if run["model"] == result.model]

    def times(name, in_float32):
        key = in_float32 if runs[0].get(in_float32) else name
        return np.median([run[key] for run in runs], axis=0)

    return {
        "family": family,
        "kind": result.model.removeprefix(f"{family}, "),
        "errors": [100 * (1 - run["accuracy"]) for run in runs],
        "nbytes": result.nbytes,
        "cpu": [run["fit_cpu_seconds"] for run in runs],
        "memory": result.fit_peak_nbytes,
        "one": times("one_us", "float32_one_us"),
        "batch": times("batch_us", "float32_us"),
        "predict_memory": result.predict_peak_nbytes,
        "binary_ops": result.binary_ops,
        "float_ops": result.float_ops,
        "confusion": comparison.confusion(result.model),
    }


LABELS = {
    "float": "float",
    "binaryconnect": "weights in bits",
    "dorefa": "one-bit weights, two-bit activations",
    "bnn": "all in bits",
}


def _colour(kind):
    """Return the colour of a kind of model."""
    return {"float": BLUE, "binaryconnect": GREEN, "dorefa": PURPLE}.get(kind, ORANGE)


def draw_answer(rows):
    """Return the function that draws error against bytes, float and bits of each family joined."""

    def draw(ax, colours):
        for family in dict.fromkeys(row["family"] for row in rows):
            mine = [row for row in rows if row["family"] == family]
            points = {row["kind"]: (row["nbytes"], _mean(row["errors"])) for row in mine}
            start = points.get("float")
            for kind, (x, y) in points.items():
                colour = _colour(kind)
                if start and kind != "float":
                    style = {"arrowstyle": "->", "color": colours["faint"], "lw": 1.5}
                    ax.annotate("", (x, y), start, arrowprops=style | {"shrinkA": 5, "shrinkB": 5})
                ax.plot(x, y, "o", color=colour, ms=8)
            x, y = start or next(iter(points.values()))
            ax.annotate(family, (x, y), (0, 9), textcoords="offset points", ha="center")
        for kind, label in LABELS.items():
            if _colour(kind) in {_colour(row["kind"]) for row in rows}:
                ax.plot([], [], "o", color=_colour(kind), label=label)
        ax.legend(frameon=False, labelcolor=colours["ink"])
        ax.set(xscale="log", yscale="log", xlabel="bytes of the file", ylabel="test error, %")
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.yaxis.set_minor_formatter(
            lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else ""
        )
        ax.spines[["top", "right"]].set_visible(False)
        ax.margins(0.12)

    return draw


def _mean(values):
    return sum(values) / len(values)


def of_seeds(values, digits=2):
    """Return mean, and least and greatest of several values, as text."""
    spread = f" ({min(values):.{digits}f}-{max(values):.{digits}f})" if len(values) > 1 else ""
    return f"{_mean(values):.{digits}f}{spread}"


def _spread(quantiles):
    """Return a median as text, and half the range of the other two in per cent of it."""
    low, middle, high = quantiles
    digits = 3 if middle < 1 else 2 if middle < 10 else 1 if middle < 100 else 0
    return f"{middle:.{digits}f} ±{50 * (high - low) / middle:.0f} %"


COLUMNS = {
    "family": ("family", str),
    "kind": ("kind", str),
    "errors": ("test error, %", of_seeds),
    "n": ("seeds", str),
    "nbytes": ("bytes", "{:,}".format),
    "ratio": ("smaller", "{:.1f}x".format),
    "cpu": ("fit, CPU s", lambda seconds: of_seeds(seconds, 0)),
    "memory": ("fit, MB", lambda b: f"{b / 1e6:.0f}"),
    "one": ("one, µs", _spread),
    "batch": ("batch, µs", _spread),
    "predict_memory": ("predict, MB", lambda b: f"{b / 1e6:.2f}"),
    "binary_ops": ("binary ops", "{:,}".format),
    "float_ops": ("float ops", "{:,}".format),
}


def table(rows):
    """Return rows as a reStructuredText table, without the columns that are not known."""
    twins = {row["family"]: row["nbytes"] for row in rows if row["kind"] == "float"}
    for row in rows:
        row["n"] = len(row["errors"])
        row["ratio"] = twins.get(row["family"], row["nbytes"]) / row["nbytes"]
    keys = [key for key in COLUMNS if any(row.get(key) is not None for row in rows)]
    cells = [
        ["" if row.get(key) is None else COLUMNS[key][1](row[key]) for key in keys] for row in rows
    ]
    return list_table([[COLUMNS[key][0] for key in keys], *cells])


def list_table(cells):
    """Return lines of texts, the first of them the head, as a reStructuredText table."""
    lines = [".. list-table::", "   :header-rows: 1", "   :class: study", ""]
    for line in cells:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(line)]
    return "\n".join([*lines, ""])


# What the proposal asked about, and what looks alike among clothes.
PAIRS = {
    "mnist": [(2, 7), (4, 9), (1, 2)],
    "fashion-mnist": [(6, 0), (2, 4), (7, 9)],
}


def confused(rows, pairs, names):
    """Return a table of what each model with a confusion matrix mistakes for what.

    The named pairs, in both directions together; the pair that is mistaken most often; and the
    two classes that lose most against the float model of the family. All in per cent of a class.
    """
    shares = {}
    heads = [f"{names[i]} and {names[j]}" for i, j in pairs]
    cells = [["family", "kind", *heads, "most often", "lost by bits"]]
    for row in rows:
        if "confusion" not in row:
            continue
        counts = row["confusion"].astype(float)
        share = 100 * counts / counts.sum(1, keepdims=True)
        shares[row["family"], row["kind"]] = share
        both = [f"{(share[i, j] + share[j, i]) / 2:.1f}" for i, j in pairs]
        wrong = share * (1 - np.eye(len(share)))
        i, j = np.unravel_index(wrong.argmax(), wrong.shape)
        twin, lost = shares.get((row["family"], "float")), ""
        if twin is not None and row["kind"] != "float":
            change = np.diag(twin) - np.diag(share)
            order = [k for k in np.argsort(-change)[:2] if change[k] > 0]
            lost = ", ".join(f"{names[k]} ({change[k]:.1f})" for k in order)
        most = f"{names[i]} as {names[j]} ({wrong[i, j]:.1f})"
        cells.append([row["family"], row["kind"], *both, most, lost])
    return list_table(cells) if len(cells) > 1 else ""


def seeds_text(rows):
    """Return which families were fitted with how many seeds."""
    by_seeds = {}
    for row in rows:
        by_seeds.setdefault(len(row["errors"]), {})[row["family"]] = None
    parts = [
        f"{', '.join(families)}: {n} seed{'s' if n > 1 else ''}"
        for n, families in sorted(by_seeds.items(), reverse=True)
    ]
    return "; ".join(parts) + "."


def study_page(data, in_both_themes):
    """Write the generated part of the page on a data set; figures by a function that draws them."""
    rows, stored = stored_results(data)
    folder = GENERATED / "study"
    folder.mkdir(parents=True, exist_ok=True)
    if not rows:
        (folder / f"{data}.rst").write_text("")
        return
    in_both_themes(f"answer-{data}", draw_answer(rows), (6.6, 4))
    title = "-".join(word.upper() if word == "mnist" else word.title() for word in data.split("-"))
    parts = [
        f"{title}\n{'-' * len(title)}\n",
        *(
            f".. figure:: /generated/answer-{data}-{theme}.svg\n   :class: only-{theme}\n"
            f"   :alt: Test error against bytes on {title}, float and bits of each family.\n"
            for theme in ("light", "dark")
        ),
        table(rows),
        f"{seeds_text(rows)} Measured on {stored['machine']}.\n",
    ]
    mistakes = confused(rows, PAIRS[data], stored.get("target_names"))
    if mistakes:
        parts.append(
            "What is taken for what, in per cent of the true class: three pairs in both "
            "directions, the mean; the most frequent mistake; and the classes that lose most "
            "against the float model of the family:\n"
        )
        parts.append(mistakes)
    if "pair" in stored:
        parts.append(pair_text(stored["pair"]))
    (folder / f"{data}.rst").write_text("\n".join(parts))


def pair_text(pair):
    """Return what became of two units of 784 weights each."""
    first, second = pair["pair"]
    lines = [
        f"Two classes, {first} and {second}, and one layer, which reads greys in float "
        "and one bit a pixel in bits:\n"
    ]
    for technique in ("float", "bnn"):
        p = pair[technique]
        lines.append(
            f"* ``{technique}``: {p['weights']:,} weights on the pixels that vary, {p['bits']:,} "
            f"bits; {p['nbytes']:,} bytes with all that prediction needs, {p['file']:,} as a file; "
            f"accuracy {100 * p['accuracy']:.2f} %"
        )
    return "\n".join([*lines, ""])
