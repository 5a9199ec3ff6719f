"""Frozen attention equals its operation, for every rule."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skbnn.bits import backend, pack_bits, unpack_bits
from skbnn.nn.attention import (
    CodedAttention,
    RealAttention,
    Rule,
    SoftmaxShare,
    TokenBits,
    TokenReals,
    make_rule,
)
from skbnn.nn.block import Signal
from skbnn.packed import TokenBits as PackedTokenBits
from skbnn.packed import TokenReals as PackedTokenReals
from skbnn.packed.values import BitCode, BitImage, Reals
from skbnn.techniques import get_technique

BNN = get_technique("bnn")
RULES = ["threshold", "row-max", "softmax"]
every_rule = pytest.mark.parametrize("rule", RULES)


def generator_of(seed):
    return torch.Generator().manual_seed(seed)


def new_rule(rule, n_heads=2, size=16, n_tokens=7):
    return make_rule(rule, n_heads, size, n_tokens, BNN, generator_of(0))


def random_attention(places, n_heads, size, rule, seed):
    """Attention with any parameters, slopes of every sign, zeros among them."""
    generator = generator_of(seed)
    block = CodedAttention(places, n_heads * size, n_heads, BNN, rule, generator)
    with torch.no_grad():
        for parameter in block.rule.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) / 2)
        normalizer = block.normalizer
        for tensor in normalizer.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
        normalizer.gamma[::5] = 0.0
        normalizer.beta[::10] = -0.0
        normalizer.var.square_().mul_(3)
    return block


@every_rule
@pytest.mark.parametrize("n_tokens", [1, 2, 5, 17, 49])
@pytest.mark.parametrize("size", [8, 31, 64, 65])
def test_frozen_equals_packed(rule, n_tokens, size):
    seed = n_tokens * size
    bits = np.random.default_rng(seed).random((4, 1, n_tokens, 6 * size)) < 0.5
    block = random_attention((1, n_tokens), 2, size, rule, seed)
    block.double().eval().requires_grad_(False)
    signal = block.freeze(Signal(BitImage((1, n_tokens, 6 * size))))
    operation = block.pack()
    assert operation.takes == BitImage((1, n_tokens, 6 * size))
    assert signal == Signal(operation.gives)
    expected = block(torch.from_numpy(np.where(bits, 1.0, -1.0))).numpy()
    for kernels in map(backend, ("numba", "numpy")):
        found = operation.prepare(kernels)(pack_bits(bits)[:, None])
        signs = np.where(unpack_bits(found[:, 0], 2 * size), 1.0, -1.0)
        np.testing.assert_array_equal(signs, expected)


@every_rule
@settings(deadline=None, max_examples=10)
@given(n_tokens=st.integers(1, 20), size=st.integers(1, 70), seed=st.integers(0, 999))
def test_freezing_a_rule_changes_next_to_nothing(rule, n_tokens, size, seed):
    block = random_attention((1, n_tokens), 2, size, rule, seed)
    x = torch.randn(3, 2, n_tokens, size, generator=generator_of(seed)).sign()
    y = torch.randn(3, 2, n_tokens, size, generator=generator_of(seed + 1)).sign()
    scores = (x @ y.transpose(2, 3)).double()
    module = block.rule.double().eval()
    before = module(scores).detach()
    assert set(before.unique().tolist()) <= {0.0, 1.0}
    module.freeze()
    after = module(scores)
    assert set(after.unique().tolist()) <= {0.0, 1.0}
    assert float((before != after).double().mean()) <= (0.02 if rule == "softmax" else 0.0)


@every_rule
def test_rules_choose_higher_scores_and_learn(rule):
    module = new_rule(rule)
    scores = torch.randint(-8, 9, (5, 2, 7, 7), generator=generator_of(0)).float() * 2
    scores.requires_grad_()
    attention = module(scores)
    assert 0 < float(attention.detach().mean()) < 1
    chosen = torch.where(attention.detach() > 0, scores.detach(), math.inf).amin(3)
    left = torch.where(attention.detach() > 0, -math.inf, scores.detach()).amax(3)
    assert bool((chosen > left).all())
    (attention * torch.randn(attention.shape, generator=generator_of(1))).sum().backward()
    assert bool(scores.grad.any())
    for parameter in module.parameters():
        assert bool((parameter.grad != 0).all())


def test_row_maximum_always_chooses_the_best():
    module = new_rule("row-max")
    with torch.no_grad():
        module.margin.fill_(-1.0)
    scores = torch.randn(5, 2, 7, 7, generator=generator_of(0))
    assert torch.equal(module(scores).argmax(3), scores.argmax(3))
    module.freeze()
    assert (module.packed.limits == 0).all()


def test_alone_a_token_attends_to_itself():
    for rule in ("row-max", "softmax"):
        module = new_rule(rule, n_tokens=1)
        scores = torch.full((1, 2, 1, 1), -16.0)
        assert float(module(scores).detach().sum()) == 2
        module.freeze()
        assert float(module(scores.double()).sum()) == 2


def test_thresholds_out_of_reach_choose_all_or_nothing():
    scores = torch.tensor([-16.0, 0.0, 16.0]).expand(1, 2, 3, 3).double()
    for threshold, share in ((100.0, 0.0), (-100.0, 1.0), (4.0, 1 / 3), (4.001, 0.0)):
        module = new_rule("threshold")
        with torch.no_grad():
            module.threshold.fill_(threshold)
        module.freeze()
        assert float(module(scores).mean()) == pytest.approx(share)


def test_unknown_rules_are_refused():
    with pytest.raises(ValueError, match="Unknown attention 'hard'; known are 'threshold'"):
        new_rule("hard")
    assert isinstance(new_rule(SoftmaxShare), SoftmaxShare)
    bare = Rule(2, 8, 3, BNN, generator_of(0))
    for call in (lambda: bare(torch.zeros(1, 2, 3, 3)), bare.freeze):
        with pytest.raises(TypeError, match="Rule defines no"):
            call()


def test_weights_count_at_every_token():
    a, b = (CodedAttention((1, 3), 8, 2, BNN, "threshold", generator_of(0)) for _ in range(2))
    x = torch.randn(4, 1, 3, 24, generator=generator_of(0)).sign()
    weight = torch.tensor([1.0, 3.0, 1.0, 2.0])
    a(x, weight)
    b(x.repeat_interleave(weight.long(), 0))
    torch.testing.assert_close(a.normalizer.mean, b.normalizer.mean)
    torch.testing.assert_close(a.normalizer.var, b.normalizer.var)


def test_real_attention():
    block = RealAttention((2, 3), 8, 2, BNN, "threshold", None).double()
    signal = block.freeze(Signal(Reals(6 * 24)))
    operation = block.pack()
    assert signal.value == operation.gives
    x = np.random.default_rng(0).normal(size=(5, 2, 3, 24))
    expected = block(torch.from_numpy(x)).numpy().reshape(5, -1)
    found = operation.prepare(None)(x.reshape(5, -1))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_tokens():
    owners = np.array([1, 0, 1, 3], np.uint8)
    bits = np.array([[True, False, True, True]])
    block = TokenBits(PackedTokenBits(owners, (2, 2)))
    assert block.freeze(Signal(BitCode(4), 0.5)) == Signal(BitImage((2, 2, 2)), 0.5)
    out = block(torch.from_numpy(np.where(bits, 1.0, -1.0)))
    assert out.tolist() == [[[[-1.0, -1.0], [1.0, 1.0]], [[-1.0, -1.0], [1.0, -1.0]]]]
    packed = block.pack().prepare(backend("auto"))(pack_bits(bits)[:, None])
    np.testing.assert_array_equal(unpack_bits(packed[:, 0], 2), out.numpy() > 0)
    block = TokenReals(PackedTokenReals(owners, (2, 2)))
    x = np.array([[5.0, 6.0, 7.0, 8.0]])
    out = block(torch.from_numpy(x))
    assert out.tolist() == [[[[6.0, 0.0], [5.0, 7.0]], [[0.0, 0.0], [8.0, 0.0]]]]
    np.testing.assert_array_equal(block.pack().prepare(None)(x), out.numpy().reshape(1, 8))
