"""The packed model: checks of its input, independence of rows, labels, copies."""

import copy
import io
import pickle
import tracemalloc

import joblib
import numpy as np
import pytest
from scipy import sparse

from skbnn.packed import PackedModel, Standardize, Thermometer
from skbnn.packed.format import arrays_of


def arrays_in(model):
    """Every array that a model holds."""
    yield model.classes
    for operation in model.operations:
        yield from arrays_of(operation).values()


REAL = ("real", "real-ends", "centroids", "windows-real", "stream-real", "attention-real")


def with_classes(model, classes):
    """The same program with other labels."""
    return PackedModel(model.operations, classes, model.probability_scale, model.backend)


def test_scores_equal_the_operations_run_one_by_one(make_model, kind, kernels, backend_name):
    model, X = make_model(kind, backend_name)
    rows = X
    for operation in model.operations:
        rows = operation.prepare(kernels)(rows)
    scores = model.scores(X)
    assert scores.dtype == (np.float32 if kind in REAL else np.int32)
    np.testing.assert_array_equal(scores, rows.astype(scores.dtype))
    assert len(np.unique(scores, axis=0)) > 1
    np.testing.assert_array_equal(model.predict(X), model.classes[scores.argmax(1)])


def test_both_kernels_give_the_same_scores(make_model, kind):
    model, X = make_model(kind, "numpy", n_rows=1100)
    other, _ = make_model(kind, "numba")
    np.testing.assert_array_equal(model.scores(X), other.scores(X))
    assert model == other


def test_scores_do_not_depend_on_batch_order_or_threads(make_model, kind, backend_name):
    model, X = make_model(kind, backend_name, n_rows=1300)
    expected = model.scores(X)
    same = (
        np.testing.assert_array_equal
        if expected.dtype == np.int32
        else lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    )
    for size in (1, 7, 64, 513):
        part = X[: 20 * size] if size < 64 else X
        batches = [model.scores(part[i : i + size]) for i in range(0, len(part), size)]
        same(np.concatenate(batches), expected[: len(part)])
    order = np.random.default_rng(0).permutation(len(X))
    same(model.scores(X[order]), expected[order])
    for n_jobs in (None, 2, 5, -1, -2):
        np.testing.assert_array_equal(model.scores(X, n_jobs=n_jobs), expected)
    with pytest.raises(ValueError, match="n_jobs"):
        model.scores(X, n_jobs=0)


@pytest.mark.parametrize("name", ["mlp", "planes", "real"])
@pytest.mark.parametrize(("dtype", "n_jobs"), [(np.uint8, 1), (np.uint8, 2), (np.int64, 1)])
def test_memory_does_not_grow_with_the_rows(make_model, name, dtype, n_jobs):
    model, few = make_model(name, "numba")
    X = np.abs(np.resize(few, (200_000, few.shape[1]))).astype(dtype)
    model.predict(X[:5000])
    tracemalloc.start()
    try:
        labels = model.predict(X, n_jobs=n_jobs)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Scores of all rows at once would take 4 MB.
    assert peak - labels.nbytes < 2**20


def test_without_rows_there_are_no_labels(make_model, kind, backend_name):
    model, X = make_model(kind, backend_name)
    for empty in (X[:0], sparse.csr_array(X[:0])):
        assert model.scores(empty).shape == (0, len(model.classes))
        assert model.scores(empty, n_jobs=2).dtype == model.scores(X).dtype
        assert model.predict(empty).shape == (0,)
        assert model.predict(empty).dtype == model.classes.dtype
        assert model.decision_function(empty).shape == model.decision_function(X)[:0].shape
    if model.probability_scale:
        assert model.predict_proba(X[:0]).shape == (0, len(model.classes))


def test_rows_of_other_dtypes_and_layouts_give_the_same_scores(make_model, kind):
    model, X = make_model(kind)
    X = np.abs(np.round(X)).astype(np.uint8) // 2
    expected = model.scores(X)
    for dtype in (np.float32, np.float64, np.float16, np.int8, np.int64, np.uint16, ">f8", ">i4"):
        np.testing.assert_array_equal(model.scores(X.astype(dtype)), expected)
    wide = np.zeros((2 * len(X), 2 * X.shape[1]))
    wide[::2, ::2] = X
    read_only = X.copy()
    read_only.flags.writeable = False
    for same in (np.asfortranarray(X), wide[::2, ::2], read_only, X.tolist()):
        np.testing.assert_array_equal(model.scores(same), expected)
    for form in (sparse.csr_array, sparse.csc_array, sparse.coo_matrix):
        for dtype in (np.float64, np.uint8, np.int32):
            np.testing.assert_array_equal(model.scores(form(X.astype(dtype))), expected)
    np.testing.assert_array_equal(model.scores(X > 0), model.scores((X > 0).astype(float)))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros(7), r"2-D array of rows, got 1 dimension\(s\)\. Reshape one row with X\.reshape"),
        (np.float64(1), r"got 0 dimension\(s\)\.$"),
        (np.zeros((2, 7, 1)), r"got 3 dimension\(s\)\.$"),
        (np.zeros((2, 6)), "X has 6 features, but this model reads 7 features"),
        (np.zeros((0, 8)), "X has 8 features"),
        (sparse.csr_array((2, 8)), "X has 8 features"),
        (np.full((2, 7), "1"), "must hold numbers, got dtype <U1"),
        (np.zeros((2, 7), object), "must hold numbers, got dtype object"),
        (np.zeros((2, 7), complex), "must hold numbers, got dtype complex128"),
        ([[1, 2], [3]], "inhomogeneous"),
    ],
)
def test_rows_of_wrong_shape_or_dtype_are_refused(make_model, kind, X, message):
    model, _ = make_model(kind)
    for method in (model.predict, model.scores, model.decision_function):
        with pytest.raises(ValueError, match=message):
            method(X)


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "contains NaN"), (np.inf, "infinity"), (-1e39, "infinity")]
)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_values_that_are_not_finite_are_noticed(make_model, kind, value, message, n_jobs):
    model, X = make_model(kind, n_rows=1100)
    X = X.astype(np.float64)
    X[1050, 6] = value
    for given in (X, sparse.csr_array(X)):
        with pytest.raises(ValueError, match=message):
            model.predict(given, n_jobs=n_jobs)


def test_ties_go_to_the_lowest_class(make_model):
    model, X = make_model("codewords", n_rows=600)
    scores = model.scores(X)
    top = scores == scores.max(1, keepdims=True)
    first = np.array([np.flatnonzero(row)[0] for row in top])
    assert (top.sum(1) > 1).any()
    np.testing.assert_array_equal(model.predict(X), model.classes[first])


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", "böse", "c" * 40]),
        np.array(["a", "b", "c"], object),
        np.array([3, -1, 2**40]),
        np.array([0.5, 0.1, -3.0]),
        np.array([1, 2, 3], np.uint8),
    ],
)
def test_labels_keep_their_values_and_dtype(make_model, labels):
    model, X = make_model("mlp", n_rows=300)
    found = with_classes(model, labels).predict(X)
    assert found.dtype == labels.dtype
    np.testing.assert_array_equal(found, labels[model.scores(X).argmax(1)])
    assert len(np.unique(found)) == 3


def test_two_labels_of_truth_and_their_decision(make_model):
    model, X = make_model("two-classes", n_rows=300)
    model = with_classes(model, np.array([False, True]))
    decision = model.decision_function(X)
    scores = model.scores(X).astype(float)
    assert (decision.shape, decision.dtype) == ((300,), np.float64)
    np.testing.assert_array_equal(decision, (scores[:, 1] - scores[:, 0]) * 0.125)
    np.testing.assert_array_equal(model.predict(X), decision > 0)
    assert model.predict(X).dtype == np.bool_


def test_decision_and_probabilities_of_several_classes(make_model):
    model, X = make_model("mlp", n_rows=100)
    logits = model.scores(X) * 0.01
    np.testing.assert_array_equal(model.decision_function(X), logits)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = model.predict_proba(X)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(found.argmax(1), logits.argmax(1))


def test_probabilities_of_far_scores_do_not_overflow(make_model):
    model, X = make_model("mlp")
    sharp = PackedModel(model.operations, model.classes, 1e6)
    found = sharp.predict_proba(X)
    np.testing.assert_allclose(found.sum(1), 1.0, rtol=1e-12)
    assert set(found.ravel()) <= {0.0, 1.0, 0.5, 1 / 3}
    logs = sharp.predict_log_proba(X)
    assert np.isfinite(logs).all()
    assert logs.min() < -1e5
    np.testing.assert_allclose(np.exp(logs), found, rtol=1e-12)


def test_scores_without_a_scale_are_no_logits(make_model):
    model, X = make_model("codewords")
    for probabilities in (model.predict_proba, model.predict_log_proba):
        with pytest.raises(ValueError, match="no probabilities"):
            probabilities(X)
    np.testing.assert_array_equal(model.decision_function(X), model.scores(X))


def test_real_scores_stay_within_float32(make_model):
    model, X = make_model("real")
    found = model.scores(np.where(X > 0, 3e38, -3e38))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.isfinite(model.predict_proba(np.where(X > 0, 3e38, -3e38))).all()


def joblib_copy(model):
    """A copy through joblib, which has its own way with arrays."""
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, joblib_copy]
    + [lambda m, p=p: pickle.loads(pickle.dumps(m, p)) for p in (2, 4, 5)],
)
def test_copies_are_equal_and_read_only(make_model, kind, backend_name, duplicate):
    model, X = make_model(kind, backend_name)
    other = duplicate(model)
    assert other == model
    assert other.backend == model.backend
    np.testing.assert_array_equal(other.scores(X), model.scores(X))
    for array in arrays_in(other):
        assert not array.flags.writeable


def test_nothing_in_a_model_can_be_written_to(make_model, kind):
    labels = np.array(["a", "b"] if kind == "two-classes" else ["a", "b", "c"])
    model = with_classes(make_model(kind)[0], labels)
    labels[0] = "z"
    assert model.classes[0] == "a"
    for array in arrays_in(model):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = array
    for name in ("classes", "operations", "backend"):
        with pytest.raises(AttributeError, match="cannot assign"):
            setattr(model, name, None)
    with pytest.raises(AttributeError, match="cannot assign"):
        model.operations[0].kind = "other"


def test_equal_means_the_same_program_and_classes(make_model):
    model, _ = make_model("mlp")
    assert model == make_model("mlp")[0]
    assert model != make_model("two-classes")[0]
    assert model != with_classes(model, np.array(["cat", "dog", "fox"]))
    assert model != PackedModel(model.operations, model.classes, 0.02)
    assert model != "mlp"
    for labels in (np.array(["2026-01-01", "2026-01-02", "2026-01-03"], "M8[D]"),
                   np.array([1, 2, 3], object)):  # fmt: skip
        assert with_classes(model, labels) == with_classes(model, labels.copy())
        assert with_classes(model, labels) != with_classes(model, np.array([1, 2, 3]))
    with pytest.raises(TypeError, match="unhashable"):
        hash(model)


def test_repr_is_a_line(make_model):
    model, _ = make_model("mlp")
    sizes = f"{model.n_features} features, {len(model.classes)} classes"
    operations = f"{len(model.operations)} operations, {model.nbytes:,} bytes"
    assert repr(model) == f"PackedModel({sizes}, {operations})"


def test_ill_assembled_models_are_refused(make_model):
    first, middle, small, last = make_model("mlp")[0].operations
    standardize, mixed, real = make_model("real")[0].operations
    classes = np.array([0, 1, 2])
    for operations, message in [
        ((), "at least one operation"),
        ((first, small, last), "binary-linear gives|thermometer gives"),
        ((first, middle, last), "but binary-linear takes"),
        ((standardize, small, last), "standardize gives"),
        ((first, mixed, real), "thermometer gives"),
        ((middle, small, last), "must read raw rows"),
        ((real,), "must read raw rows"),
        ((first, middle), "must give class scores"),
        ((standardize,), "must give class scores"),
        ((first, first, middle, small, last), "thermometer takes Raw"),
        ((first, middle, small, last, last), "binary-linear gives Scores"),
        ((first, middle.output), "is no operation"),
    ]:
        with pytest.raises(ValueError, match=message):
            PackedModel(operations, classes)
    for wrong, message in [
        (np.array([0, 1]), "2 class labels for 3"),
        (np.array([[0, 1, 2]]), "3 class labels for 3"),
        (np.array([0, 1, 1]), "repeated"),
        (np.array(["a", "a", "b"], object), "repeated"),
    ]:
        with pytest.raises(ValueError, match=message):
            PackedModel((first, middle, small, last), wrong)
    for scale in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="scale"):
            PackedModel((first, middle, small, last), classes, scale)
    with pytest.raises(ValueError, match="Unknown backend 'cuda'"):
        PackedModel((first, middle, small, last), classes, backend="cuda")


def test_a_model_of_constant_features_gives_its_offsets(make_model, backend_name):
    *_, last = make_model("mlp")[0].operations
    matrix = type(last.weights)(np.empty((1, 3, 0), np.uint64), 0)
    first = Thermometer(np.zeros(4, np.uint8), np.empty(0, np.float32))
    blind = type(last)(matrix, first.gives, last.output)
    model = PackedModel((first, blind), np.array([0, 1, 2]), backend=backend_name)
    assert model.scores(np.ones((2, 4))).tolist() == [last.output.offsets.tolist()] * 2
    with pytest.raises(ValueError, match="NaN"):
        model.scores(np.full((2, 4), np.nan))


def test_a_real_model_of_constant_features_gives_its_biases(make_model):
    _, _, last = make_model("real")[0].operations
    none = np.empty(0, np.float32)
    first = Standardize(np.empty(0, np.int32), none, none, 4)
    blind = type(last)(np.empty((3, 0), np.float32), last.biases, False, True)
    model = PackedModel((first, blind), np.array([0, 1, 2]))
    assert model.scores(np.ones((2, 4))).tolist() == [last.biases.tolist()] * 2
