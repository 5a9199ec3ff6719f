"""The distinct values of columns, against NumPy's."""

import numpy as np
import pytest

from skbnn.packed.distinct import distinct_values


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("n_columns", [0, 1, 4095, 4096, 4097, 9000])
def test_every_value_of_every_column(n_columns, dtype):
    rows = np.random.default_rng(0).integers(0, 4, (12, n_columns)).astype(dtype)
    found = distinct_values([rows[:5], rows[5:]], n_columns, dtype)
    assert len(found) == n_columns
    for values, column in zip(found, rows.T, strict=True):
        assert values.dtype == dtype
        np.testing.assert_array_equal(values, np.unique(column))
