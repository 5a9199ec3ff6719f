"""A plain chain, prepared as a whole, against its operations one by one."""

import numpy as np
import pytest

from skbnn.packed import chain
from skbnn.packed.chain import prepare_chain


@pytest.mark.parametrize("is_open", [True, False])
def test_only_plain_dense_networks_become_a_chain(make_model, kind, kernels, is_open, monkeypatch):
    monkeypatch.setattr(chain, "_is_better_open", lambda *sizes: is_open)
    model, X = make_model(kind, n_rows=700)
    run = prepare_chain(model.operations, kernels)
    assert (run is not None) == (kind in ("mlp", "two-classes"))
    if run is None:
        return
    for n_rows in (0, 1, 2, 700):
        rows = X[:n_rows]
        for operation in model.operations:
            rows = operation.prepare(kernels)(rows)
        np.testing.assert_array_equal(run(X[:n_rows]), rows)
        assert run(X[:n_rows]).dtype == np.int32
