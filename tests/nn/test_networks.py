"""Whole networks: frozen equals packed, on random weights, shapes and statistics."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skbnn.nn import convolution, products
from skbnn.nn.inputs import fit_input
from skbnn.nn.networks import FrozenNetwork, conv_network, dense_network, transformer_network
from skbnn.nn.normalizers import BatchNorm
from skbnn.packed import PackedModel
from skbnn.packed.images import ImageLayout
from skbnn.techniques import get_technique, list_techniques

REAL = [name for name in list_techniques() if get_technique(name).activations == "real"]


def random_network(technique, X, hidden_layer_sizes, n_classes, seed, n_thresholds=3):
    """Return an untrained network whose every parameter and statistic is random."""
    generator = torch.Generator().manual_seed(seed)
    y = np.arange(len(X)) % n_classes
    inputs = fit_input(technique, X, y, np.ones(len(X)), n_thresholds)
    network = dense_network(
        inputs.operation,
        n_classes,
        technique,
        hidden_layer_sizes=hidden_layer_sizes,
        init=None,
        input_dropout=0.2,
        hidden_dropout=0.5,
        generator=generator,
    )
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.gamma[::5] = 0.0
                module.var.square_().mul_(20)
                module.mean.mul_(5)
    return network


def table(n, n_features, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 9, (n, n_features)).astype(rng.choice([np.float32, np.float64]))


def freeze_and_pack(network, n_classes):
    network.freeze()
    return FrozenNetwork(network), PackedModel(*network.pack()[:1], np.arange(n_classes))


SHAPES = {
    "hidden_layer_sizes": st.lists(st.integers(1, 150), max_size=3),
    "n_features": st.integers(1, 130),
    "n_thresholds": st.integers(1, 9),
    "n_classes": st.integers(2, 40),
    "seed": st.integers(0, 9999),
}


@settings(deadline=None, max_examples=60)
@given(**SHAPES)
def test_frozen_equals_packed_exactly(
    hidden_layer_sizes, n_features, n_thresholds, n_classes, seed
):
    X = table(50, n_features, seed)
    network = random_network(
        get_technique("bnn"), X, hidden_layer_sizes, n_classes, seed, n_thresholds
    )
    frozen, model = freeze_and_pack(network, n_classes)
    X = np.concatenate([X, table(20, n_features, seed + 1) - 3])
    scores = model.scores(X)
    assert scores.dtype == np.int32
    np.testing.assert_array_equal(frozen(torch.from_numpy(X)).numpy(), scores)


@pytest.mark.parametrize("name", REAL)
@settings(deadline=None, max_examples=15)
@given(**SHAPES)
def test_frozen_equals_packed_within_rounding(
    name, hidden_layer_sizes, n_features, n_thresholds, n_classes, seed
):
    X = table(50, n_features, seed)
    network = random_network(get_technique(name), X, hidden_layer_sizes, n_classes, seed)
    frozen, model = freeze_and_pack(network, n_classes)
    scores, expected = model.scores(X), frozen(torch.from_numpy(X)).numpy()
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_arrays_and_restore():
    X = table(30, 10, 0)
    a, b = (random_network(get_technique("bnn"), X, (9, 8), 3, seed) for seed in (0, 1))
    arrays = a.arrays()
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert b.restore(arrays) is b
    for name, array in b.arrays().items():
        np.testing.assert_array_equal(array, arrays[name])
    # They are copies, both ways.
    with torch.no_grad():
        b.blocks[0].weight.zero_()
    assert arrays["blocks.0.weight"].any()
    assert list(a.latent()) == ["blocks.0.weight", "blocks.1.weight", "blocks.2.weight"]


def test_progress_reaches_every_quantizer():
    network = random_network(get_technique("bnn"), table(30, 10, 0), (9, 8), 3, 0)
    network.set_progress(0.25)
    assert network.blocks[0].activation_quantizer.progress == 0.25
    assert network.blocks[2].weight_quantizer.progress == 0.25


def test_freezing_ends_training():
    network = random_network(get_technique("bnn"), table(30, 10, 0), (9,), 3, 0)
    assert network.training
    network.freeze()
    assert not network.training
    assert all(p.dtype == torch.float64 and not p.requires_grad for p in network.parameters())


FAMILIES = {
    "mlp": (dense_network, {"hidden_layer_sizes": (128, 128)}),
    "cnn": (conv_network, {"channels": (32, 32), "kernel_size": 3, "strides": (1, 1),
                           "pool_sizes": (1, 2), "padding_value": -1, "residual": False,
                           "hidden_layer_sizes": (64,)}),
    "residual cnn": (conv_network, {"channels": (32, 32), "kernel_size": 3, "strides": (1, 1),
                                    "pool_sizes": (1, 2), "padding_value": 1, "residual": True,
                                    "hidden_layer_sizes": (64,)}),
    "transformer": (transformer_network, {"d_model": 64, "n_layers": 1, "n_heads": 2,
                                          "mlp_ratio": 2.0, "image_shape": (8, 8, 1),
                                          "patch_size": (4, 4), "attention": "threshold"}),
}  # fmt: skip
MANY_PLANES = ("bases-5", "basis-3")


@pytest.mark.skipif(not products.int8_is_fast(), reason="8-bit products are not fast here")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", [*list_techniques(), *MANY_PLANES, "sign"])
def test_fast_products_train_what_slow_ones_do(name, family, monkeypatch):
    """Every block must know what it reads: levels that are no whole numbers are no 8-bit ones."""
    make, topology = FAMILIES[family]
    if name in list_techniques():
        technique = get_technique(name)
    else:
        # Weights of many planes, or signs, on levels.
        technique = replace(get_technique("dorefa"), name=name, weights=name)
    X = np.random.default_rng(0).integers(0, 17, (600, 64)).astype(np.uint8)
    layout = ImageLayout((8, 8, 1)) if "cnn" in family else None
    counted, results = [], []
    kinds = [products._Int8Product]
    kinds += [convolution._Int8Convolution] if "cnn" in family and convolution._is_known() else []
    for kind in kinds:

        def taken(*given, kind=kind, apply=kind.apply):
            counted.append(kind)
            return apply(*given)

        monkeypatch.setattr(kind, "apply", taken)
    for is_fast in (True, False):
        monkeypatch.setattr(products, "int8_is_fast", lambda is_fast=is_fast: is_fast)
        inputs = fit_input(technique, X, np.arange(600) % 3, np.ones(600), 3, layout)
        network = make(
            inputs.operation,
            3,
            technique,
            init=None,
            # What makes up for it is a power of two then, and all sums are exact.
            input_dropout=0.5,
            hidden_dropout=0.5,
            generator=torch.Generator().manual_seed(0),
            **topology,
        ).train()
        rows = inputs.rows(X).batch(np.arange(600))
        # Twice: what is learned has moved by then.
        results.append([network(rows).detach() for _ in range(2)])
    is_counted = technique.activations != "real" and name not in MANY_PLANES
    assert set(counted) == (set(kinds) if is_counted else set())
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
