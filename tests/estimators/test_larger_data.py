"""Data larger than memory: memory maps and Dask arrays give the same models, without a copy."""

import gc
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest

from skbnn import BinaryCNNClassifier, BinaryMLPClassifier, KMeansClassifier
from skbnn.estimators import _training
from skbnn.estimators._rows import DaskRows
from skbnn.packed import blocks, distinct
from skbnn.packed.mapped import MappedRows

SMAPS = Path("/proc/self/smaps")
mlp = BinaryMLPClassifier((16,), max_iter=2, random_state=0)
cnn = BinaryCNNClassifier((4,), hidden_layer_sizes=8, max_iter=1, random_state=0)


def new(estimator, **params):
    return type(estimator)(**{**estimator.get_params(), **params})


@pytest.fixture(scope="module")
def pixels():
    """Rows of bytes, labels that follow from them, and weights with zeros."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 200, (5000, 64), np.uint8)
    return X, (X[:, :8].mean(1) > 100).astype(int), rng.integers(0, 3, 5000)


@pytest.fixture
def mapped(pixels, tmp_path):
    """The same rows as a read-only memory map."""
    np.save(tmp_path / "X.npy", pixels[0])
    return np.load(tmp_path / "X.npy", mmap_mode="r")


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 1 << 18)


@pytest.mark.parametrize(
    "make",
    [
        mlp,
        new(mlp, technique="float"),
        cnn,
        new(cnn, technique="float"),
        KMeansClassifier(4, n_init=1, random_state=0),
        KMeansClassifier(4, n_init=1, technique="float", random_state=0),
    ],
    ids=["mlp", "mlp float", "cnn", "cnn float", "k-means", "k-means float"],
)
def test_equal_models_from_disk(make, pixels, mapped, small_blocks):
    da = pytest.importorskip("dask.array")
    X, y, weight = pixels
    expected = new(make).fit(X, y, weight).packed_
    assert new(make).fit(mapped, y, weight).packed_ == expected
    lazy = da.from_array(mapped, chunks=(700, 40))
    assert new(make).fit(lazy, da.from_array(y), weight).packed_ == expected
    whole = new(make).fit(X, y).packed_
    assert new(make).fit(lazy, y).packed_ == whole == new(make).fit(mapped, y).packed_
    labels = lazy.rechunk((900, -1)).map_blocks(expected.predict, drop_axis=1, dtype=int)
    np.testing.assert_array_equal(labels.compute(), expected.predict(X))


@pytest.mark.parametrize("technique", ["bnn", "float"])
def test_no_whole_copy(technique, small_blocks, tmp_path):
    rng = np.random.default_rng(0)
    n_rows = 60_000
    np.save(tmp_path / "X.npy", rng.integers(0, 200, (n_rows, 400), np.uint8))
    X, y = np.load(tmp_path / "X.npy", mmap_mode="r"), rng.integers(0, 2, n_rows)
    est = new(mlp, technique=technique, n_thresholds=1, max_iter=1, batch_size=2000)
    est.partial_fit(X[:500], y[:500], classes=[0, 1])
    for fit in (est.partial_fit, est.fit):
        tracemalloc.start()
        try:
            fit(X, y, sample_weight=np.arange(n_rows) % 7)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # Seven words of bits, or a digest, of each row, and its place, label and weight.
        assert peak < 0.7 * X.nbytes


def test_chunks_are_computed_as_often_as_they_are_read(pixels, monkeypatch):
    da = pytest.importorskip("dask.array")
    X, y, _ = pixels
    computed = []

    def count(block):
        computed.append(len(block))
        return block

    lazy = da.from_array(X, chunks=(1000, -1)).map_blocks(count, dtype=X.dtype, meta=X[:0])
    new(mlp).fit(lazy, y)
    assert computed == [1000] * 10  # for thresholds, then for bits
    computed.clear()
    new(mlp, technique="float").fit(lazy, y)
    # For what varies, for digests, and once to be held; never again in an epoch.
    assert len(computed) <= 20
    computed.clear()
    held = []
    with monkeypatch.context() as patched:
        patched.setattr(DaskRows, "_hold", held.append)
        weight = (np.arange(len(X)) % 3 > 0).astype(float)
        weighted = new(mlp).fit(lazy, y, weight)
    assert not held
    assert weighted.packed_ == new(mlp).fit(X, y, weight).packed_
    # To look at what is left out, for thresholds, for bits.
    assert computed == [1000] * 15
    computed.clear()
    new(mlp).partial_fit(lazy[:1000], y[:1000], classes=[0, 1]).partial_fit(lazy[1000:], y[1000:])
    assert computed == [1000] * 5  # a chunk alone is kept from one pass to the next


def test_dask_arrays_that_cannot_be_read(pixels):
    da = pytest.importorskip("dask.array")
    X, y, _ = pixels
    lazy = da.from_array(X.astype(np.float64), chunks=(1000, 32))
    cases = [
        (lazy[lazy[:, 0] > 9], y, "compute_chunk_sizes"),
        (lazy[:, 0], y, "Expected a 2-D array of rows, got 1"),
        (lazy[:0], y[:0], r"0 sample\(s\)"),
        (lazy, y[1:], "inconsistent numbers of samples"),
        (da.where(lazy > 190, np.nan, lazy), y, "Input X contains NaN"),
    ]
    for rows, labels, message in cases:
        est = new(mlp)
        with pytest.raises(ValueError, match=message):
            est.fit(rows, labels)
        assert not hasattr(est, "n_features_in_")
    assert new(mlp).fit(lazy, y).packed_ == new(mlp).fit(X.astype(np.float64), y).packed_
    with pytest.raises(ValueError, match="63 features"):
        new(mlp).fit(lazy, y).partial_fit(lazy[:, 1:], y)


def test_labelled_arrays(pixels):
    xr = pytest.importorskip("xarray")
    da = pytest.importorskip("dask.array")
    X, y, _ = pixels
    model = new(mlp).fit(X, y).packed_
    cube = X[:1200].reshape(30, 40, 64)
    found = xr.apply_ufunc(
        lambda rows: model.predict(rows.reshape(-1, 64)).reshape(rows.shape[:-1]),
        xr.DataArray(da.from_array(cube, chunks=(7, 40, 64)), dims=("y", "x", "band")),
        input_core_dims=[["band"]],
        dask="parallelized",
        output_dtypes=[int],
    )
    np.testing.assert_array_equal(found.values, model.predict(X[:1200]).reshape(30, 40))


def held_of(path):
    """Bytes of a mapped file that count as this process's memory."""
    held, here = 0, False
    for line in SMAPS.read_text().splitlines():
        if line.split()[0].count("-") == 1:
            here = line.endswith(str(path))
        elif here and line.startswith("Rss:"):
            held += 1024 * int(line.split()[1])
    return held


@pytest.mark.skipif(not SMAPS.exists(), reason="reads memory from Linux's /proc")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_memory_of_a_map_is_given_back(n_jobs, pixels, tmp_path):
    X, y, _ = pixels
    est = new(mlp, n_jobs=n_jobs).fit(X, y)
    n_rows = 600_000
    path = tmp_path / "X.npy"
    rows = np.lib.format.open_memmap(path, "w+", np.uint8, (n_rows, 64))
    rows[:] = np.tile(X, (n_rows // len(X), 1))
    rows.flush()
    del rows
    expected = np.tile(est.predict(X), n_rows // len(X))
    read_only, writable = (np.load(path, mmap_mode=mode) for mode in ("r", "r+"))
    for call in (est.predict, est.packed_.predict):
        np.testing.assert_array_equal(call(read_only), expected)
        assert held_of(path) < 1 << 20
    for start in range(0, n_rows, 1000):
        est.packed_.predict(read_only[start : start + 1000])
    assert held_of(path) < 1 << 20
    # What can be written to is not ours to let go.
    np.testing.assert_array_equal(est.predict(writable), expected)
    assert held_of(path) > 30 << 20


def test_only_rows_that_follow_each_other_in_a_read_only_file_are_given_back(mapped, tmp_path):
    assert MappedRows(mapped).map is not None
    assert MappedRows(np.asarray(mapped)[10:20]).map is MappedRows(mapped).map
    assert MappedRows(mapped[::3]).map is not None
    np.save(tmp_path / "F.npy", np.asfortranarray(mapped))
    for other in (
        np.array(mapped),
        mapped[:, ::2],
        mapped[::-1],
        mapped[:0],
        np.load(tmp_path / "X.npy", mmap_mode="c"),
        np.load(tmp_path / "F.npy", mmap_mode="r"),
        [[1]],
    ):
        assert MappedRows(other).map is None
    rows = np.asarray(mapped)[11:4000:3]
    kept = rows.copy()
    pages = MappedRows(rows)
    pages.give_back(3, len(rows) + 10**9)
    np.testing.assert_array_equal(rows, kept)


def test_the_curves_of_a_stream_are_its_last_calls(pixels, monkeypatch):
    X, y, _ = pixels
    monkeypatch.setattr(_training, "_CURVE", 3)
    est, curve = new(mlp), []
    for start in range(0, 5000, 1000):
        est.partial_fit(X[start : start + 1000], y[start : start + 1000], classes=[0, 1])
        curve.append(est.loss_curve_[-1])
    assert est.n_iter_ == 5
    assert est.loss_curve_ == curve[2:]
    assert len(est.flip_ratios_) == 3
    assert len(new(mlp, max_iter=5).fit(X, y).loss_curve_) == 5


def test_a_sample_of_distinct_values(monkeypatch):
    """All values where they are few; else a sample that knows neither order nor repetitions."""
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=9000), rng.integers(0, 50, 9000)]).astype(np.float32)
    whole = distinct.distinct_values([rows], 2, np.float32)
    for found, column in zip(whole, rows.T, strict=True):
        np.testing.assert_array_equal(found, np.unique(column))
    monkeypatch.setattr(distinct, "DISTINCT_VALUES", 400)
    sample = distinct.distinct_values([rows], 2, np.float32)
    assert len(sample[0]) == 400
    np.testing.assert_array_equal(sample[1], np.arange(50))
    shuffled = rng.permutation(np.concatenate([rows, rows[:5000]]))
    again = distinct.distinct_values(np.array_split(shuffled, 13), 2, np.float32)
    for a, b in zip(sample, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.isin(sample[0], rows[:, 0]).all()
    shares = np.linspace(0.1, 0.9, 9)
    ranks = (rows[:, 0] < np.quantile(sample[0], shares)[:, None]).mean(1)
    # Three standard errors of a quantile of 400 values.
    np.testing.assert_allclose(ranks, shares, atol=3 * 0.5 / 20)


def test_a_call_leaves_nothing_of_its_rows_behind(pixels):
    """Freed with the call, not when the garbage is collected: memory of a stream stays flat."""
    X, y, _ = pixels
    est = new(mlp).partial_fit(X, y, classes=[0, 1])
    rows = X.copy()
    left = weakref.ref(rows)
    gc.collect()
    gc.disable()
    try:
        est.partial_fit(rows, y)
        del rows
        assert left() is None
    finally:
        gc.enable()
