"""Quantizers: forward is the decoded code, gradients go straight through, zero is +1."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from skbnn import BinaryMLPClassifier
from skbnn.nn.quantizers import (
    _QUANTIZERS,
    AdaptiveActivations,
    AdaptiveWeights,
    BasesWeights,
    Code,
    LevelActivations,
    LibraWeights,
    MagnitudeWeights,
    Planes,
    PlaneWeights,
    Quantizer,
    RealWeights,
    SignActivations,
    SignWeights,
    StochasticWeights,
    UniformActivations,
    UniformWeights,
    make_quantizer,
    sign,
)
from skbnn.nn.quantizers.scaled import standardized
from skbnn.nn.randomness import make_generator
from skbnn.techniques import get_technique

CODED = [("weights", "sign"), ("weights", "stochastic"), ("activations", "sign")]


def decode(code):
    """Return the tensor that a code stands for."""
    scales = code.scales.reshape(*code.scales.shape, *[1] * (code.bits.ndim - code.scales.ndim))
    offset = code.offset.reshape(*code.offset.shape, *[1] * (code.bits[0].ndim - code.offset.ndim))
    return code.unit * (offset + (scales * (2 * code.bits.long() - 1)).sum(0)).double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sign_of_zeros_is_plus_one(dtype):
    tiny = torch.finfo(dtype).smallest_normal
    x = torch.tensor([0.0, -0.0, tiny, -tiny, 3.0, -3.0], dtype=dtype)
    assert sign(x).tolist() == [1, 1, 1, -1, 1, -1]
    assert sign(x).dtype == dtype


@pytest.mark.parametrize(("role", "name"), CODED)
def test_forward_is_the_decoded_code(role, name):
    generator = torch.Generator().manual_seed(0)
    quantizer = make_quantizer(role, name, generator=generator).eval()
    x = torch.randn(7, 13, generator=generator, dtype=torch.float64)
    x[0, 0], x[1, 1] = 0.0, -0.0
    code = quantizer.encode(x)
    assert code.bits.dtype == torch.bool
    assert code.scales.dtype == code.offset.dtype == torch.int64
    torch.testing.assert_close(decode(code), quantizer(x), rtol=0, atol=0)


def test_weight_codes_have_a_scale_for_each_unit():
    code = SignWeights().encode(torch.ones(3, 5))
    assert code.bits.shape == (1, 3, 5)
    assert code.scales.shape == (1, 3)
    assert code.offset.shape == (3,)


@pytest.mark.parametrize("name", ["sign", "stochastic", "real"])
def test_gradient_of_weights_is_identity(name):
    generator = torch.Generator().manual_seed(0)
    quantizer = make_quantizer("weights", name, generator=generator).train()
    w = torch.tensor([-2.0, -1.0, -0.3, 0.0, 0.3, 1.0, 2.0], requires_grad=True)
    grad = torch.arange(7.0)
    (quantizer(w) * grad).sum().backward()
    assert torch.equal(w.grad, grad)


def test_stochastic_mean_is_the_clipped_weight():
    quantizer = StochasticWeights(generator=torch.Generator().manual_seed(3)).train()
    w = torch.tensor([-3.0, -1.0, -0.6, 0.0, 0.25, 0.9, 1.0, 3.0])
    draws = torch.stack([quantizer(w) for _ in range(4000)])
    assert set(draws.unique().tolist()) == {-1.0, 1.0}
    # Five standard errors of a mean of 4000 draws of +-1.
    torch.testing.assert_close(draws.mean(0), w.clamp(-1, 1), rtol=0, atol=5 / 4000**0.5)
    # Certain ones are certain.
    assert draws[:, [0, -1]].unique(dim=0).tolist() == [[-1.0, 1.0]]


def test_stochastic_in_evaluation_is_sign():
    quantizer = StochasticWeights(generator=torch.Generator().manual_seed(3)).eval()
    w = torch.linspace(-1, 1, 101)
    assert torch.equal(quantizer(w), sign(w))
    before = quantizer.generator.get_state()
    quantizer(w)
    assert torch.equal(quantizer.generator.get_state(), before)


def test_real_has_no_code():
    assert not RealWeights().coded
    with pytest.raises(TypeError, match="RealWeights gives real values"):
        RealWeights().encode(torch.ones(1))


def test_errors():
    with pytest.raises(ValueError, match="Unknown quantizer of weights 'two'; known are 'sign'"):
        make_quantizer("weights", "two")
    with pytest.raises(ValueError, match="Unknown quantizer of activations 'stochastic'"):
        make_quantizer("activations", "stochastic")
    with pytest.raises(TypeError, match="must derive from .*Quantizer, got Identity"):
        make_quantizer("weights", lambda **settings: torch.nn.Identity())
    with pytest.raises(TypeError, match="must derive from .*Quantizer, got Hardtanh"):
        make_quantizer("activations", torch.nn.Hardtanh)
    with pytest.raises(TypeError, match="Pass the class SignWeights, not an object of it"):
        make_quantizer("weights", SignWeights())
    with pytest.raises(TypeError, match="quantizer of weights is a name, a class .*, got None"):
        make_quantizer("weights", None)
    with pytest.raises(TypeError, match="surrogate is a name, a class or a function, got None"):
        make_quantizer("activations", "sign", surrogate=None)


class OddColumnsUp(SignWeights):
    """A quantizer of a user's own: signs, but odd inputs always get +1."""

    def forward(self, x):
        return super().forward(x) + self._lift(x)

    def encode(self, x):
        return super().encode(x + 2 * self._lift(x))

    @staticmethod
    def _lift(x):
        lift = 1 - sign(x.detach())
        lift[:, ::2] = 0
        return lift


class TernaryWeights(Quantizer):
    """Weights in {-1, 0, 1}: two planes worth a half each."""

    coded = True

    def forward(self, x):
        return x + (torch.where(x.abs() < 0.05, 0.0, sign(x.detach())) - x).detach()

    def encode(self, x):
        bits = torch.stack([x > -0.05, x >= 0.05])
        scales = torch.ones(2, len(x), dtype=torch.int64)
        return Code(bits, scales, torch.zeros(len(x), dtype=torch.int64), 0.5)


@pytest.mark.parametrize("quantizer", [OddColumnsUp, TernaryWeights])
def test_own_quantizer_end_to_end(digits, quantizer):
    X, X_test, y, y_test = digits
    technique = replace(get_technique("bnn"), name="own", weights=quantizer)
    est = BinaryMLPClassifier((40,), technique=technique, max_iter=10, random_state=0).fit(X, y)
    assert est.score(X_test, y_test) > 0.7
    frozen = est.to_torch()(torch.from_numpy(X_test.copy())).numpy()
    np.testing.assert_array_equal(frozen, est.packed_.scores(X_test))
    again = pickle.loads(pickle.dumps(est))
    assert again.packed_ == est.packed_
    np.testing.assert_array_equal(again.predict(X_test), est.predict(X_test))
    np.testing.assert_array_equal(again.to_torch()(torch.from_numpy(X_test.copy())), frozen)


def test_sign_activations_take_their_surrogate():
    generator = torch.Generator().manual_seed(0)
    made = make_quantizer("activations", "sign", surrogate="tanh", generator=generator)
    assert isinstance(made, SignActivations)
    assert type(made.surrogate).__name__ == "Tanh"


def test_gradients_of_standardized_weights():
    w = torch.randn(3, 7, generator=make_generator(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(standardized, w)


@pytest.mark.parametrize("name", ["ternary", "libra", "bases-3", "basis-2", "uniform-2"])
def test_trained_values_are_those_of_the_code(name):
    w = torch.randn(5, 40, generator=make_generator(2)) / 3
    quantizer = make_quantizer("weights", name, n_units=5).train()
    # A basis begins with the first weights that it sees.
    quantizer(w)
    for _ in range(3):
        before = make_quantizer("weights", name, n_units=5)
        before.load_state_dict(quantizer.state_dict())
        expected = before.encode(w).decode(w.dtype)
        torch.testing.assert_close(quantizer(w), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", sorted(set(_QUANTIZERS["weights"]) - {"tanh", "real"}))
@pytest.mark.parametrize("rows", ["sign", "bases-3", "basis-2", "elastic-1", "real"])
def test_products_are_those_of_the_quantized_weights(name, rows):
    """Eight-bit ones and others: with the bits of a code, and with the gradient of the weights."""
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(300, 64, generator=generator) * 0.5
    read = make_quantizer("activations", rows, generator=generator, n_units=64)
    x = read(torch.randn(256, 64, generator=generator)).detach()
    results = []
    for is_direct in (True, False):
        quantizer = make_quantizer(
            "weights", name, generator=torch.Generator().manual_seed(1), n_units=300
        ).train()
        latent, given = w.clone().requires_grad_(), x.clone().requires_grad_()
        if is_direct:
            z = quantizer.product(given, latent, grain=read.grain)
        else:
            z = F.linear(given, quantizer(latent))
        z.backward(torch.linspace(-1, 1, z.numel()).view(z.shape))
        results.append((z.detach(), given.grad, latent.grad))
    (found, to_x, to_w), (z, x_grad, w_grad) = results
    torch.testing.assert_close(found, z, rtol=1e-6, atol=1e-5)
    for grad, expected in ((to_x, x_grad), (to_w, w_grad)):
        # Rounded to 8 bits of the largest of a row: far less than noise, if not nothing.
        assert (grad - expected).norm() <= 0.02 * expected.norm()


def test_activations_that_say_no_grain_have_none():
    class Silent(LevelActivations):
        def staircase(self):
            return make_quantizer("activations", "uniform-2").staircase()

        def learn(self, x):
            return x.clamp(0, 1) * 0.7

    quantizer = Silent()
    for training in (True, False, True):
        quantizer.train(training)(torch.rand(3, 4))
        assert (quantizer.grain is None) == training


@pytest.mark.parametrize("training", [False, True])
def test_grains_that_8_bits_cannot_count_are_none(training):
    class Finer(AdaptiveActivations):
        steps = 256

    x = torch.randn(5, 4)
    for kind, is_known in ((Finer, False), (AdaptiveActivations, True)):
        quantizer = kind().train(training)
        with torch.no_grad():
            quantizer.scale.fill_(0.71)
            quantizer.center.fill_(0.26)
        quantizer(x)
        assert (quantizer.grain is not None) == is_known


@pytest.mark.parametrize("name", ["adaptive", "bases-3"])
def test_levels_that_are_no_numbers_have_no_grain(name):
    """Products of 8 bits would make numbers of them again, and hide that a fit diverged."""
    quantizer = make_quantizer("activations", name, surrogate="clipped", n_units=4).train()
    for parameter in quantizer.parameters():
        parameter.data.fill_(torch.nan)
    quantizer(torch.ones(3, 4))
    assert quantizer.grain is None


@pytest.mark.parametrize("name", sorted(set(_QUANTIZERS["activations"]) - {"real"}))
def test_activations_are_whole_multiples_of_their_grain(name):
    generator = torch.Generator().manual_seed(0)
    quantizer = make_quantizer("activations", name, generator=generator, n_units=8).train()
    with torch.no_grad():
        for tensor in (*quantizer.parameters(), *quantizer.buffers()):
            tensor.mul_(1.3).sub_(0.1)
    for mode in (True, True, False):
        quantizer.train(mode)
        x = quantizer(torch.randn(50, 8, generator=generator) * 2).detach()
        whole = x / quantizer.grain
        assert torch.equal(whole, whole.round())
        assert 0 < whole.abs().max() <= 127


@pytest.mark.parametrize("n_bits", [6, 7])
def test_levels_that_8_bits_cannot_count_stay_real(n_bits):
    generator = torch.Generator().manual_seed(0)
    rows, weights = UniformActivations(n_bits).train(), MagnitudeWeights(n_units=64).train()
    x = rows(torch.rand(512, 64, generator=generator) * 2).detach()
    w = torch.randn(64, 64, generator=generator)
    found = weights.product(x, w, grain=rows.grain)
    assert (rows.grain is None) == (n_bits == 7)
    torch.testing.assert_close(found, x @ weights(w).t(), rtol=1e-6, atol=1e-4)


def test_bits_become_signs_of_their_own():
    bits = torch.tensor([[[0, 1, 1]]], dtype=torch.int8)
    parts = PlaneWeights().parts(Planes(bits, torch.ones(1, 1)), torch.float32)
    assert parts.planes.tolist() == [[[-1, 1, 1]]] and bits.tolist() == [[[0, 1, 1]]]


class Parameterized(PlaneWeights):
    """Has a parameter of its own, which it sets from the weights."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.size = torch.nn.Parameter(torch.ones(()))

    def planes(self, w):
        self.size.copy_(w.abs().mean())
        return Planes((w >= 0)[None], self.size.expand(1, len(w)))


@pytest.mark.parametrize("n_in", [5, 0])
def test_planes_are_found_without_gradient(n_in):
    w = torch.randn(3, n_in, requires_grad=True)
    quantized = Parameterized()(w)
    assert quantized.shape == w.shape and quantized.requires_grad


@pytest.mark.parametrize("kind", [AdaptiveWeights, BasesWeights, LibraWeights, UniformWeights])
def test_a_subclass_that_changes_planes_or_gradient_is_heard(kind):
    """Classes that find both at once must not do so for others."""

    class Steeper(kind):
        def relaxed(self, w):
            return w * 3

    class Turned(kind):
        def planes(self, w):
            return super().planes(-w)

    w = (torch.randn(4, 30, generator=make_generator(0)) / 3).requires_grad_()
    Steeper(n_units=4)(w).sum().backward()
    assert torch.equal(w.grad, torch.full_like(w, 3))
    turned = Turned(n_units=4)
    assert torch.equal(turned(w), turned.encode(w).decode(w.dtype))
    assert not torch.equal(turned(w), kind(n_units=4)(w))
    assert torch.equal(kind(n_units=4).relaxed(w), kind(n_units=4).learn(w)[1])
    assert torch.equal(kind(n_units=4)(w[:, :0]), w[:, :0])
