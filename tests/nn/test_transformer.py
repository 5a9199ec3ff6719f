"""Whole transformers: frozen equals packed, the stream included."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skbnn.bits import backend
from skbnn.nn.inputs import fit_input
from skbnn.nn.networks import FrozenNetwork, transformer_network
from skbnn.nn.normalizers import BatchNorm
from skbnn.nn.transformer import token_owners
from skbnn.packed import PackedModel
from skbnn.packed.values import INT32_MAX, IntStream
from skbnn.techniques import get_technique, list_techniques

REAL = [name for name in list_techniques() if get_technique(name).activations == "real"]

RULES = ["threshold", "row-max", "softmax"]


def random_network(technique, X, seed, **topology):
    """An untrained transformer whose every parameter and statistic is random."""
    generator = torch.Generator().manual_seed(seed)
    y = np.arange(len(X)) % 3
    inputs = fit_input(technique, X, y, np.ones(len(X)), 3, None)
    settings = {"n_layers": 2, "mlp_ratio": 1.5, "attention": "threshold", **topology}
    network = transformer_network(
        inputs.operation,
        3,
        technique,
        init=None,
        input_dropout=0.1,
        hidden_dropout=0.2,
        generator=generator,
        **settings,
    )
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BatchNorm):
                for tensor in module.state_dict().values():
                    tensor.copy_(torch.randn(tensor.shape, generator=generator))
                module.gamma[::5] = 0.0
                module.var.square_().mul_(3)
    return network


def table(n, n_features, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 9, (n, n_features)).astype(rng.choice([np.float32, np.float64]))


TOPOLOGIES = {
    "n_heads": st.integers(1, 4),
    "size": st.integers(1, 33),
    "n_layers": st.integers(1, 2),
    "shape": st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 2)),
    "patch_size": st.tuples(st.integers(1, 4), st.integers(1, 4)),
    "seed": st.integers(0, 9999),
}


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=12)
@given(**TOPOLOGIES)
def test_frozen_equals_packed_with_every_stream(
    rule, n_heads, size, n_layers, shape, patch_size, seed
):
    X = table(30, int(np.prod(shape)), seed)
    network = random_network(
        get_technique("bnn"),
        X,
        seed,
        d_model=n_heads * size,
        n_heads=n_heads,
        n_layers=n_layers,
        image_shape=shape,
        patch_size=patch_size,
        attention=rule,
    ).freeze()
    operations, score_unit = network.pack()
    X = np.concatenate([X, table(10, X.shape[1], seed + 1) - 3])
    x, rows = network.inputs(torch.from_numpy(X)), operations[0].prepare(backend("auto"))(X)
    n_streams = 0
    for block, operation in zip(network.blocks, operations[1:], strict=True):
        x, rows = block(x), operation.prepare(backend("auto"))(rows)
        if isinstance(operation.gives, IntStream):
            unit = np.abs(x.numpy()[x.numpy() != 0] / rows[rows != 0]).max(initial=0)
            np.testing.assert_array_equal(rows * unit, x.numpy())
            assert np.abs(rows).max() <= operation.gives.largest
            assert operation.gives.largest < min(INT32_MAX, 2**24)
            n_streams += 1
    # Two streams at the start, two for each layer.
    assert n_streams == 2 * n_layers + 2
    model = PackedModel(operations, np.arange(3), score_unit)
    scores = model.scores(X)
    assert scores.dtype == np.int32
    np.testing.assert_array_equal(FrozenNetwork(network)(torch.from_numpy(X)).numpy(), scores)


@pytest.mark.parametrize("name", REAL)
@settings(deadline=None, max_examples=6)
@given(**TOPOLOGIES)
def test_frozen_equals_packed_within_rounding(
    name, n_heads, size, n_layers, shape, patch_size, seed
):
    X = table(30, int(np.prod(shape)), seed)
    network = random_network(
        get_technique(name),
        X,
        seed,
        d_model=n_heads * size,
        n_heads=n_heads,
        n_layers=n_layers,
        image_shape=shape,
        patch_size=patch_size,
    ).freeze()
    model = PackedModel(network.pack()[0], np.arange(3))
    scores, expected = model.scores(X), FrozenNetwork(network)(torch.from_numpy(X)).numpy()
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_owners_of_images():
    features = np.arange(4 * 5 * 2)
    owners, places = token_owners(features, (4, 5, 2), (2, 3))
    assert places == (2, 2)
    lines = owners.reshape(4, 5, 2)
    assert lines[:, :, 0].tolist() == [[0, 0, 0, 1, 1]] * 2 + [[2, 2, 2, 3, 3]] * 2
    np.testing.assert_array_equal(lines[:, :, 0], lines[:, :, 1])


def test_owners_of_rows_leave_out_features_without_elements():
    features = np.array([2, 3, 7, 9, 2, 9])
    owners, places = token_owners(features, None, (1, 3))
    assert places == (1, 2)
    assert owners.tolist() == [0, 0, 0, 1, 0, 1]


def test_latent_weights_are_found_wherever_they_are():
    network = random_network(
        get_technique("bnn"), table(30, 6, 0), 0, d_model=8, n_heads=2, n_layers=1,
        image_shape=None, patch_size=(1, 2),
    )  # fmt: skip
    latent = network.latent()
    assert [tuple(weight.shape) for weight in latent.values()] == [
        (8, 6), (24, 8), (8, 8), (12, 8), (8, 12), (3, 24)
    ]  # fmt: skip
    parameters = dict(network.named_parameters())
    assert all(parameters[name] is weight for name, weight in latent.items())


def test_without_inputs_only_the_last_layer_is_left():
    network = random_network(
        get_technique("bnn"), np.ones((9, 4)), 0, d_model=8, n_heads=2, n_layers=1,
        image_shape=(2, 2, 1), patch_size=(1, 1),
    )  # fmt: skip
    assert len(network.blocks) == 1
