"""Figures and tables of the documentation that are made from the code and from stored results.

They are written to ``docs/generated/`` when the documentation is built, so they cannot say
anything but what the code does and what was measured.
"""

import ast
import json
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

import skbnn
from skbnn.inspection import Comparison

DOCS = Path(__file__).parent
GENERATED = DOCS / "generated"
RESULTS = DOCS.parent / "examples" / "benchmarks" / "results"
THEMES = {
    "light": {"ink": "#222832", "faint": "#c9cdd3", "box": "#eef3f8"},
    "dark": {"ink": "#ced6dd", "faint": "#48566b", "box": "#1f2a37"},
}
BLUE, GREEN, ORANGE = "#3b82c4", "#5a9e6f", "#e0832f"


def in_both_themes(name, draw, size):
    """Draw a figure for each theme as ``generated/<name>-<theme>.svg``."""
    GENERATED.mkdir(exist_ok=True)
    for theme, colours in THEMES.items():
        style = {
            "svg.hashsalt": name,
            "font.size": 10,
            "text.color": colours["ink"],
            "axes.labelcolor": colours["ink"],
            "axes.edgecolor": colours["faint"],
            "xtick.color": colours["ink"],
            "ytick.color": colours["ink"],
        }
        with matplotlib.rc_context(style):
            figure, ax = plt.subplots(figsize=size, layout="constrained")
            draw(ax, colours)
            path = GENERATED / f"{name}-{theme}.svg"
            figure.savefig(path, transparent=True, metadata={"Date": None})
            plt.close(figure)


def imports_of_parts(in_functions=False):
    """Return which parts of the package each part imports, read from the source.

    Those that it imports when it loads, or, on request, also those inside functions.
    """
    root = Path(skbnn.__file__).parent
    found = {}
    for path in sorted(root.rglob("*.py")):
        names = path.relative_to(root).with_suffix("").parts
        if names in [("__init__",), ("__main__",)]:
            continue
        part = found.setdefault(names[0], set())
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree) if in_functions else tree.body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skbnn."):
                part.add(node.module.split(".")[1])
    return {part: targets - {part} for part, targets in found.items()}


def heights(imports):
    """Return the floor of each part: one above the highest that it imports."""
    floors = {}

    def floor(part):
        if part not in floors:
            floors[part] = 1 + max((floor(target) for target in imports[part]), default=-1)
        return floors[part]

    for part in imports:
        floor(part)
    return floors


def arrow(ax, start, end, **style):
    """Draw an arrow from the border of one text's box to that of another."""
    style |= {"arrowstyle": "->", "shrinkA": 2, "shrinkB": 2}
    style |= {"patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch()}
    ax.annotate("", end.get_position(), start.get_position(), arrowprops=style)


def draw_floors(ax, colours):
    """Draw each part on its floor, with arrows to what it imports."""
    imports = imports_of_parts()
    floors = heights(imports)
    # An import that another one implies would only hide the others.
    reach = {part: set() for part in imports}
    for part in sorted(imports, key=floors.get):
        for target in imports[part]:
            reach[part] |= {target} | reach[target]
    places = {}
    for level in range(max(floors.values()) + 1):
        parts = sorted(part for part in floors if floors[part] == level)
        for rank, part in enumerate(parts):
            places[part] = (2.4 * (rank - (len(parts) - 1) / 2), 1.3 * level)
    boxes = {}
    for part, (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.5", "fc": colours["box"], "ec": BLUE}
        boxes[part] = ax.text(x, y, f"skbnn.{part}", ha="center", va="center", bbox=box)
    late = imports_of_parts(in_functions=True)
    for part, targets in imports.items():
        direct = {t for t in targets if not any(t in reach[o] for o in targets if o != t)}
        for target in direct:
            arrow(ax, boxes[part], boxes[target], color=colours["faint"])
        # Inside functions: what is loaded when it is needed, if ever.
        for target in late[part] - reach[part]:
            arrow(ax, boxes[part], boxes[target], color=ORANGE, ls="--")
    across = [x for x, _ in places.values()]
    ax.set(
        xlim=(min(across) - 1.3, max(across) + 1.3), ylim=(-0.6, 1.3 * max(floors.values()) + 0.6)
    )
    ax.set_axis_off()


LIVES = {
    "fit": [
        ("validate rows, labels, weights", "estimators._validation.training_set"),
        ("choose input thresholds", "nn.inputs.fit_input"),
        ("merge rows that are equal", "packed.rows.merge_rows"),
        ("build a network of blocks", "nn.networks.dense_network"),
        ("train, epoch by epoch", "nn.training.__iter__"),
        ("freeze: reals become integers", "nn.networks.freeze"),
        ("pack, block by block", "nn.networks.pack"),
        ("a program of operations", "packed.model.__post_init__"),
    ],
    "predict": [
        ("validate rows", "estimators._validation._validated"),
        ("check shape and dtype", "packed.blocks.check_rows"),
        ("share rows out in blocks", "packed.blocks.run_blocks"),
        ("bits, products, scores of a block", "packed.model._score"),
        ("the greatest score's class", "packed.model._label"),
    ],
}


def calls_of(action):
    """Return what an action calls in the package, in the order in which calls begin or end.

    Each is named by its module and function. A step that contains others counts as it begins.
    """
    seen = {}

    def watch(frame, event, _):
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("skbnn."):
            name = f"{module.removeprefix('skbnn.')}.{frame.f_code.co_name}"
            seen.setdefault(name, len(seen))

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        action()
    finally:
        sys.setprofile(before)
    return seen


def lives():
    """Return the steps of one fit and one predict, proved by running them.

    Raises
    ------
    RuntimeError
        If a step does not happen any more.
    """
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    net = skbnn.BinaryMLPClassifier((8,), max_iter=1, random_state=0)
    called = {"fit": calls_of(lambda: net.fit(X, y)), "predict": calls_of(lambda: net.predict(X))}
    for life, steps in LIVES.items():
        missing = [name for _, name in steps if name not in called[life]]
        if missing:
            raise RuntimeError(f"docs/figures.py: {life} no longer calls {missing}.")
    return LIVES


def draw_life(steps):
    """Return the function that draws steps below each other, each under the part that does it."""

    def draw(ax, colours):
        parts = list(dict.fromkeys(name.split(".")[0] for _, name in steps))
        before = None
        for rank, (label, name) in enumerate(steps):
            x, y = 3.4 * parts.index(name.split(".")[0]), -rank
            box = {"boxstyle": "round,pad=0.35", "fc": colours["box"], "ec": BLUE}
            here = ax.text(x, y, label, ha="center", va="center", bbox=box, fontsize=9)
            if before is not None:
                arrow(ax, before, here, color=ORANGE)
            before = here
        for rank, part in enumerate(parts):
            ax.text(3.4 * rank, 0.9, f"skbnn.{part}", ha="center", weight="bold")
        ax.set(xlim=(-1.8, 3.4 * (len(parts) - 1) + 1.8), ylim=(-len(steps) + 0.4, 1.4))
        ax.set_axis_off()

    return draw


def stored_results(data):
    """Return what was measured on a data set: rows of plain data, and where they come from.

    Those of the whole study where there are any, else those of the first results table.
    """
    path = RESULTS / "study" / f"{data}.json"
    if path.exists():
        stored = json.loads(path.read_text())
        comparisons = [Comparison.from_dict(c) for c in stored["comparisons"].values()]
        rows = [
            {
                "family": family,
                "kind": r.model.removeprefix(f"{family}, "),
                "errors": [
                    100 * (1 - run["accuracy"]) for run in c.runs if run["model"] == r.model
                ],
                "nbytes": r.nbytes,
                "cpu": r.fit_cpu_seconds,
                "memory": r.fit_peak_nbytes,
                "one_us": r.one_us,
                "batch_us": r.float32_us or r.batch_us,
                "binary_ops": r.binary_ops,
                "float_ops": r.float_ops,
                "confusion": c.confusion(r.model),
            }
            for family, c in zip(stored["comparisons"], comparisons, strict=True)
            for r in c.results
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
        cpu = sorted(r["fit_cpu_seconds"] for r in runs)[len(runs) // 2]
        row = {"family": family, "kind": kind, "errors": errors}
        rows.append(row | {"nbytes": runs[0]["nbytes"], "cpu": cpu})
    order = ["k-means 10", "k-means 256", "logistic"]
    rank = {family: i for i, family in enumerate(order)}
    rows.sort(key=lambda r: (rank.get(r["family"], len(order)), r["kind"] != "float"))
    return rows, {"machine": json.loads(path.read_text())[0]["machine"]}


LABELS = {"float": "float", "binaryconnect": "weights in bits", "bnn": "all in bits"}


def _colour(kind):
    """Return the colour of a kind of model: float, one-bit weights alone, or bits throughout."""
    return {"float": BLUE, "binaryconnect": GREEN}.get(kind, ORANGE)


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


def _range(values):
    """Return the least and the greatest of several values as text, and nothing for one."""
    return f" ({min(values):.2f}-{max(values):.2f})" if len(values) > 1 else ""


COLUMNS = {
    "family": ("family", str),
    "kind": ("kind", str),
    "errors": ("test error, %", lambda e: f"{_mean(e):.2f}{_range(e)}"),
    "n": ("seeds", str),
    "nbytes": ("bytes", "{:,}".format),
    "ratio": ("smaller", "{:.1f}x".format),
    "cpu": ("fit, CPU s", "{:.0f}".format),
    "memory": ("fit, MB", lambda b: f"{b / 1e6:.0f}"),
    "one_us": ("one, µs", "{:.1f}".format),
    "batch_us": ("batch, µs", "{:.2f}".format),
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
    lines = [".. list-table::", "   :header-rows: 1", "   :class: study", ""]
    for cells in (
        [COLUMNS[key][0] for key in keys],
        *(
            ["" if row.get(key) is None else COLUMNS[key][1](row[key]) for key in keys]
            for row in rows
        ),
    ):
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(cells)]
    return "\n".join([*lines, ""])


def confused(rows):
    """Return, for each model with a confusion matrix, its most confused pairs as a list."""
    lines = []
    for row in rows:
        if "confusion" not in row:
            continue
        counts = row["confusion"].astype(float)
        share = 100 * counts / counts.sum(1, keepdims=True)
        n = len(share)
        pairs = sorted((share[i, j], i, j) for i in range(n) for j in range(n) if i != j)[-3:]
        text = ", ".join(f"{i} as {j} ({percent:.1f} %)" for percent, i, j in reversed(pairs))
        lines.append(f"* {row['family']}, {row['kind']}: {text}")
    return "\n".join(lines)


def study_page(data):
    """Write the generated part of the page on a data set."""
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
        f".. figure:: /generated/answer-{data}-light.svg\n   :class: only-light\n",
        f".. figure:: /generated/answer-{data}-dark.svg\n   :class: only-dark\n",
        table(rows),
        f"Measured on {stored['machine']}.\n",
    ]
    pairs = confused(rows)
    if pairs:
        parts.append("What is taken for what most often, as a share of the true class:\n")
        parts.append(pairs + "\n")
    if "pair" in stored:
        parts.append(pair_text(stored["pair"]))
    (folder / f"{data}.rst").write_text("\n".join(parts))


def pair_text(pair):
    """Return what became of two units of 784 weights each."""
    lines = [
        f"Two classes, {pair['pair'][0]} and {pair['pair'][1]}, and one layer on one bit a pixel:\n"
    ]
    for technique in ("float", "bnn"):
        p = pair[technique]
        lines.append(
            f"* ``{technique}``: {p['weights']:,} weights on the pixels that vary, {p['bits']:,} "
            f"bits; {p['nbytes']:,} bytes with all that prediction needs, {p['file']:,} as a file; "
            f"accuracy {100 * p['accuracy']:.2f} %"
        )
    return "\n".join([*lines, ""])


def make_all(app=None):
    """Make every figure and table; called when the documentation is built."""
    with matplotlib.rc_context():
        in_both_themes("floors", draw_floors, (7.5, 4.6))
        for life, steps in lives().items():
            in_both_themes(f"life-of-{life}", draw_life(steps), (7.5, 0.55 * len(steps) + 1))
        for data in ("mnist", "fashion-mnist"):
            study_page(data)


if __name__ == "__main__":
    make_all()
