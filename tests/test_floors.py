"""The package is built in floors, and imports only go down.

Each part of the package names which other parts and which third-party packages its modules may
import when they load, and which only inside a function. The source is read, not run, so an import
on a path that no test takes is found too. What stands under ``if TYPE_CHECKING:`` never runs and
is ignored.
"""

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import skbnn


@dataclass(frozen=True)
class Floor:
    """What the modules of one part of the package may import, space-separated."""

    imports: str = ""
    in_functions: str = ""

    def allows(self, target, in_function):
        """Whether a part of the package or a third-party package may be imported."""
        names = self.imports.split()
        if in_function:
            names += self.in_functions.split()
        return target in names


SKLEARN = "numpy scipy sklearn joblib"
FLOORS = {
    "skbnn": Floor(),
    "skbnn.bits": Floor("numpy numba llvmlite"),
    # Methods of the model hand it to the exporter above, as they would to a stranger's.
    "skbnn.packed": Floor("skbnn.bits numpy", in_functions="skbnn.export"),
    "skbnn.techniques": Floor("skbnn.bits numpy"),
    "skbnn.nn": Floor(
        "skbnn.techniques skbnn.packed skbnn.bits numpy torch skorch threadpoolctl",
        in_functions="accelerate",
    ),
    "skbnn.export": Floor("skbnn.techniques skbnn.packed skbnn.bits numpy"),
    "skbnn.preprocessing": Floor(f"skbnn.packed skbnn.bits {SKLEARN}"),
    "skbnn.datasets": Floor(SKLEARN),
    "skbnn.estimators": Floor(
        f"skbnn.techniques skbnn.packed skbnn.bits {SKLEARN}", in_functions="skbnn.nn"
    ),
}
BELOW = " ".join(part for part in FLOORS if part not in ("skbnn", "skbnn.nn"))
FLOORS["skbnn.inspection"] = Floor(f"{BELOW} {SKLEARN}", in_functions="skbnn.nn matplotlib pandas")
FLOORS["skbnn.__main__"] = Floor(
    f"{BELOW} skbnn.inspection {SKLEARN}", in_functions="matplotlib pandas"
)


def part_of(module):
    """The part of the package in which a module lives: ``skbnn.nn`` for ``skbnn.nn.linear``."""
    return ".".join(module.split(".")[:2])


class ImportFinder(ast.NodeVisitor):
    """Collect (line, imported module, whether inside a function) from a syntax tree."""

    def __init__(self):
        self.found = []
        self.depth = 0

    def visit_function(self, node):
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_function

    def visit_If(self, node):
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)

    def visit_Import(self, node):
        self.found += [(node.lineno, alias.name, self.depth > 0) for alias in node.names]

    def visit_ImportFrom(self, node):
        if node.level:
            targets = ["." * node.level + (node.module or "")]
        elif node.module == "skbnn":
            targets = [home_of(alias.name) for alias in node.names]
        else:
            targets = [node.module]
        self.found += [(node.lineno, target, self.depth > 0) for target in targets]


def home_of(name):
    """The module that ``from skbnn import name`` loads."""
    return skbnn._MODULE_OF.get(name, "skbnn" if name.startswith("__") else f"skbnn.{name}")


def violations(root):
    """Describe every forbidden import in the package whose folder is `root`."""
    messages = []
    for path in sorted(root.rglob("*.py")):
        names = path.relative_to(root.parent).with_suffix("").parts
        module = ".".join(names).removesuffix(".__init__")
        part = part_of(module)
        if part not in FLOORS:
            messages.append(f"{module} stands on no floor")
            continue
        finder = ImportFinder()
        finder.visit(ast.parse(path.read_text(), filename=str(path)))
        for line, target, in_function in finder.found:
            top = target.split(".")[0]
            needed = part_of(target) if top == "skbnn" else top
            if needed in sys.stdlib_module_names or needed in ("skbnn", part):
                continue
            if not FLOORS[part].allows(needed, in_function):
                where = "inside a function" if in_function else "at module level"
                messages.append(f"{module}:{line} imports {target} {where}")
    return messages


def test_imports_only_go_down():
    assert violations(Path(skbnn.__file__).parent) == []


def plant(tmp_path, module, source):
    """Write a package that holds one module with the given source."""
    path = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return tmp_path / "skbnn"


@pytest.mark.parametrize(
    ("module", "source", "target"),
    [
        ("skbnn.__init__", "import numpy", "numpy"),
        ("skbnn.bits.kernels", "from skbnn.packed import values", "skbnn.packed"),
        ("skbnn.bits.kernels", "def f():\n    import torch", "torch"),
        ("skbnn.packed.model", "import numba", "numba"),
        ("skbnn.packed.model", "from skbnn.export import to_c", "skbnn.export"),
        ("skbnn.packed.model", "def f():\n    from skbnn.nn import block", "skbnn.nn"),
        (
            "skbnn.packed.model",
            "try:\n    import sklearn.utils\nexcept ImportError: pass",
            "sklearn",
        ),
        ("skbnn.packed.model", "from skbnn import compare_models", "skbnn.inspection"),
        ("skbnn.packed.model", "from skbnn import nn", "skbnn.nn"),
        ("skbnn.packed.model", "from ..nn import block", "..nn"),
        ("skbnn.techniques", "import skbnn.nn.quantizers", "skbnn.nn"),
        ("skbnn.nn.linear", "from skbnn.estimators import _mlp", "skbnn.estimators"),
        ("skbnn.nn.linear", "from skbnn.export import c_source", "skbnn.export"),
        ("skbnn.export.c_source", "from skbnn.nn import block", "skbnn.nn"),
        ("skbnn.estimators._mlp", "from skbnn.nn import networks", "skbnn.nn"),
        ("skbnn.estimators._mlp", "class A:\n    import skbnn.nn", "skbnn.nn"),
        ("skbnn.estimators._mlp", "def fit():\n    import torch", "torch"),
        ("skbnn.preprocessing", "from skbnn import BinaryMLPClassifier", "skbnn.estimators"),
        ("skbnn.inspection.display", "import matplotlib.pyplot as plt", "matplotlib"),
        ("skbnn.inspection.display", "if True:\n    from pandas import DataFrame", "pandas"),
    ],
)
def test_planted_violation_is_found(tmp_path, module, source, target):
    (message,) = violations(plant(tmp_path, module, source))
    assert message.startswith(module.removesuffix(".__init__") + ":")
    assert f"imports {target}" in message


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("skbnn.bits.kernels", "import numba\nimport numpy as np\nfrom skbnn.bits import packing"),
        (
            "skbnn.packed.model",
            "from skbnn.bits.packing import pack\nfrom skbnn import __version__",
        ),
        ("skbnn.packed.model", "if TYPE_CHECKING:\n    import torch"),
        ("skbnn.nn.block", "import torch.nn as tnn\nfrom skbnn.packed import operation"),
        ("skbnn.estimators._mlp", "def fit():\n    from skbnn.nn.networks import mlp"),
        ("skbnn.inspection.display", "def plot():\n    import matplotlib.pyplot as plt"),
        ("skbnn.__main__", "from skbnn import BinaryMLPClassifier, compare_models"),
    ],
)
def test_import_downwards_is_allowed(tmp_path, module, source):
    assert violations(plant(tmp_path, module, source)) == []


def test_unknown_part_stands_on_no_floor(tmp_path):
    assert violations(plant(tmp_path, "skbnn.attic.box", "")) == [
        "skbnn.attic.box stands on no floor"
    ]
