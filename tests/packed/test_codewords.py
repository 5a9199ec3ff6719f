"""Nearest codewords and centroids."""

import numpy as np
import pytest

from skbnn.bits import backend, pack_bits, unpack_bits
from skbnn.packed.codewords import NearestCentroid, NearestCodeword
from skbnn.packed.values import BitCode, BitMatrix, Raw, Scores


def owners_of(*owners):
    """Class indices as a model stores them."""
    return np.array(owners, np.int32)


def codewords(bits):
    """A matrix of plain signs from bits."""
    bits = np.asarray(bits, bool)
    return BitMatrix(pack_bits(bits)[None], bits.shape[1])


def scores_by_definition(distances, owners, n_classes):
    """Minus the distance of the nearest codeword of each class, codewords taken one by one."""
    scores = np.full((len(distances), n_classes), -np.inf)
    for column, owner in zip(distances.T, owners, strict=True):
        scores[:, owner] = np.maximum(scores[:, owner], -column)
    return scores


@pytest.mark.parametrize("n_codewords", [1, 2, 16, 17, 40])
@pytest.mark.parametrize("n_bits", [1, 63, 64, 65, 200])
def test_codewords_equal_their_definition(kernels, n_bits, n_codewords):
    rng = np.random.default_rng(n_bits + n_codewords)
    bits, rows = rng.random((n_codewords, n_bits)) < 0.5, rng.random((66, n_bits)) < 0.5
    owners = rng.integers(0, 3, n_codewords).astype(np.int32)
    operation = NearestCodeword(codewords(bits), owners, 3)
    assert (operation.takes, operation.gives) == (BitCode(n_bits), Scores(3))

    packed = pack_bits(rows)[:, None]
    distances = (rows[:, None] != bits).sum(-1)
    found = operation.prepare_distances(kernels)(packed)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, distances)

    scores = operation.prepare(kernels)(packed)
    assert scores.dtype == np.int32
    expected = scores_by_definition(distances, owners, 3)
    owned = np.isin(np.arange(3), owners)
    np.testing.assert_array_equal(scores[:, owned], expected[:, owned])
    assert (scores[:, ~owned] < -distances.max(1, keepdims=True)).all()
    np.testing.assert_array_equal(unpack_bits(packed[:, 0], n_bits), rows)


def test_centroids_equal_their_definition():
    rng = np.random.default_rng(0)
    centroids, rows = rng.standard_normal((9, 5), np.float32), rng.normal(size=(50, 5))
    owners = owners_of(3, 1, 1, 3, 3, 1, 3, 1, 0)
    operation = NearestCentroid(centroids, owners, 5)
    assert (operation.takes, operation.gives) == (Raw(5), Scores(5, integer=False))
    distances = np.linalg.norm(rows[:, None] - centroids.astype(float), axis=-1)
    np.testing.assert_allclose(operation.prepare_distances(None)(rows), distances, rtol=1e-12)
    scores = operation.prepare(None)(rows)
    expected = scores_by_definition(distances, owners, 5)
    np.testing.assert_allclose(scores[:, [0, 1, 3]], expected[:, [0, 1, 3]], rtol=1e-12)
    assert (scores[:, [2, 4]] < -distances.max(1, keepdims=True)).all()


@pytest.mark.parametrize("offset", [0.0, 17e3, 1e5])
def test_centroids_far_from_the_origin(offset):
    rng = np.random.default_rng(0)
    centroids = np.array([[0, 0, 0], [1, 1, 1]], np.float32) + np.float32(offset)
    rows = np.repeat(centroids, 50, 0) + rng.normal(size=(100, 3)).astype(np.float32) / 8
    operation = NearestCentroid(centroids, owners_of(0, 1), 2)
    for real in (np.float64, np.float32):
        scores = operation.prepare(None, real)(rows)
        assert scores.argmax(1).tolist() == [0] * 50 + [1] * 50


@pytest.mark.parametrize("distance", [0.0, 1e-30, 1.0, 1e20, 1e37])
def test_a_class_without_centroids_is_never_nearest(distance):
    operation = NearestCentroid(np.zeros((1, 1), np.float32), owners_of(1), 2)
    scores = operation.prepare(None)(np.array([[distance]])).astype(np.float32)
    assert scores.argmax(1).tolist() == [1]


def test_scores_of_a_row_do_not_depend_on_the_rows_beside_it():
    operation = NearestCentroid(np.ones((2, 2), np.float32), owners_of(2, 0), 4)
    run = operation.prepare(None)
    rows = np.array([[1.0, 2.0], [500.0, 500.0], [0.0, 0.0]])
    alone = np.concatenate([run(row[None]) for row in rows])
    np.testing.assert_array_equal(run(rows), alone)


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.float32])
def test_distances_of_narrow_dtypes_do_not_wrap(dtype):
    rows = np.array([[1, 0], [1, 1]]).astype(dtype)
    if dtype == np.uint8:
        rows = rows * np.uint8(255)
    operation = NearestCentroid(np.zeros((1, 2), np.float32), owners_of(0), 1)
    expected = np.linalg.norm(rows.astype(float), axis=1)
    found = operation.prepare_distances(None)(rows)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-12)


def test_a_row_on_its_centroid_has_distance_zero():
    rows = np.random.default_rng(1).standard_normal((30, 8), np.float32) * np.float32(1e3)
    found = NearestCentroid(rows, np.zeros(30, np.int32), 1).prepare_distances(None)(rows)
    assert np.abs(np.diag(found)).max() < 1e-3
    assert not np.isnan(found).any()


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "contains NaN"), (np.inf, "infinity"), (1e39, "infinity")]
)
def test_values_that_are_not_finite_are_refused(value, message):
    run = NearestCentroid(np.zeros((1, 2), np.float32), owners_of(0), 1).prepare(None)
    with pytest.raises(ValueError, match=message):
        run(np.array([[0.0, value]]))


@pytest.mark.parametrize(
    ("owners", "n_classes", "message"),
    [
        (owners_of(0, -1), 2, "does not exist"),
        (owners_of(0, 2), 2, "does not exist"),
        (owners_of(0), 2, "owners has shape"),
        (np.array([0, 1]), 2, "owners has dtype"),
        (owners_of(0, 0), 0, "at least one class"),
    ],
)
def test_owners_out_of_range_are_refused(owners, n_classes, message):
    with pytest.raises(ValueError, match=message):
        NearestCodeword(codewords([[1], [0]]), owners, n_classes)
    with pytest.raises(ValueError, match=message):
        NearestCentroid(np.zeros((2, 1), np.float32), owners, n_classes)


def test_ill_formed_codewords_are_refused():
    words = codewords([[1], [0]]).words
    scaled = BitMatrix(words, 1, np.ones((1, 2), np.int32))
    with pytest.raises(ValueError, match="plain"):
        NearestCodeword(scaled, owners_of(0, 1), 2)
    with pytest.raises(ValueError, match="at least one centroid"):
        NearestCentroid(np.zeros((0, 1), np.float32), owners_of(), 2)
    with pytest.raises(ValueError, match="not finite"):
        NearestCentroid(np.full((1, 1), np.nan, np.float32), owners_of(0), 1)


def test_equal_distances_go_to_the_lowest_class():
    operation = NearestCodeword(codewords([[1, 0], [0, 1], [1, 1]]), owners_of(2, 1, 0), 3)
    rows = pack_bits(np.array([[0, 0], [1, 0]], bool))[:, None]
    scores = operation.prepare(backend("numpy"))(rows)
    assert scores.tolist() == [[-2, -1, -1], [-1, -2, 0]]
    assert scores.argmax(1).tolist() == [1, 2]
