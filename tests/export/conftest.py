"""The small models of the packed program's tests, and C compilers."""

import shutil
import subprocess
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import numpy as np
import pytest

from skbnn.export import to_c
from skbnn.packed import (
    Attention,
    BitCode,
    BitMatrix,
    EachPlace,
    LevelCodes,
    PackedModel,
    Reals,
    Residual,
    RowMaximum,
    Thermometer,
    TokenBits,
)

MAIN = """\
#include <stdio.h>
{includes}
int main(void)
{{
{calls}
    return 0;
}}
"""
CALL = """\
    if ({name}_self_test() != 0) {{
        printf("{name} row %d\\n", (int){name}_self_test());
    }}"""


def _load_small():
    path = str(Path(__file__).parent.parent / "packed" / "conftest.py")
    loader = SourceFileLoader("small_models", path)
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


small = _load_small()
make_model = small.make_model


def is_real(model):
    """Whether a small model computes with real numbers."""
    values = [value for part in model.operations for value in (part.takes, part.gives)]
    return any(isinstance(v, Reals) for v in values) or not values[-1].integer


def build_other_rules(rng, rule):
    """Three tokens with another rule of attention in a branch, then scores."""
    first, tokens, into, middle, *rest = small.build_attention(rng)
    branch = [
        Attention(part.places, small.rule_of(rng, rule, 2, 4), part.thresholds, part.flips)
        if isinstance(part, Attention)
        else part
        for part in middle.branch
    ]
    return first, tokens, into, Residual(tuple(branch), into.gives, 0), *rest


def build_odd_branches(rng):
    """A stream that a branch within a branch, and a branch of one operation, add to."""
    first, into, start, middle, end, last = small.build_stream(rng)
    inner = Residual(middle.branch, start.gives, -1)
    signs = small.signs_of(rng, inner.gives)
    outer = Residual((inner, signs, *middle.branch[1:]), start.gives, 1)
    lone = small.Shortcut(outer.gives, outer.gives.shape, (1, 1), 9)
    one = Residual((lone,), outer.gives, 1)
    end = small.signs_of(rng, one.gives)
    return first, into, start, outer, one, end, small.last(rng, end.gives, 3)


def build_wide_places(rng):
    """Places of 64 bits, which are read where they lie, with weights of two planes and offsets."""
    first, into, *_ = small.build_stream(rng)
    project = EachPlace(small.hidden(rng, BitCode(3), 64), into.places)
    matrix = BitMatrix(
        small.pack_bits(rng.random((2, 9, 64)) < 0.5),
        64,
        rng.integers(1, 5, (2, 9)).astype(np.int32),
        rng.integers(-4, 5, 9).astype(np.int32),
    )
    thresholds = small.SignThreshold(rng.integers(-90, 90, 9).astype(np.int16))
    again = EachPlace(small.BinaryLinear(matrix, BitCode(64), thresholds), into.places)
    return first, project, again, small.last(rng, again.gives, 3)


def build_empty_tokens(rng):
    """Tokens without bits, whose product is that of no inputs."""
    first, places = small.thermometer(rng), (2, 2)
    none = Thermometer(np.zeros(first.takes.width, np.uint8), np.empty(0, np.float32))
    tokens = TokenBits(np.empty(0, np.uint8), places)
    thresholds = small.SignThreshold(rng.integers(0, 2, 32).astype(np.int16))
    matrix = BitMatrix(np.empty((1, 32, 0), np.uint64), 0)
    product = small.BinaryLinear(matrix, tokens.gives.of_place(places), thresholds)
    into = EachPlace(product, places)
    middle = EachPlace(small.hidden(rng, BitCode(32), 128), places)
    return none, tokens, into, middle, small.last(rng, middle.gives, 3)


def build_one_level(rng):
    """Units whose activation has one level, and is met without a comparison."""
    first = small.thermometer(rng)
    levels = LevelCodes(np.empty((0, 5), np.int16), np.zeros(1, np.uint64), (2,), (1, 3), 0)
    middle = small.BinaryLinear(small.sign_matrix(rng, 5, first.gives.n_bits), first.gives, levels)
    return first, middle, small.last(rng, middle.gives, 3)


def build_far_limits(rng):
    """Attention to all tokens: limits that no sum may be formed with."""
    operations = []
    for part in build_other_rules(rng, "row-max"):
        if isinstance(part, Residual):
            far = RowMaximum(np.full(2, np.iinfo(np.int32).max, np.int32))
            branch = [replace(p, rule=far) if isinstance(p, Attention) else p for p in part.branch]
            part = replace(part, branch=tuple(branch))
        operations.append(part)
    return tuple(operations)


ODD = {
    "empty-tokens": build_empty_tokens,
    "one-level": build_one_level,
    "far-limits": build_far_limits,
    "odd-branches": build_odd_branches,
    "wide-places": build_wide_places,
    "threshold": lambda rng: build_other_rules(rng, "threshold"),
    "row-max": lambda rng: build_other_rules(rng, "row-max"),
}


@pytest.fixture
def models(make_model):
    """Every small model that C can express, by name, with rows that it reads."""
    found = {kind: make_model(kind) for kind in small.BUILDERS}
    found = {kind: (model, X) for kind, (model, X) in found.items() if not is_real(model)}
    _, X = make_model("stream")
    for seed, (kind, build) in enumerate(ODD.items()):
        operations = build(np.random.default_rng([7, seed]))
        found[kind] = PackedModel(operations, np.arange(3), 1.0, "numpy"), X
    return found


@pytest.fixture
def sources(models, tmp_path):
    """A folder with a C file whose program runs every small model's self-test."""
    for kind, (model, X) in models.items():
        name = kind.replace("-", "_")
        header = to_c(model, name, proba=model.probability_scale is not None, test_rows=X)
        (tmp_path / f"{name}.h").write_text(header)
    write_main(tmp_path, [kind.replace("-", "_") for kind in models])
    return tmp_path


def write_main(folder, names):
    """Write ``main.c``, which prints the models whose self-test fails."""
    includes = "\n".join(f'#define {n.upper()}_SELF_TEST\n#include "{n}.h"' for n in names)
    calls = "\n".join(CALL.format(name=name) for name in names)
    (folder / "main.c").write_text(MAIN.format(includes=includes, calls=calls))


@pytest.fixture
def real_models(make_model):
    """Every small model that computes with real numbers."""
    found = [make_model(kind)[0] for kind in small.BUILDERS]
    return [model for model in found if is_real(model)]


@pytest.fixture
def compile_c():
    """A function that compiles files of a folder to a program; it skips without the compiler."""

    def compile_files(folder, command, files=("main.c",)):
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        done = subprocess.run(
            [*command, "-o", "program", *files], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return folder / "program"

    return compile_files


@pytest.fixture
def run_c():
    """A function that runs a program and returns what it prints; it skips without the emulator."""

    def run(program, *emulator, reads=b""):
        if emulator and shutil.which(emulator[0]) is None:
            pytest.skip(f"{emulator[0]} is not installed")
        done = subprocess.run([*emulator, str(program)], capture_output=True, input=reads)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.decode()

    return run
