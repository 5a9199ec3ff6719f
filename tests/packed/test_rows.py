"""Merging of equal rows."""

import numpy as np
import pytest

from skbnn.packed.rows import merge_rows


@pytest.mark.parametrize("dtype", [np.uint64, np.float32])
def test_equal_rows_are_merged_and_their_weights_added(dtype):
    data = np.array([[1, 2], [3, 4], [1, 2], [1, 3], [3, 4], [1, 2]]).astype(dtype)
    weight = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    index, merged, inverse = merge_rows(data, weight)
    assert len(index) == 3
    np.testing.assert_array_equal(data[index][inverse], data)
    expected = {(1.0, 2.0): 37.0, (3.0, 4.0): 18.0, (1.0, 3.0): 8.0}
    found = {tuple(row.tolist()): total for row, total in zip(data[index], merged, strict=True)}
    assert found == expected


def test_order_of_the_result_does_not_depend_on_the_order_given():
    rng = np.random.default_rng(0)
    data, weight = rng.integers(0, 3, (50, 2)).astype(np.uint64), rng.random(50)
    order = rng.permutation(50)
    first, weight_first, _ = merge_rows(data, weight)
    second, weight_second, _ = merge_rows(data[order], weight[order])
    np.testing.assert_array_equal(data[first], data[order][second])
    np.testing.assert_allclose(weight_first, weight_second, rtol=1e-15)


def test_a_weight_of_two_equals_a_row_given_twice():
    data = np.array([[5], [6], [7]], np.uint64)
    once = merge_rows(data, np.array([1.0, 2.0, 1.0]))
    twice = merge_rows(data[[0, 1, 1, 2]], np.ones(4))
    np.testing.assert_array_equal(data[once[0]], data[[0, 1, 1, 2]][twice[0]])
    np.testing.assert_array_equal(once[1], twice[1])


def test_rows_without_columns_are_all_equal():
    index, weight, inverse = merge_rows(np.empty((3, 0)), np.ones(3))
    assert (index.tolist(), weight.tolist(), inverse.tolist()) == ([0], [3.0], [0, 0, 0])


@pytest.mark.parametrize("n_labels", [2, 700])
def test_labels_keep_equal_rows_apart_as_a_column_would(n_labels):
    rng = np.random.default_rng(0)
    data, weight = rng.integers(0, 3, (4000, 4)).astype(np.uint64), rng.random(4000)
    labels = rng.integers(0, n_labels, 4000)
    keyed = np.column_stack([data, labels.astype(np.uint64)])
    for found, expected in zip(
        merge_rows(data, weight, labels), merge_rows(keyed, weight), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
