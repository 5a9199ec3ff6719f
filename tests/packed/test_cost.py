"""What a model costs."""

import json

import numpy as np
import pytest

from skbnn.packed.cost import LayerCost, cost
from skbnn.packed.format import arrays_of


def test_costs_of_a_network_of_bits(make_model):
    model, _ = make_model("mlp")
    summary = model.summary()
    # 12 thresholds, 70 and 5 hidden units, 3 classes.
    assert summary.layers == (
        LayerCost("thermometer", "7 -> 12", 0, 7 + 4 * 12, 0, 0, 12, 8),
        LayerCost("binary-linear", "12 -> 70", 1, 70 * (8 + 2), 4 * 70 * 13, 70 * 12, 0, 16),
        LayerCost("binary-linear", "70 -> 5", 1, 5 * (16 + 2), 4 * 5 * 71, 5 * 70, 0, 8),
        LayerCost("binary-linear", "5 -> 3", 1, 3 * (8 + 8), 4 * 3 * 6, 15, 0, 12),
    )
    assert summary.activation_nbytes == 28 + 8


def test_costs_of_planes(make_model):
    model, _ = make_model("planes")
    planes, product, _ = model.summary().layers
    assert planes == LayerCost("bit-planes", "7 -> 4", 0, 4 * 4, 0, 0, 0, 8 * 8)
    nbytes = 2 * 9 * 8 + 2 * 9 * 4 + 9 * 4 + 9 * 4
    assert product == LayerCost(
        "binary-linear", "4 -> 9", 2, nbytes, 4 * 9 * 5, 8 * 2 * 9 * 4, 0, 8
    )


def test_costs_of_reals(make_model):
    model, _ = make_model("real")
    assert model.summary().layers == (
        LayerCost("standardize", "7 -> 4", 0, 4 * (4 + 8), 0, 0, 4, 16),
        LayerCost("mixed-linear", "4 -> 6", 1, 6 * (8 + 8), 4 * 6 * 5, 0, 24, 24),
        LayerCost("real-linear", "6 -> 3", 32, 4 * 3 * 7, 4 * 3 * 7, 0, 18, 12),
    )


def test_costs_of_windows(make_model):
    assert make_model("windows")[0].summary().layers == (
        LayerCost("image-thermometer", "7 -> 21", 0, 1 + 3 * 4, 0, 0, 21, 7 * 8),
        LayerCost("binary-conv", "21 -> 27", 1, 9 * 10 + 8, 4 * 9 * 10, 7 * 81, 0, 3 * 8),
        LayerCost("binary-conv", "27 -> 10", 2, 10 * 12 + 10, 4 * 5 * 10, 2 * 2 * 45, 0, 2 * 8),
        LayerCost("binary-linear", "10 -> 3", 1, 3 * 16, 4 * 3 * 11, 30, 0, 12),
    )
    assert make_model("windows-real")[0].summary().layers == (
        LayerCost("image-standardize", "7 -> 7", 0, 12, 0, 0, 7, 28),
        LayerCost("mixed-conv", "7 -> 12", 1, 4 * 16, 4 * 4 * 4, 0, 7 * 12, 48),
        LayerCost("real-conv", "12 -> 10", 32, 5 * 14 * 4, 4 * 5 * 13, 0, 2 * 60, 40),
        LayerCost("real-linear", "10 -> 3", 32, 132, 132, 0, 30, 12),
    )


def test_costs_of_streams(make_model):
    # Seven places; a stream of nine integers; a branch through five hidden units.
    assert make_model("stream")[0].summary().layers == (
        LayerCost("image-thermometer", "7 -> 21", 0, 1 + 3 * 4, 0, 0, 21, 7 * 8),
        LayerCost("each-place", "21 -> 63", 1, 9 * 8, 4 * 9 * 4, 7 * 9 * 3, 0, 2 * 63),
        LayerCost("positions", "63 -> 63", 0, 2 * 63, 4 * 63, 0, 0, 2 * 63),
        LayerCost(
            "residual", "63 -> 63", 1, 9 * 2 + 8 + 5 * 10 + 9 * 8,
            4 * (18 + 5 * 10 + 9 * 6), 7 * (5 * 9 + 9 * 5), 0, 2 * 63, 7 * 8,
        ),
        LayerCost("stream-sign", "63 -> 63", 0, 9 * 2 + 8, 4 * 18, 0, 0, 7 * 8),
        LayerCost("binary-linear", "63 -> 3", 1, 3 * (8 + 8), 4 * 3 * 64, 3 * 63, 0, 12),
    )  # fmt: skip


def test_costs_of_attention(make_model):
    # Three tokens, a stream of nine integers, two heads of four bits.
    _, tokens, _, middle, *_ = make_model("attention")[0].summary().layers
    assert (tokens.name, tokens.nbytes, tokens.binary_ops) == ("token-bits", 12, 0)
    assert middle.binary_ops == 3 * 9 * 24 + 2 * 9 * 8 + 3 * 8 * 9
    # The stream waits while queries, keys and values become the attention's bits.
    assert middle.scratch_nbytes == max(0, 3 * 8 + 4 * 27 - 4 * 27)
    _, tokens, _, real, _ = make_model("attention-real")[0].summary().layers
    assert (tokens.name, tokens.nbytes, tokens.float_ops) == ("token-reals", 5, 0)
    assert (real.name, real.nbytes, real.float_ops) == ("real-attention", 0, 2 * 9 * 4)


def test_costs_of_codewords(make_model):
    bits = make_model("codewords")[0].summary().layers[1]
    assert bits == LayerCost("nearest-codeword", "12 -> 3", 1, 5 * (8 + 4), 240, 60, 0, 12)
    reals = make_model("centroids")[0].summary().layers[0]
    assert reals == LayerCost("nearest-centroid", "7 -> 3", 32, 5 * 32, 140, 0, 35, 12)


def test_totals_are_sums_over_layers(make_model, kind):
    model, _ = make_model(kind)
    summary = model.summary()
    for name in ("nbytes", "float32_nbytes", "binary_ops", "float_ops"):
        total = sum(getattr(layer, name) for layer in summary.layers)
        assert getattr(summary, name) == total
    arrays = [a for operation in model.operations for a in arrays_of(operation).values()]
    assert model.nbytes == summary.nbytes == sum(a.nbytes for a in arrays)
    rows = [4 * model.n_features] + [layer.activation_nbytes for layer in summary.layers]
    scratch = [layer.scratch_nbytes for layer in summary.layers]
    assert summary.activation_nbytes == max(np.add(rows[:-1], rows[1:]) + scratch)


def test_plain_data_survives_json(make_model, kind):
    summary = make_model(kind)[0].summary()
    data = summary.to_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["nbytes"] == summary.nbytes
    assert data["activation_nbytes"] == summary.activation_nbytes
    assert [LayerCost(**layer) for layer in data["layers"]] == list(summary.layers)


def test_table_has_a_line_for_each_layer_and_the_totals(make_model):
    summary = make_model("mlp")[0].summary()
    head, *layers, total = str(summary).splitlines()
    assert head.split("  ")[0] == "layer"
    assert [line.split()[0] for line in layers] == [layer.name for layer in summary.layers]
    assert total.split() == ["total", "893", "5,132", "1,205", "12", "36"]
    assert {len(line) for line in (head, *layers, total)} == {len(head)}


def test_an_operation_of_unknown_cost_is_named():
    with pytest.raises(TypeError, match="No cost is known for str"):
        cost("banana")
