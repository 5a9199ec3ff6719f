"""Other devices: tensors stay together there; whole fits where there is a GPU."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
)
from skbnn.nn.inputs import fit_input
from skbnn.nn.randomness import make_generator
from skbnn.techniques import get_technique, list_techniques

aten = torch.ops.aten
FAMILIES = {
    "logistic": BinaryLogisticRegression(),
    "mlp": BinaryMLPClassifier((24, 16)),
    "cnn": BinaryCNNClassifier((8, 16)),
    "residual cnn": BinaryCNNClassifier((8, 8), residual=True),
    "transformer": BinaryTransformerClassifier(d_model=16, n_layers=1, n_heads=2),
    "row-max": BinaryTransformerClassifier(d_model=16, n_layers=1, n_heads=2, attention="row-max"),
}


_PRODUCTS = {aten.mm.default, aten.mv.default, aten.addmm.default, aten.bmm.default}


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of several devices, but for numbers, and what moves them.

    Where a value is read, which torch's device without memory cannot do, it is 1.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor) and t.ndim]
        devices = {t.device.type for t in tensors}
        if len(devices) > 1 and func is not aten.copy_.default:
            raise RuntimeError(f"{func} is called on tensors of {sorted(devices)}")
        if func in _PRODUCTS and not args[0].dtype.is_floating_point:
            raise RuntimeError(f"{func} has no integers on GPUs")
        if func is aten._local_scalar_dense.default and args[0].is_meta:
            return torch.ones((), dtype=args[0].dtype).item()
        if func is aten._to_copy.default and kwargs.get("device") == torch.device("cpu"):
            return torch.ones_like(args[0], device="cpu")
        if func is aten.bincount.default and args[0].is_meta:
            return args[0].new_empty(args[2])
        return func(*args, **kwargs)


@pytest.mark.parametrize("technique", list_techniques())
@pytest.mark.parametrize("family", FAMILIES)
def test_tensors_stay_together(family, technique):
    """Forward and backward on torch's device without memory, which is no CPU as a GPU is none."""
    est, technique = clone(FAMILIES[family]), get_technique(technique)
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (32, 64), np.uint8), rng.integers(0, 3, 32)
    inputs = fit_input(technique, X, y, np.ones(32), 3, est._layout(64))
    settings = {"input_dropout": 0.1, "hidden_dropout": 0.1, "generator": make_generator()}
    network = est._network(
        inputs.operation, 3, technique, est._topology(64), init=0.3, **settings
    ).to("meta")
    rows, weight = inputs.rows(X).batch(np.arange(32)), torch.ones(32)
    with OneDevice():
        scores = network(rows.to("meta"), weight.to("meta"))
        scores.sum().backward()
        network.eval()(rows.to("meta"))
    assert {p.grad.device.type for p in network.parameters()} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
@pytest.mark.parametrize("technique", list_techniques())
@pytest.mark.parametrize("family", FAMILIES)
def test_fit_on_a_gpu(family, technique, digits):
    X, X_test, y, y_test = digits
    settings = {"technique": technique, "max_iter": 4, "random_state": 0, "device": "cuda"}
    est = clone(FAMILIES[family]).set_params(**settings)
    est.fit(X, y).partial_fit(X[:200], y[:200])
    assert np.isfinite(est.loss_curve_).all()
    on_cpu = clone(est).set_params(device="cpu").fit(X, y)
    assert est.fit(X, y).score(X_test, y_test) > on_cpu.score(X_test, y_test) - 0.15
    scores = est.packed_.scores(X_test)
    assert np.abs(est.to_torch()(torch.from_numpy(X_test)).numpy() - scores).max() < 1e-3
