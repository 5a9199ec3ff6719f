"""Figures and tables of the documentation that are made from the code and from stored results.

They are written to ``docs/generated/`` when the documentation is built, so they cannot say
anything but what the code does and what was measured.
"""

import ast
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from measured import technique_page
from study import BLUE, GENERATED, ORANGE, study_page

import skbnn

DOCS = Path(__file__).parent
THEMES = {
    "light": {"ink": "#222832", "faint": "#c9cdd3", "box": "#eef3f8"},
    "dark": {"ink": "#ced6dd", "faint": "#48566b", "box": "#1f2a37"},
}


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


def make_all(app=None):
    """Make every figure and table; called when the documentation is built."""
    with matplotlib.rc_context():
        in_both_themes("floors", draw_floors, (7.5, 4.6))
        for life, steps in lives().items():
            in_both_themes(f"life-of-{life}", draw_life(steps), (7.5, 0.55 * len(steps) + 1))
        for data in ("mnist", "fashion-mnist"):
            study_page(data, in_both_themes)
        technique_page(in_both_themes)


if __name__ == "__main__":
    make_all()
