"""Stages: epochs are shared out, and a network starts from the one before."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skbnn import BinaryMLPClassifier
from skbnn.nn.inputs import fit_input
from skbnn.nn.networks import dense_network
from skbnn.techniques import Technique, get_technique, stages_of

CHAIN = Technique(
    name="c",
    share=2.0,
    starts_from=Technique(name="b", starts_from=Technique(name="a"), share=1.0),
)


@pytest.mark.parametrize(
    ("max_iter", "epochs"),
    [(1, {"c": 1}), (2, {"b": 1, "c": 1}), (4, {"a": 1, "b": 1, "c": 2}),
     (30, {"a": 8, "b": 7, "c": 15})],
)  # fmt: skip
def test_epochs_are_shared_out(max_iter, epochs):
    found = {stage.name: n for stage, n in stages_of(CHAIN, max_iter)}
    assert sum(found.values()) == max_iter
    assert found.keys() == epochs.keys()
    assert all(abs(found[name] - n) <= 1 for name, n in epochs.items())
    assert stages_of(get_technique("bnn"), max_iter) == [(get_technique("bnn"), max_iter)]


def test_the_plain_baseline_has_few_epochs_for_its_norms():
    stages = stages_of(get_technique("posttraining"), 10)
    assert [(stage.name, n) for stage, n in stages] == [("bounded", 9), ("posttraining", 1)]


def test_a_stage_starts_from_the_one_before(digits):
    X, _, y, _ = digits
    settings = {"init": 0.1, "input_dropout": 0.0, "hidden_dropout": 0.0}
    bit = replace(get_technique("bit"), output_normalizer="scale")
    inputs = fit_input(bit, X, y, np.ones(len(y)), 3)
    generator = torch.Generator().manual_seed(0)
    first, second = (
        dense_network(inputs.operation, 10, t, hidden_layer_sizes=(9,), generator=generator,
                      **settings)
        for t in (replace(bit.starts_from, output_normalizer="scale"), bit)
    )  # fmt: skip
    gain = second.blocks[1].normalizer.gain.clone()
    with torch.no_grad():
        first.blocks[1].normalizer.gain.fill_(99.0)
        first.blocks[0].activation_quantizer.scale.fill_(0.7)
    second.adopt(first)
    assert torch.equal(first.blocks[0].weight, second.blocks[0].weight)
    assert second.blocks[0].activation_quantizer.scale.item() == pytest.approx(0.7)
    assert torch.equal(second.blocks[1].normalizer.gain, gain)


def test_stages_in_a_fit(digits):
    X, X_test, y, y_test = digits
    est = BinaryMLPClassifier((40,), technique="bit", max_iter=8, random_state=0).fit(X, y)
    again = BinaryMLPClassifier((40,), technique="bit", max_iter=8, random_state=0).fit(X, y)
    assert est.n_iter_ == len(est.loss_curve_) == 8
    assert est.loss_curve_ == again.loss_curve_
    assert est.packed_ == again.packed_
    assert est.score(X_test, y_test) > 0.8
    with pytest.raises(ValueError, match="'bounded' is only there for others to start from"):
        technique = get_technique("posttraining").starts_from
        BinaryMLPClassifier((4,), technique=technique).fit(X, y)
