"""A plain chain, prepared as a whole, against its operations one by one."""

import numpy as np
import pytest

from skbnn.packed import Thermometer, TokenBits, chain
from skbnn.packed.chain import prepare_all, prepare_chain


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


@pytest.mark.parametrize("is_feature_whole", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_tokens_are_the_same_bits_when_features_are_put_in_order(kernels, is_feature_whole, dtype):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, 90).astype(np.uint8)
    bits = Thermometer(
        counts, np.repeat([2.0, 4, 7], [np.sum(counts > p) for p in range(3)]).astype("f4")
    )
    owners = rng.integers(0, 5, 90)[bits.features].astype(np.uint8)
    if not is_feature_whole:
        owners[-1] = (owners[-1] + 1) % 5
    operations = bits, TokenBits(owners, (1, 5))
    X = rng.integers(0, 9, (70, 90)).astype(dtype)
    runs = prepare_all(operations, kernels, np.float64)
    assert len(runs) == 2 - is_feature_whole
    found = rows = X
    for run in runs:
        found = run(found)
    for operation in operations:
        rows = operation.prepare(kernels)(rows)
    np.testing.assert_array_equal(found, rows)
    if dtype == np.float64:
        # A feature without bits is looked at too.
        X[3, np.flatnonzero(counts == 0)[0]] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            runs[0](X)
