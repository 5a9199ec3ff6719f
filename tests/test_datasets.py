"""MNIST and Fashion-MNIST: reading, refusing, downloading."""

import gzip
import hashlib
import json
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from sklearn.utils import Bunch

from skbnn import datasets
from skbnn.datasets import fetch_fashion_mnist, fetch_mnist

FETCHERS = {"mnist": fetch_mnist, "fashion-mnist": fetch_fashion_mnist}
N_TRAIN, N_TEST = 12, 5
FILES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def to_idx(array):
    """The definition of the IDX format, for arrays of bytes."""
    header = bytes([0, 0, 8, array.ndim])
    header += b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def small(monkeypatch):
    """Shrink the data sets to 12 + 5 rows; returns images, labels and the four files' content."""
    monkeypatch.setattr(datasets, "_N_ROWS", {"train": N_TRAIN, "t10k": N_TEST})
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(N_TRAIN + N_TEST, 28, 28), dtype=np.uint8)
    labels = np.arange(N_TRAIN + N_TEST) % 10
    parts = [images[:N_TRAIN], labels[:N_TRAIN], images[N_TRAIN:], labels[N_TRAIN:]]
    files = dict(zip(FILES, map(to_idx, parts), strict=True))
    return Bunch(images=images, labels=labels, files=files)


def lay_out(folder, files, rename=lambda name: name):
    """Write the four files, compressed where the name ends in .gz."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / rename(name)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def no_network(*args, **kwargs):
    raise URLError("no network in tests")


@pytest.mark.parametrize("name", FETCHERS)
@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name,
        lambda name: name + ".gz",
        lambda name: name.replace("-idx", ".idx"),
        lambda name: name.replace("-idx", ".idx") + ".gz",
    ],
    ids=["plain", "gz", "dotted", "dotted-gz"],
)
def test_reads_idx_files(tmp_path, small, name, rename):
    lay_out(tmp_path / name, small.files, rename)
    bunch = FETCHERS[name](data_home=tmp_path, download_if_missing=False)
    assert bunch.data.dtype == np.uint8
    assert bunch.data.shape == (N_TRAIN + N_TEST, 784)
    assert bunch.data.flags.c_contiguous
    assert bunch.target.dtype == np.int64
    assert bunch.image_shape == (28, 28)
    assert len(bunch.target_names) == 10
    assert np.shares_memory(bunch.images, bunch.data)
    np.testing.assert_array_equal(bunch.images, small.images)
    np.testing.assert_array_equal(bunch.target, small.labels)
    np.testing.assert_array_equal(bunch.images[bunch.train], small.images[:N_TRAIN])
    np.testing.assert_array_equal(bunch.images[bunch.test], small.images[N_TRAIN:])


def test_return_X_y(tmp_path, small):
    lay_out(tmp_path / "mnist", small.files)
    X, y = fetch_mnist(data_home=str(tmp_path), return_X_y=True)
    np.testing.assert_array_equal(X, small.images.reshape(-1, 784))
    np.testing.assert_array_equal(y, small.labels)


def test_data_home_is_that_of_scikit_learn(tmp_path, small, monkeypatch):
    lay_out(tmp_path / "data" / "mnist", small.files)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "data"))
    assert fetch_mnist().data.shape == (N_TRAIN + N_TEST, 784)
    monkeypatch.delenv("SCIKIT_LEARN_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "data").rename(tmp_path / "scikit_learn_data")
    assert fetch_mnist().data.shape == (N_TRAIN + N_TEST, 784)


def set_byte(content, position, value):
    return content[:position] + bytes([value]) + content[position + 1 :]


IMAGES, LABELS = FILES[0], FILES[1]


@pytest.mark.parametrize(
    ("file", "damage", "reason"),
    [
        (IMAGES, lambda content: b"", "does not begin as an IDX file"),
        (IMAGES, lambda content: content[:3], "does not begin as an IDX file"),
        (IMAGES, lambda content: b"<html>" + content, "does not begin as an IDX file"),
        (IMAGES, lambda content: gzip.compress(content), "does not begin as an IDX file"),
        (IMAGES, lambda content: set_byte(content, 2, 0x0D), "type code is 0x0d"),
        (IMAGES, lambda content: set_byte(content, 3, 2), "2 dimensions, not 3"),
        (IMAGES, lambda content: content[:10], "ends within its header"),
        (IMAGES, lambda content: set_byte(content, 7, 13), r"shape \(13, 28, 28\)"),
        (IMAGES, lambda content: set_byte(content, 11, 32), r"shape \(12, 32, 28\)"),
        (IMAGES, lambda content: set_byte(content, 4, 0x80), r"shape \(2147483660, 28, 28\)"),
        (IMAGES, lambda content: content[:-1], "ends after"),
        (IMAGES, lambda content: content + b"\0", "goes on after"),
        (LABELS, lambda content: content[:-1], "ends after"),
        (LABELS, lambda content: set_byte(content, 9, 10), "the label 10, beyond 0 to 9"),
        (LABELS, lambda content: to_idx(np.zeros(N_TEST)), r"shape \(5,\), not \(12,\)"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_refuses_damaged_files(tmp_path, small, file, damage, reason, suffix):
    files = {**small.files, file: damage(small.files[file])}
    lay_out(tmp_path / "mnist", files, lambda name: name + suffix)
    with pytest.raises(ValueError, match=reason) as error:
        fetch_mnist(data_home=tmp_path)
    assert str(tmp_path / "mnist" / (file + suffix)) in str(error.value)
    assert "intact copy" in str(error.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-9],
        lambda packed: packed[: len(packed) // 2],
        lambda packed: set_byte(packed, len(packed) // 2, packed[len(packed) // 2] ^ 0xFF),
        lambda packed: set_byte(packed, len(packed) - 6, packed[-6] ^ 0xFF),
        lambda packed: b"not gzip" + packed,
        lambda packed: packed + b"and more",
    ],
    ids=["trailer cut", "cut", "flipped", "wrong checksum", "not gzip", "appended"],
)
def test_refuses_damaged_compression(tmp_path, small, damage):
    lay_out(tmp_path / "mnist", small.files, lambda name: name + ".gz")
    path = tmp_path / "mnist" / (IMAGES + ".gz")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="damaged") as error:
        fetch_mnist(data_home=tmp_path)
    assert str(path) in str(error.value)


def test_exchanged_splits_are_refused(tmp_path, small):
    files = {**small.files, FILES[0]: small.files[FILES[2]]}
    lay_out(tmp_path / "mnist", files)
    with pytest.raises(ValueError, match=r"train-images.*shape \(5, 28, 28\)"):
        fetch_mnist(data_home=tmp_path)


@pytest.mark.parametrize("missing", FILES)
def test_incomplete_folder_names_what_is_missing(tmp_path, small, missing, monkeypatch):
    monkeypatch.setattr(datasets, "fetch_openml", no_network)
    lay_out(tmp_path / "mnist", small.files)
    (tmp_path / "mnist" / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing):
        fetch_mnist(data_home=tmp_path)


@pytest.mark.parametrize("name", FETCHERS)
def test_missing_and_no_download(tmp_path, name, monkeypatch):
    monkeypatch.setattr(datasets, "fetch_openml", no_network)
    home = tmp_path / "home"
    with pytest.raises(OSError, match="SCIKIT_LEARN_DATA") as error:
        FETCHERS[name](data_home=home, download_if_missing=False)
    assert str(home / name) in str(error.value)
    assert not home.exists()


@pytest.mark.parametrize("name", FETCHERS)
def test_offline_says_what_to_do(tmp_path, name, monkeypatch):
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", no_network)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(OSError, match="could not be downloaded") as error:
        FETCHERS[name](data_home=tmp_path)
    for hint in (
        str(tmp_path / name),
        "train-images-idx3-ubyte.gz",
        "SCIKIT_LEARN_DATA",
        "network",
    ):
        assert hint in str(error.value)
    assert not (tmp_path / name).exists()


def openml_bunch(small):
    return Bunch(
        data=small.images.reshape(-1, 784).astype(np.float64),
        target=np.array([str(label) for label in small.labels], dtype=object),
    )


@pytest.mark.parametrize(
    ("name", "openml_name"), [("mnist", "mnist_784"), ("fashion-mnist", "Fashion-MNIST")]
)
def test_download_is_stored_as_idx_files(tmp_path, small, name, openml_name, monkeypatch):
    calls = []

    def fetch_openml(*args, **kwargs):
        calls.append((args, kwargs))
        return openml_bunch(small)

    monkeypatch.setattr(datasets, "fetch_openml", fetch_openml)
    first = FETCHERS[name](data_home=tmp_path)
    (args, kwargs) = calls.pop()
    assert args == (openml_name,)
    assert kwargs["version"] == 1
    assert kwargs["parser"] == "liac-arff"
    assert kwargs["as_frame"] is False
    assert {path.name for path in (tmp_path / name).iterdir()} == {f"{file}.gz" for file in FILES}
    second = FETCHERS[name](data_home=tmp_path, download_if_missing=False)
    assert not calls
    for bunch in (first, second):
        assert bunch.data.dtype == np.uint8
        assert bunch.data.flags.c_contiguous
        assert bunch.target.dtype == np.int64
        np.testing.assert_array_equal(bunch.images, small.images)
        np.testing.assert_array_equal(bunch.target, small.labels)


def test_download_leaves_nothing_half_written(tmp_path, small, monkeypatch):
    def full_disk(path, array, shape):
        if "t10k" in path.name:
            raise OSError("no space left on device")
        write_idx(path, array, shape)

    write_idx = datasets._write_idx
    monkeypatch.setattr(datasets, "fetch_openml", lambda *args, **kwargs: openml_bunch(small))
    monkeypatch.setattr(datasets, "_write_idx", full_disk)
    with pytest.raises(OSError, match="no space left"):
        fetch_mnist(data_home=tmp_path)
    assert list((tmp_path / "mnist").iterdir()) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda bunch: bunch.update(data=bunch.data[:-1]),
        lambda bunch: bunch.update(data=bunch.data[:, :-1]),
        lambda bunch: bunch.update(data=bunch.data / 2),
        lambda bunch: bunch.update(target=np.full(len(bunch.data), "10")),
    ],
    ids=["rows", "columns", "fractions", "labels"],
)
def test_unexpected_download_is_refused(tmp_path, small, spoil, monkeypatch):
    bunch = openml_bunch(small)
    spoil(bunch)
    monkeypatch.setattr(datasets, "fetch_openml", lambda *args, **kwargs: bunch)
    with pytest.raises(ValueError, match="OpenML returned as mnist_784"):
        fetch_mnist(data_home=tmp_path)
    assert not (tmp_path / "mnist").exists()


def seed_openml_cache(data_home, bunch):
    """Fill scikit-learn's cache as a download of ``mnist_784`` would."""
    names = [f"pixel{i}" for i in range(1, 785)]
    features = [
        {"index": str(i), "name": name, "data_type": "numeric", "is_target": "false"}
        for i, name in enumerate(names)
    ]
    features.append({"index": "784", "name": "class", "data_type": "nominal", "is_target": "true"})
    for feature in features:
        feature.update(is_ignore="false", is_row_identifier="false", number_of_missing_values="0")
    arff = ["@RELATION mnist_784", *(f"@ATTRIBUTE {name} real" for name in names)]
    arff += ["@ATTRIBUTE class {0,1,2,3,4,5,6,7,8,9}", "@DATA"]
    for row, label in zip(bunch.images.reshape(-1, 784), bunch.labels, strict=True):
        arff.append(",".join(map(str, [*row, label])))
    arff = "\n".join(arff)
    description = {
        "id": "554",
        "name": "mnist_784",
        "version": "1",
        "description": "A few rows in the form of MNIST.",
        "format": "ARFF",
        "file_id": "52667",
        "status": "active",
        "default_target_attribute": "class",
        "md5_checksum": hashlib.md5(arff.encode()).hexdigest(),
        "url": "https://openml.org/data/v1/download/52667/mnist_784.arff",
    }
    api = "openml.org/api/v1/json/data"
    found = {"dataset": [{"did": 554, "name": "mnist_784", "version": 1, "status": "active"}]}
    answers = {
        f"{api}/list/data_name/mnist_784/limit/2/data_version/1": {"data": found},
        f"{api}/554": {"data_set_description": description},
        f"{api}/features/554": {"data_features": {"feature": features}},
        f"{api}/qualities/554": {
            "data_qualities": {"quality": [{"name": "NumberOfInstances", "value": "17"}]}
        },
    }
    pages = {url: json.dumps(answer) for url, answer in answers.items()}
    pages["openml.org/data/v1/download/52667/mnist_784.arff"] = arff
    for url, text in pages.items():
        path = Path(data_home, "openml", url + ".gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()))


def test_reads_the_openml_cache(tmp_path, small, monkeypatch):
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", no_network)
    seed_openml_cache(tmp_path, small)
    X, y = fetch_mnist(data_home=tmp_path, return_X_y=True)
    np.testing.assert_array_equal(X, small.images.reshape(-1, 784))
    np.testing.assert_array_equal(y, small.labels)


def test_real_mnist(mnist):
    assert mnist.data.shape == (70_000, 784)
    assert mnist.data[mnist.train].shape == (60_000, 784)
    assert mnist.data[mnist.test].shape == (10_000, 784)
    assert mnist.target[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.target[mnist.test][:5].tolist() == [7, 2, 1, 0, 4]
    counts = [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]
    assert np.bincount(mnist.target).tolist() == counts


def test_real_fashion_mnist(fashion_mnist):
    assert fashion_mnist.data.shape == (70_000, 784)
    assert np.bincount(fashion_mnist.target).tolist() == [7000] * 10
    assert fashion_mnist.target_names[fashion_mnist.target[0]] == "Ankle boot"
