"""Blocks of Python in the documentation run; public names are documented and shown."""

import doctest
import re
import shutil
import textwrap
from importlib import import_module
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_digits, load_wine
from sklearn.model_selection import train_test_split

import skbnn
from skbnn import BinaryMLPClassifier, export, inspection, techniques

matplotlib.use("Agg")
ROOT = Path(skbnn.__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.rst"), *DOCS.glob("user_guide/*.rst")])
QUICK = {"extending", "reliability", "families", "bits"}
NEEDED = {"cluster": ("distributed",), "larger": ("dask", "xarray")}
BLOCK = re.compile(
    r"^(?:\.\. code-block:: python|(?!\.\. ).*::)\n\n((?:(?:    .*)?\n)+)", re.MULTILINE
)


def blocks(page):
    """The blocks of Python of a page, in order: not those of a shell, nor doctests."""
    found = [textwrap.dedent(block) for block in BLOCK.findall(page.read_text() + "\n")]
    return [b for b in found if not re.match(r"\s*(>>>|\.venv/|python3? |int32_t|\$)", b)]


def with_blocks():
    """Pages that have blocks; those that take long are slow."""
    for page in PAGES:
        name = page.relative_to(DOCS).with_suffix("").as_posix()
        if blocks(page) or ">>>" in page.read_text():
            slow = () if page.stem in QUICK else pytest.mark.slow
            yield pytest.param(page, marks=slow, id=name)


@pytest.fixture(scope="module")
def names():
    """What pages take for granted: digits, split, and a fitted network."""
    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X[:600], y[:600], random_state=0)
    X_train, X_test, y_train, y_test = parts
    net = BinaryMLPClassifier((16,), max_iter=3, random_state=0).fit(X_train, y_train)
    return {
        **{"X": X[:600], "y": y[:600], "X_train": X_train, "X_test": X_test},
        **{"y_train": y_train, "y_test": y_test, "net": net},
        "BinaryMLPClassifier": BinaryMLPClassifier,
    }


@pytest.mark.parametrize("page", list(with_blocks()))
def test_blocks_run(page, names, tmp_path, monkeypatch, capsys):
    for package in NEEDED.get(page.stem, ()):
        pytest.importorskip(package)
    if page.stem == "export" and shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    monkeypatch.chdir(tmp_path)
    table = load_wine(as_frame=True).frame.rename(columns={"target": "class"})
    table.to_csv("table.csv", index=False)
    namespace = {**names, "__name__": "__main__"}
    for number, block in enumerate(blocks(page)):
        exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)
    examples = doctest.DocTestParser().get_doctest(
        page.read_text(), dict(namespace), page.name, str(page), 0
    )
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.DocTestRunner(optionflags=flags).run(examples).failed == 0, capsys.readouterr()
    plt.close("all")


def test_blocks_are_found():
    found = {page.stem: len(blocks(page)) for page in PAGES}
    assert found["getting_started"] >= 2
    assert found["techniques"] >= 2
    assert found["extending"] >= 3


REFERENCE = re.findall(r"^   (\w[\w.]*)$", (DOCS / "api.rst").read_text(), re.MULTILINE)
PICTURES = sorted(ROOT.glob("examples/plot_*.py"))
IMPORTS = re.compile(r"^ *from skbnn(\S*) import (\([^)]*\)|[^(\n]*)", re.MULTILINE)


def public_names():
    """Every public name: what packages for users export, and what pages and examples import."""
    yield from skbnn.__all__
    for module in (export, inspection, techniques):
        place = module.__name__.removeprefix("skbnn.")
        yield from (f"{place}.{name}" for name in module.__all__ if name not in skbnn.__all__)
    for path in [*PAGES, *PICTURES, ROOT / "README.md"]:
        for place, imported in IMPORTS.findall(path.read_text()):
            yield from (f"{place}.{name}"[1:] for name in re.findall(r"\w+", imported) if place)


def test_reference_lists_every_public_name():
    assert len(REFERENCE) == len(set(REFERENCE)) > 40
    assert {name for name in public_names() if home(name) is not None} <= set(REFERENCE)


def home(name):
    """The object of a name of the API reference."""
    module, _, attribute = f"skbnn.{name}".rpartition(".")
    return getattr(import_module(module), attribute)


@pytest.mark.parametrize("name", REFERENCE)
def test_public_name_is_shown(name):
    word = re.compile(rf"\b{name.split('.')[-1]}\b")
    assert any(word.search(path.read_text()) for path in PICTURES), "in no example"


CHECKS = {"GL06", "GL07", "GL08", "PR01", "PR02", "PR03", "PR04", "RT01", "SS03", "SS05"}


@pytest.mark.parametrize("name", REFERENCE)
def test_docstrings_follow_numpydoc(name):
    validate = pytest.importorskip("numpydoc.validate", reason="needs numpydoc")
    value = home(name)
    paths = [f"{value.__module__}.{value.__qualname__}"]
    if isinstance(value, type):
        # A method without a docstring has that of its base class.
        own = [key for key, method in vars(value).items() if getattr(method, "__doc__", None)]
        own = [key for key in own if callable(vars(value)[key])]
        paths += [f"{paths[0]}.{key}" for key in own if not key.startswith("_")]
    found = {
        path: [(code, text) for code, text in validate.validate(path)["errors"] if code in CHECKS]
        for path in paths
    }
    assert not {path: errors for path, errors in found.items() if errors}


def test_costs_of_a_billion_images(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    scale = pytest.importorskip("scale")
    row = {
        **{"network": "mlp 256-256, 3 bits a pixel", "packed/s": 4e6, "predicted/s": 1e6},
        **{"trained/s": 1e4, "bytes an image": 96, "latent weights": 1000},
    }
    found = scale.costs(row)
    assert found["packed"] == pytest.approx(250 / 3600)
    assert found["trained"] == pytest.approx(1e5 / 3600)
    assert found["bits"] == 96
    assert found["gradients, 256"] == pytest.approx(8 * 1000 / 256)
    assert scale.billion([row]).count("   * - ") == 7
    run = {"what": "predict", "images": 20_000_000, "GB": 15.68, "from disk, images/s": 8e5}
    assert "20,000,000 images" in scale.check([row], [run])
    assert "80 % of the constant" in scale.check([row], [run])
    assert scale.check([row], []) == ""


def test_results_that_the_documentation_shows(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    figures = pytest.importorskip("figures")
    study = import_module("study")
    rows, stored = study.stored_results("mnist")
    assert {"logistic", "k-means 256"} <= {row["family"] for row in rows}
    assert study.table(rows).count("   * - ") == 1 + len(rows)
    assert "logistic" in study.seeds_text(rows)
    floors = figures.heights(figures.imports_of_parts())
    assert floors["bits"] == 0 < floors["packed"] < floors["estimators"] < floors["inspection"]
    assert list(figures.lives()) == ["fit", "predict"]
    confusion = np.array([[9, 1, 0], [0, 10, 0], [3, 0, 7]])
    perfect = {"family": "a", "kind": "float", "confusion": 10 * np.eye(3)}
    bits = {"family": "a", "kind": "bits", "confusion": confusion}
    text = study.confused([perfect, bits], [(0, 2), (0, 1)], ["x", "y", "z"])
    assert re.findall(r"- (.*)", text)[-6:] == [
        "a", "bits", "15.0", "5.0", "z as x (30.0)", "z (30.0), x (10.0)"
    ]  # fmt: skip
    assert study.confused([{"family": "a", "kind": "bits"}], [], []) == ""


def test_page_of_techniques(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    measured = pytest.importorskip("measured")
    rows = measured.by_technique(measured.stored("techniques-mnist-mlp"))
    assert measured.technique_table(rows).count("   * - ") == 1 + len(rows)
    means = [sum(errors) / len(errors) for _, _, errors in rows]
    assert means == sorted(means)
    kinds = {name: measured.kind_of(name) for name in ("float", "binaryconnect", "bnn", "lqnets")}
    assert tuple(kinds.values()) == tuple(measured.KINDS)[:2] + ("all of one bit", "several bits")
    assert measured.stored("none such") == [] == measured.technique_parts("none", "mlp", None)
    run = {"paper": "bnn", "published": 0.96, "max_iter": 9, "n_train": 60_000}
    run |= {"test_errors": 150, "n_test": 10_000}
    monkeypatch.setattr(measured, "stored", lambda name: [run, run | {"test_errors": 100}])
    _, text = measured.paper_parts()
    assert "- 0.96\n     - 1.25 (1.00-1.50)\n     - 2\n     - 9" in text


def test_figure_of_techniques_leaves_room_for_those_that_work(monkeypatch):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    monkeypatch.syspath_prepend(str(DOCS))
    measured = pytest.importorskip("measured")
    rows = [("float", [], [0.5]), ("bnn", [], [1.0, 1.1]), ("posttraining", [], [22.5, 22.7])]
    axes = figure.subplots()
    measured.draw_errors(rows)(axes, {"faint": "grey", "ink": "black"})
    assert [text.get_text() for text in axes.texts] == ["22.6 \N{RIGHTWARDS ARROW}"]
    assert axes.texts[0].get_position()[1] == 0
    assert axes.get_xlim()[1] < 1.5
