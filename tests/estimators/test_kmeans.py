"""K-means on bits against K-means on +-1 codes in plain NumPy, and as a classifier."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array

from skbnn import KMeansClassifier, load
from skbnn.bits import backend, pack_bits, unpack_bits
from skbnn.estimators._kmeans import _BitKMeans
from skbnn.packed.format import to_bytes

both = pytest.mark.parametrize("technique", ["binary", "float"])


def random_bits(n_rows, n_bits, seed, n_centres=6):
    """Return distinct rows of bits around a few centres."""
    rng = np.random.default_rng(seed)
    centres = rng.random((n_centres, n_bits)) < 0.5
    noise = rng.random((n_rows, n_bits)) < 0.2
    return np.unique(centres[rng.integers(0, n_centres, n_rows)] ^ noise, axis=0)


def lloyd(bits, weight, codewords, max_iter):
    """Run K-means on +-1 codes by the book; a draw of votes is +1."""
    x, c = np.where(bits, 1, -1), np.where(codewords, 1, -1)
    n_iter, before = 0, None

    def assign():
        squares = ((x[:, None] - c) ** 2).sum(-1)
        return squares.argmin(1), squares.min(1) / 4

    labels, distances = assign()
    while n_iter < max_iter and not np.array_equal(labels, before):
        before = labels
        farthest = iter(np.argsort(-distances, kind="stable"))
        for k in range(len(c)):
            mine = labels == k
            if mine.any():
                c[k] = np.where(weight[mine] @ x[mine] >= 0, 1, -1)
            else:
                c[k] = x[next(farthest)]
        labels, distances = assign()
        n_iter += 1
    return c > 0, labels, float(weight @ distances), n_iter


@pytest.mark.parametrize("weights", ["ones", "whole", "large", "real"])
@pytest.mark.parametrize("max_iter", [1, 2, 300])
@pytest.mark.parametrize(("n_bits", "n_clusters"), [(5, 3), (64, 9), (130, 20), (200, 33)])
def test_lloyd(n_bits, n_clusters, max_iter, weights):
    bits = random_bits(300, n_bits, seed=n_bits)
    rng = np.random.default_rng(1)
    weight = {
        "ones": np.ones(len(bits)),
        "whole": rng.integers(1, 5, len(bits)).astype(float),
        "large": rng.integers(1, 1000, len(bits)).astype(float),
        "real": rng.random(len(bits)) + 0.01,
    }[weights]
    problem = _BitKMeans(pack_bits(bits), n_bits, weight)
    assert problem.votes_in_bits == (weights in ("ones", "whole"))
    seeds = problem._seed(n_clusters, np.random.RandomState(0))  # noqa: NPY002
    found = problem.run(n_clusters, max_iter, np.random.RandomState(0))  # noqa: NPY002
    codewords, labels, inertia, n_iter = lloyd(bits, weight, unpack_bits(seeds, n_bits), max_iter)
    np.testing.assert_array_equal(unpack_bits(found["codewords"], n_bits), codewords)
    np.testing.assert_array_equal(found["labels"], labels)
    assert found["inertia"] == pytest.approx(inertia)
    assert found["n_iter"] == n_iter
    if max_iter == 300:
        assert n_iter < 300


def test_empty_clusters_restart_from_far_rows():
    bits = np.unpackbits(np.arange(16, dtype=np.uint8)[:, None], axis=1)[:, 4:].astype(bool)
    problem = _BitKMeans(pack_bits(bits), 4, np.ones(16))
    labels, distances = np.zeros(16, np.int32), np.arange(16, dtype=np.int32)
    codewords = unpack_bits(problem._vote(labels, distances, 3), 4)
    # Of a draw of votes comes a 1; then the two rows farthest from their codeword.
    np.testing.assert_array_equal(codewords, [[1, 1, 1, 1], bits[15], bits[14]])


def test_seeds_are_spread():
    """k-means++ takes a row from each of some far groups, which chance alone seldom does."""
    groups = np.repeat(np.eye(8, dtype=bool), 40, axis=1)
    bits = np.repeat(groups, 30, axis=0)
    rng = np.random.default_rng(0)
    bits = np.unique(bits ^ (rng.random(bits.shape) < 0.01), axis=0)
    problem = _BitKMeans(pack_bits(bits), 320, np.ones(len(bits)))
    for seed in range(5):
        seeds = unpack_bits(problem._seed(8, np.random.RandomState(seed)), 320)  # noqa: NPY002
        assert sorted(seeds.reshape(8, 8, 40).sum(2).argmax(1)) == list(range(8))


@both
def test_whole_weights_are_repetitions(technique, digits):
    X, _, y, _ = digits
    X, y = X[:300], y[:300]
    weight = np.arange(300) % 4
    rows = np.random.default_rng(0).permutation(np.repeat(np.arange(300), weight))
    make = KMeansClassifier(12, technique=technique, random_state=0)
    a = make.fit(X, y, sample_weight=weight)
    packed, inertia, labels = to_bytes(a.packed_), a.inertia_, a.labels_
    assert len(labels) == (weight > 0).sum()
    make.fit(X[rows], y[rows])
    assert to_bytes(make.packed_) == packed
    assert make.inertia_ == pytest.approx(inertia)
    assert to_bytes(make.fit(X, y).packed_) != packed


def test_weights_vote_for_classes_too():
    X, y = np.zeros((3, 1)), np.array(["a", "a", "b"])
    assert KMeansClassifier(random_state=0).fit(X, y).predict(X[:1]) == ["a"]
    est = KMeansClassifier(random_state=0).fit(X, y, sample_weight=[1, 1, 3])
    assert est.predict(X[:1]) == ["b"]
    tie = KMeansClassifier(random_state=0).fit(X[:2], ["b", "a"])
    assert tie.predict(X[:1]) == ["a"]


@both
def test_fewer_distinct_rows_than_clusters(technique):
    X = np.repeat(np.array([[0.0, 5.0], [1.0, 3.0], [4.0, 0.0]]), 4, axis=0)
    y = np.repeat(["x", "y", "z"], 4)
    est = KMeansClassifier(10, technique=technique, random_state=0).fit(X, y)
    assert len(est.cluster_centers_) == 3
    assert est.inertia_ == 0
    assert est.score(X, y) == 1
    assert est.transform(X).shape == (12, 3)


@both
def test_only_constant_features(technique):
    est = KMeansClassifier(5, technique=technique, random_state=0)
    est.fit(np.ones((6, 3)), [0, 1, 1, 1, 0, 1])
    assert est.predict([[1.0] * 3, [7.0] * 3]).tolist() == [1, 1]


def test_transform_of_bits(digits):
    X, X_test, y, _ = digits
    est = KMeansClassifier(20, random_state=0).fit(X, y)
    encode = est.packed_.operations[0].prepare(backend("numpy"))
    bits = unpack_bits(encode(X_test)[:, 0], est.packed_.operations[0].gives.n_bits)
    expected = (bits[:, None] != est.cluster_centers_).sum(-1)
    distances = est.transform(X_test)
    assert distances.dtype == np.float64
    np.testing.assert_array_equal(distances, expected)
    np.testing.assert_array_equal(est.transform(csr_array(X_test)), expected)
    # Of clusters that are equally near, the lowest class wins.
    nearest = expected == expected.min(1, keepdims=True)
    np.testing.assert_array_equal(
        est.predict(X_test), np.where(nearest, est.cluster_classes_, 99).min(1)
    )
    assert list(est.get_feature_names_out()[:2]) == ["kmeansclassifier0", "kmeansclassifier1"]
    # The fit's own labels and inertia are those of its training rows.
    distances = est.transform(X)
    np.testing.assert_array_equal(est.labels_, distances.argmin(1))
    assert est.inertia_ == distances.min(1).sum()


def test_transform_of_reals(digits):
    X, X_test, y, _ = digits
    est = KMeansClassifier(20, technique="float", random_state=0).fit(X, y)
    expected = np.linalg.norm(X_test[:, None] - est.cluster_centers_.astype(float), axis=-1)
    np.testing.assert_allclose(est.transform(X_test), expected, rtol=1e-6)
    assert est.inertia_ == pytest.approx((est.transform(X).min(1) ** 2).sum(), rel=1e-4)


@both
def test_save_load_and_copies(technique, digits, tmp_path):
    X, X_test, y, _ = digits
    est = KMeansClassifier(20, technique=technique, random_state=0).fit(X, y)
    est.packed_.save(tmp_path / "kmeans.skbnn")
    model = load(tmp_path / "kmeans.skbnn")
    np.testing.assert_array_equal(model.predict(X_test), est.predict(X_test))
    np.testing.assert_array_equal(model.scores(X_test), est.packed_.scores(X_test))
    assert pickle.loads(pickle.dumps(est)).packed_ == est.packed_ == model
    with pytest.raises(ValueError, match="gives no probabilities"):
        model.predict_proba(X_test)


@both
def test_score_on_digits(technique, digits):
    X, X_test, y, y_test = digits
    few = KMeansClassifier(10, technique=technique, random_state=0).fit(X, y)
    many = KMeansClassifier(80, technique=technique, random_state=0).fit(X, y)
    assert few.score(X_test, y_test) > 0.65
    assert many.score(X_test, y_test) > 0.9
    assert many.inertia_ < few.inertia_


@both
@pytest.mark.parametrize("n_classes", [2, 10])
def test_decision_function(technique, n_classes, digits):
    """Minus the distance of the nearest centre of a class; a class without one is last."""
    X, X_test, y, _ = digits
    few = np.flatnonzero(y < n_classes)[:300]
    clf = KMeansClassifier(6, technique=technique, random_state=0).fit(X[few], y[few])
    distances, decision = clf.transform(X_test), clf.decision_function(X_test)
    nearest = np.full((len(X_test), n_classes), np.inf)
    for k, label in enumerate(clf.cluster_classes_):
        nearest[:, label] = np.minimum(nearest[:, label], distances[:, k])
    found = np.isfinite(nearest[0])
    if n_classes == 2:
        np.testing.assert_allclose(decision, nearest[:, 0] - nearest[:, 1], atol=1e-4)
        np.testing.assert_array_equal(decision > 0, clf.predict(X_test) == 1)
    else:
        assert found.sum() <= 6 and np.isfinite(decision).all()
        np.testing.assert_allclose(decision[:, found], -nearest[:, found], atol=1e-4)
        assert decision[:, ~found].max() < -distances.max()
        np.testing.assert_array_equal(decision.argmax(1), clf.predict(X_test))


def test_more_runs_are_no_worse(digits):
    X, _, y, _ = digits
    one, ten = (KMeansClassifier(10, n_init=n, random_state=0).fit(X, y).inertia_ for n in (1, 10))
    assert ten < one


@both
@pytest.mark.parametrize("n_jobs", [2, -1])
def test_n_jobs_changes_nothing(technique, n_jobs, digits):
    X, X_test, y, _ = digits
    rows = np.concatenate([X, X_test])
    one = KMeansClassifier(20, technique=technique, random_state=0).fit(X, y)
    many = KMeansClassifier(20, technique=technique, random_state=0, n_jobs=n_jobs).fit(X, y)
    np.testing.assert_array_equal(many.transform(rows), one.transform(rows))
    np.testing.assert_array_equal(many.predict(rows), one.predict(rows))


@both
@pytest.mark.parametrize(
    ("params", "X", "y", "message"),
    [
        ({"n_clusters": 0}, [[0.0]], [0], "The 'n_clusters' parameter"),
        ({"technique": "bnn"}, [[0.0]], [0], "The 'technique' parameter .* 'bnn'"),
        ({}, [[np.nan]], [0], "Input X contains NaN"),
        ({}, [[np.inf]], [0], "Input X contains infinity"),
        ({}, np.zeros((0, 2)), [], "Found array with 0 sample"),
        ({}, [[0.0], [1.0]], [0.5, 1.2], "Unknown label type"),
    ],
)
def test_bad_input(technique, params, X, y, message):
    with pytest.raises(ValueError, match=message):
        KMeansClassifier(**{"technique": technique, **params}).fit(X, y)


@both
def test_bad_weights_and_rows(technique):
    est = KMeansClassifier(technique=technique, random_state=0)
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        est.fit([[0.0], [1.0]], [0, 1], sample_weight=[1, -1])
    est.fit([[0.0, 1.0], [1.0, 2.0]], [0, 1])
    with pytest.raises(ValueError, match="X has 3 features, but KMeansClassifier is expecting 2"):
        est.transform([[0.0, 1.0, 2.0]])
    with pytest.raises(ValueError, match="NaN"):
        est.transform([[0.0, np.nan]])
