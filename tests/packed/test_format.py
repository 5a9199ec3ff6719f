"""The model file: round trips, sizes, damage, and writing in one step."""

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as safetensors_load

from skbnn.bits import pack_bits
from skbnn.packed import (
    BinaryLinear,
    BitMatrix,
    ClassScores,
    PackedModel,
    SignThreshold,
    Thermometer,
    load,
)
from skbnn.packed.format import arrays_of, from_bytes, to_bytes
from skbnn.packed.operation import OPERATIONS

GOLDEN = sorted((Path(__file__).parent / "data").glob("golden-v*.skbnn"))


def with_classes(model, classes):
    """The same program with other labels."""
    return PackedModel(model.operations, classes, model.probability_scale)


def tiny_model():
    """Two features, two classes, one bit of weight each."""
    first = Thermometer(np.array([1, 0], np.uint8), np.array([0.5], np.float32))
    matrix = BitMatrix(np.array([[[1], [0]]], np.uint64), 1)
    ones = np.ones(2, np.int32)
    return PackedModel((first, BinaryLinear(matrix, first.gives, ClassScores(ones, ones))), [0, 1])


def wide_model(n_units, n_features=784):
    """A network of one hidden layer."""
    rng = np.random.default_rng(0)
    first = Thermometer(np.ones(n_features, np.uint8), rng.random(n_features, np.float32))
    matrix = BitMatrix(pack_bits(rng.random((1, n_units, n_features)) < 0.5), n_features)
    middle = BinaryLinear(matrix, first.gives, SignThreshold(np.zeros(n_units, np.int16)))
    matrix = BitMatrix(pack_bits(rng.random((1, 10, n_units)) < 0.5), n_units)
    scores = ClassScores(np.ones(10, np.int32), np.zeros(10, np.int32))
    return PackedModel((first, middle, BinaryLinear(matrix, middle.gives, scores)), range(10))


def test_every_kind_of_operation_survives(make_model, kind, backend_name, tmp_path):
    model, X = make_model(kind)
    path = tmp_path / "model.skbnn"
    model.save(path)
    loaded = load(path, backend=backend_name)
    assert loaded == model
    assert loaded.backend == backend_name
    assert loaded.probability_scale == model.probability_scale
    np.testing.assert_array_equal(loaded.scores(X), model.scores(X))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    for mine, other in zip(model.operations, loaded.operations, strict=True):
        assert type(mine) is type(other)
        arrays = arrays_of(other)
        for name, array in arrays_of(mine).items():
            assert arrays[name].dtype == array.dtype
            assert not arrays[name].flags.writeable
            np.testing.assert_array_equal(arrays[name], array)
    loaded.save(str(path))
    assert path.read_bytes() == to_bytes(model)


def test_the_safetensors_library_reads_the_arrays(make_model, kind):
    model, _ = make_model(kind)
    found = safetensors_load(to_bytes(model))
    arrays = {}
    for index, operation in enumerate(model.operations):
        arrays |= {f"{index}{name}": array for name, array in arrays_of(operation).items()}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("n_units", [1, 64, 1000])
def test_a_file_is_hardly_larger_than_its_arrays(n_units):
    model = wide_model(n_units)
    size = len(to_bytes(model))
    assert model.nbytes < size <= 1.05 * model.nbytes + 4096


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", 'b"\\\n', "ü" * 40]),
        np.array(["a", "b", ""], object),
        np.array([0.1, 1 / 3, -1e300]),
        np.array([0.1, 1 / 3, 2], np.float32),
        np.array([-(2**63), 0, 2**63 - 1]),
        np.array([0, 1, 2**64 - 1], np.uint64),
        np.array([1, 2, 3], np.int8),
        np.array([1, 2, 3], ">i4"),
    ],
)
def test_labels_survive(make_model, labels):
    model, X = make_model("mlp")
    loaded = from_bytes(to_bytes(with_classes(model, labels)))
    assert loaded.classes.dtype == labels.dtype.newbyteorder("=")
    np.testing.assert_array_equal(loaded.classes, labels)


def test_labels_of_truth_survive():
    loaded = from_bytes(to_bytes(with_classes(tiny_model(), np.array([False, True]))))
    assert loaded.classes.dtype == np.bool_


@pytest.mark.parametrize(
    "labels",
    [
        np.array([1, 2, "three"], object),
        np.array([1.0, 2.0, np.inf]),
        np.array(["2020", "2021", "2022"], "M8[Y]"),
        np.array([b"a", b"b", b"c"]),
        np.array([1, 2, 3], np.complex128),
    ],
)
def test_labels_that_a_file_cannot_hold_are_refused_and_nothing_is_written(
    make_model, labels, tmp_path
):
    model = with_classes(make_model("mlp")[0], labels)
    with pytest.raises(ValueError, match="cannot be saved; use strings or finite numbers"):
        model.save(tmp_path / "model.skbnn")
    assert list(tmp_path.iterdir()) == []


def test_labels_longer_than_a_header_may_be_are_refused(make_model, tmp_path):
    model = with_classes(make_model("mlp")[0], np.array(["a", "b", "c" * (1 << 24)], object))
    with pytest.raises(ValueError, match="too long"):
        model.save(tmp_path / "model.skbnn")


def test_every_changed_byte_is_noticed(load_bytes):
    data = to_bytes(tiny_model())
    assert load_bytes(data) == tiny_model()
    rng = np.random.default_rng(0)
    # Any other value at every place; then the values that JSON takes for blanks.
    changes = [(place, (byte + rng.integers(1, 256)) % 256) for place, byte in enumerate(data)]
    blanks = [place for place, byte in enumerate(data) if byte == ord(" ")]
    changes += [(place, blank) for place in blanks for blank in b"\t\n\r"]
    assert blanks
    for place, byte in changes:
        damaged = bytearray(data)
        damaged[place] = byte
        with pytest.raises(ValueError, match=r"model\.skbnn is not a usable skbnn model: "):
            load_bytes(damaged)


def test_every_truncation_and_extension_is_noticed(load_bytes):
    data = to_bytes(tiny_model())
    for damaged in [data[:n] for n in range(len(data))] + [data + bytes(n) for n in (1, 8, 999)]:
        with pytest.raises(ValueError, match=r"model\.skbnn is not a usable skbnn model: "):
            load_bytes(damaged)


def test_arrays_cannot_change_their_names():
    data = to_bytes(tiny_model())
    swapped = data.replace(b'output.offsets":{', b"#").replace(
        b'output.multipliers":{', b'output.offsets":{'
    )
    swapped = swapped.replace(b"#", b'output.multipliers":{')
    assert len(swapped) == len(data) and swapped != data
    with pytest.raises(ValueError, match="checksum"):
        from_bytes(swapped)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(
    make_model, tmp_path, monkeypatch, call
):
    model, _ = make_model("mlp")
    path = tmp_path / "model.skbnn"
    tiny_model().save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.skbnn"]
    model.save(path)
    assert load(path) == model
    assert [p.name for p in tmp_path.iterdir()] == ["model.skbnn"]


def test_paths_that_cannot_be_used(make_model, tmp_path):
    model, _ = make_model("mlp")
    with pytest.raises(FileNotFoundError, match=r"no folder .*missing to write model\.skbnn in"):
        model.save(tmp_path / "missing" / "model.skbnn")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="irectory"):
        model.save(tmp_path / "folder")
    with pytest.raises(OSError, match="irectory"):
        load(tmp_path / "folder")
    with pytest.raises(FileNotFoundError, match="nothing"):
        load(tmp_path / "nothing.skbnn")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_an_unknown_backend_is_no_fault_of_the_file(tmp_path):
    tiny_model().save(tmp_path / "model.skbnn")
    with pytest.raises(ValueError, match="^Unknown backend 'cuda'"):
        load(tmp_path / "model.skbnn", backend="cuda")


def test_loading_takes_a_small_multiple_of_the_file(tmp_path):
    path = tmp_path / "model.skbnn"
    wide_model(4096).save(path)
    size = path.stat().st_size
    load(path, backend="numpy")
    tracemalloc.start()
    try:
        model = load(path, backend="numpy")
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert model.nbytes > 400_000
    assert kept < 3 * size
    assert peak < 5 * size


def test_loading_thresholds_of_a_few_features_takes_little_memory(tmp_path):
    counts = np.zeros(100_000, np.uint8)
    counts[::50_000] = 255
    limits = np.repeat(np.arange(255, dtype=np.float32), 2)
    first = Thermometer(counts, limits)
    scores = ClassScores(np.ones(2, np.int32), np.zeros(2, np.int32))
    matrix = BitMatrix(pack_bits(np.ones((2, 510), bool))[None], 510)
    path = tmp_path / "model.skbnn"
    PackedModel((first, BinaryLinear(matrix, first.gives, scores)), np.arange(2)).save(path)
    tracemalloc.start()
    try:
        load(path, backend="numpy")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 * path.stat().st_size


READ_GOLDEN = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocked())
import numpy as np
import skbnn

for path in {paths!r}:
    model = skbnn.load(path, backend={backend!r})
    stored = np.load(path.removesuffix("skbnn") + "npz")
    scores = model.scores(stored["X"])
    assert scores.dtype == stored["scores"].dtype, path
    if scores.dtype == np.int32:
        np.testing.assert_array_equal(scores, stored["scores"], path)
    else:
        np.testing.assert_allclose(scores, stored["scores"], rtol=1e-6, atol=1e-6, err_msg=path)
    np.testing.assert_array_equal(model.predict(stored["X"]), stored["labels"], path)
    print("equal", len(scores))
"""


def kinds_in(part):
    """Every kind of operation and value in a file's metadata."""
    if isinstance(part, dict):
        yield from [part["kind"]] if "kind" in part else []
    for inner in part.values() if isinstance(part, dict) else part:
        if isinstance(inner, dict | list):
            yield from kinds_in(inner)


def test_there_is_a_golden_file_of_every_kind():
    found = set()
    for path in GOLDEN:
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        found |= set(kinds_in(json.loads(header["__metadata__"]["skbnn"])["operations"]))
    values = {"bit-matrix", "bit-code", "bit-image", "int-stream", "reals", "window"}
    # A new kind needs a file: add a model to make_golden.py and run it.
    assert found >= {*OPERATIONS, *values, "image-layout"}


@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_golden_files_predict_the_same_forever(backend):
    blocked = {"torch", "skorch", "sklearn", "scipy", "safetensors", "joblib"}
    blocked |= {"numba", "llvmlite"} if backend == "numpy" else set()
    script = READ_GOLDEN.format(blocked=blocked, paths=[*map(str, GOLDEN)], backend=backend)
    # The folder of the package in use, so that both processes read the same source.
    home = str(Path(sys.modules["skbnn"].__file__).parents[1])
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": home},
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("equal 12\n") == len(GOLDEN)
