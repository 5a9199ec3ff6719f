"""Networks with real first and last layers: within rounding of what was trained, and refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skbnn import (
    BinaryCNNClassifier,
    BinaryLogisticRegression,
    BinaryMLPClassifier,
    BinaryTransformerClassifier,
)
from skbnn.bits import backend, unpack_bits
from skbnn.nn.block import Signal
from skbnn.nn.bridges import CodeReals, RealLevels
from skbnn.packed import BitCode
from skbnn.packed import RealLevels as PackedLevels
from skbnn.packed.values import Reals
from skbnn.techniques import get_technique

LQ = replace(get_technique("lqnets"), name="real-ends", first_last="real")


@pytest.mark.parametrize("activations", ["sign", "shifted", "bases-3", "elastic-2"])
@pytest.mark.parametrize("nonlinearity", ["none", "rprelu", "hard_tanh"])
def test_levels_of_reals(activations, nonlinearity):
    """Thresholds are exact: the next smaller float32 is on the other side."""
    technique = replace(LQ, activations=activations, nonlinearity=nonlinearity)
    generator = torch.Generator().manual_seed(0)
    block = RealLevels((5,), technique, generator)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    block.double().eval().requires_grad_(False)
    unfrozen = block.activation_quantizer
    signal = block.freeze(Signal(Reals(5)))
    operation = block.pack()
    # Some thresholds are always met, some never: there is no number on the other side.
    limits = block.thresholds.clip(-1e30, 1e30)
    below = np.nextafter(limits, np.float32(-np.inf))
    rows = np.concatenate([np.random.default_rng(0).normal(size=(50, 5)), below, limits])
    rows = rows.astype(np.float32).astype(np.float64)
    expected = unfrozen(block.nonlinearity(torch.from_numpy(rows))).numpy()
    found = operation.prepare(backend("auto"))(rows)
    worths = np.where(unpack_bits(found, 5), 1, -1)
    worths = (worths * np.array(signal.value.scales)[:, None]).sum(1) + signal.value.offset
    np.testing.assert_allclose(worths * signal.unit, expected, rtol=1e-12)
    np.testing.assert_array_equal(block(torch.from_numpy(rows)), worths * signal.unit)


def test_codes_as_reals():
    block = CodeReals()
    assert block.freeze(Signal(BitCode(3, (2, 4), 5), 0.25)) == Signal(Reals(3), 0.25)
    rows = np.array([[[0b101], [0b110]]], np.uint64)
    found = block.pack().prepare(backend("numpy"))(rows)
    assert found.tolist() == [[5 + 2 - 4, 5 - 2 + 4, 5 + 2 + 4]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": (0, 1)}, "Each level needs its code"),
        ({"codes": (0, 1, 4)}, "no plane"),
        ({"thresholds": np.zeros((2, 3))}, "thresholds has dtype"),
        ({"thresholds": np.zeros((2, 4), np.float32)}, "thresholds has shape"),
    ],
)
def test_ill_formed_levels_are_refused(change, message):
    fields = {"thresholds": np.zeros((2, 3), np.float32), "codes": (0, 1, 3)}
    with pytest.raises(ValueError, match=message):
        PackedLevels(**{**fields, **change}, gives=BitCode(3, (1, 1)))


@pytest.mark.parametrize(
    "estimator",
    [
        BinaryLogisticRegression(technique=LQ, max_iter=5, random_state=0),
        BinaryMLPClassifier((40, 30), technique=LQ, max_iter=5, random_state=0),
        BinaryCNNClassifier((8, 12), technique=LQ, max_iter=3, random_state=0),
    ],
    ids=lambda e: type(e).__name__,
)
def test_networks_with_real_ends(estimator, digits):
    X, X_test, y, y_test = digits
    estimator.fit(X, y)
    frozen = estimator.to_torch()(torch.from_numpy(X_test.copy())).numpy()
    scores = estimator.packed_.scores(X_test)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, frozen, rtol=1e-4, atol=1e-5 * np.abs(frozen).max())
    assert estimator.score(X_test, y_test) > 0.8
    bits = [layer.weight_bits for layer in estimator.packed_.summary().layers if layer.weight_bits]
    assert bits[0] == bits[-1] == 32
    assert set(bits[1:-1]) <= {2}


def test_a_stream_cannot_begin_with_reals(digits):
    X, _, y, _ = digits
    for estimator in (
        BinaryCNNClassifier((8, 8), technique=LQ, residual=True),
        BinaryTransformerClassifier(8, technique=LQ),
    ):
        with pytest.raises(ValueError, match="'real-ends' has a real first layer.*first_last='cod"):
            estimator.fit(X, y)
    technique = replace(LQ, first_last="both")
    with pytest.raises(ValueError, match="Unknown first_last 'both'; known are 'coded', 'real'"):
        BinaryMLPClassifier((4,), technique=technique).fit(X, y)
