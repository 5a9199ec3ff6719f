"""The product of coded tensors: exact forward on every path, gradients rounded at most."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from skbnn.nn import products
from skbnn.nn.products import DENSE, unit_sizes
from skbnn.nn.quantizers import RealWeights, SignWeights, StochasticWeights
from skbnn.nn.quantizers.codes import Parts

needs_int8 = pytest.mark.skipif(
    not (hasattr(torch, "_int_mm") and products._is_exact()),
    reason="this torch has no exact 8-bit integer product here",
)


def product(x, w):
    """Return the product of rows and weights that may be of one size for each unit."""
    return RealWeights().product(x, w)


def tensors(n, n_in, n_units, seed, dtype=torch.float32):
    """Return rows and weights of -1, 0 and +1."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-1, 2, (n, n_in), generator=generator).to(dtype)
    w = torch.randint(-1, 2, (n_units, n_in), generator=generator).to(dtype)
    return x, w


@needs_int8
@settings(deadline=None, max_examples=60)
@given(*[st.integers(2, 200)] * 3, st.integers(0, 1000))
def test_int8_equals_float_bit_for_bit(n, n_in, n_units, seed):
    x, w = tensors(n, n_in, n_units, seed)
    found = products._Int8Product.apply(x, w, w.to(torch.int8))
    assert found.dtype == torch.float32
    assert torch.equal(found, F.linear(x, w))


@pytest.mark.parametrize(
    ("n", "n_in", "n_units"),
    [(256, 64, 512), (256, 2352, 512), (2100, 1, 2100), (1, 2100, 2100), (2100, 2100, 1)],
)
def test_large_product_is_exact(n, n_in, n_units):
    x, w = tensors(n, n_in, n_units, seed=n_in)
    assert x.shape[0] * w.numel() >= products._SMALL
    expected = (x.double() @ w.double().t()).float()
    assert torch.equal(product(x, w), expected)
    assert torch.equal(product(x.sign(), -w), -expected)


@needs_int8
def test_large_product_takes_the_fast_path_where_there_is_one(monkeypatch):
    x, w = tensors(256, 64, 512, seed=0)
    w.requires_grad_()
    for fast in (True, False):
        monkeypatch.setattr(products, "int8_is_fast", lambda fast=fast: fast)
        name = type(product(x, w).grad_fn).__name__
        assert name.startswith("_Int8Product") == fast


@needs_int8
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_gradients_are_rounded_to_8_bits_of_each_row_or_column(size):
    x, w = tensors(90, 130, 70, seed=1)
    generator = torch.Generator().manual_seed(2)
    # Rows and columns of very different size, as samples and units have them.
    pull = size * torch.randn(90, 70, generator=generator)
    pull *= torch.logspace(-3, 0, 90)[:, None] * torch.logspace(-2, 0, 70)
    a, b = (t.clone().requires_grad_() for t in (x, w))
    products._Int8Product.apply(a, b, w.to(torch.int8)).backward(pull)
    # Half a level for each term at most; signs are random, so sums grow with the root.
    step = pull.abs().amax(1, keepdim=True) / 127
    assert ((a.grad - pull @ w).abs() <= 3 * step * math.sqrt(70)).all()
    step = pull.abs().amax(0)[:, None] / 127
    assert ((b.grad - pull.t() @ x).abs() <= 3 * step * math.sqrt(90)).all()
    assert a.grad.dtype == b.grad.dtype == torch.float32


@needs_int8
def test_gradient_of_whole_levels_is_exact():
    x, w = tensors(90, 130, 70, seed=1)
    pull = torch.randint(-127, 128, (90, 70), generator=torch.Generator().manual_seed(2)).float()
    pull[:, 0], pull[0] = 127, 127
    a, b = (t.clone().requires_grad_() for t in (x, w))
    products._Int8Product.apply(a, b, w.to(torch.int8)).backward(pull)
    torch.testing.assert_close(a.grad, pull @ w)
    torch.testing.assert_close(b.grad, pull.t() @ x)


@needs_int8
def test_gradient_of_zeros():
    x, w = tensors(10, 20, 30, seed=1)
    a, b = (t.clone().requires_grad_() for t in (x, w))
    products._Int8Product.apply(a, b, w.to(torch.int8)).backward(torch.zeros(10, 30))
    assert not a.grad.any() and not b.grad.any()


@needs_int8
def test_gradient_only_where_it_is_needed():
    x, w = tensors(10, 20, 30, seed=1)
    w.requires_grad_()
    products._Int8Product.apply(x, w, w.to(torch.int8)).sum().backward()
    assert x.grad is None
    torch.testing.assert_close(w.grad, x.sum(0).expand(30, -1))


@pytest.mark.parametrize("n", [256, 5])
def test_product_of_signs_is_the_product_with_the_signs(n):
    x, _ = tensors(n, 64, 512, seed=5)
    latent = torch.randn(512, 64, generator=torch.Generator().manual_seed(6))
    latent[0] = torch.tensor([0.0, -0.0]).repeat(32)
    quantize = SignWeights()
    a, b = (latent.clone().requires_grad_() for _ in range(2))
    found, expected = quantize.product(x, a), product(x, quantize(b))
    assert torch.equal(found, expected)
    finer = quantize.product(x * 0.375, a.detach(), grain=0.375)
    assert torch.equal(finer, expected.detach() * 0.375)
    pull = torch.randint(-127, 128, (n, 512), generator=torch.Generator().manual_seed(7)).float()
    pull[0] = 127
    found.backward(pull)
    expected.backward(pull)
    torch.testing.assert_close(a.grad, b.grad)
    assert a.grad.abs().sum() > 0


@pytest.mark.parametrize("n", [256, 5])
def test_product_with_weights_of_any_size(n):
    x, w = tensors(n, 64, 512, seed=5)
    sizes = torch.arange(512) % 7 / 16
    a, b = ((w * sizes[:, None]).requires_grad_() for _ in range(2))
    y, z = (x.clone().requires_grad_() for _ in range(2))
    found, expected = product(y, a), F.linear(z, b)
    assert type(found.grad_fn).__name__.startswith("_Int8Product") == (
        n == 256 and products.int8_is_fast()
    )
    assert torch.equal(found, expected)
    pull = torch.randint(-127, 128, (n, 512), generator=torch.Generator().manual_seed(7)).float()
    pull[0] = 127
    found.backward(pull)
    expected.backward(pull)
    # As the quantized weights are: the gradient of the size goes through them.
    torch.testing.assert_close(a.grad, b.grad)
    step = (pull * sizes).abs().amax(1, keepdim=True) / 127
    assert ((y.grad - z.grad).abs() <= 3 * step * math.sqrt(512)).all()


@needs_int8
@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize("n_planes", [1, 3])
@pytest.mark.parametrize("has_offset", [False, True])
@pytest.mark.parametrize("grain", [1.0, 0.375])
def test_product_with_planes(n_planes, has_offset, grain, is_shared):
    generator = torch.Generator().manual_seed(3)

    def whole(low, high, *shape):
        return torch.randint(low, high, shape, generator=generator)

    x = whole(-60, 61, 250, 130).float() * grain
    planes = whole(0, 2, n_planes, 70, 130).to(torch.int8)
    sizes = whole(0, 200, n_planes, 70).float() / 256
    if is_shared:
        sizes = sizes[:, :1].expand(-1, 70)
    offset = whole(-100, 100, 70).float() / 256 if has_offset else None
    parts = Parts(planes, sizes, offset)
    weights = parts.value()
    digits = zip(sizes.double(), planes.double(), strict=True)
    expected = sum(size[:, None] * plane for size, plane in digits)
    assert torch.equal(weights.double(), expected + (offset[:, None] if has_offset else 0))
    a, b = (weights.clone().requires_grad_() for _ in range(2))
    y, z = (x.clone().requires_grad_() for _ in range(2))
    # What a gradient goes to need not be near the weights.
    found, expected = DENSE.planes(y, a * 1.0, parts, grain), F.linear(z, b)
    assert torch.equal(found, expected)
    # A normaliser may work in place.
    found = found.mul_(1.0)
    pull = whole(-127, 128, 250, 70).float()
    pull[0] = 127
    found.backward(pull)
    expected.backward(pull)
    torch.testing.assert_close(a.grad, b.grad)
    of_planes = (pull[:, None] * sizes).flatten(1).abs().amax(1, keepdim=True) / 127
    assert ((y.grad - z.grad).abs() <= 3 * of_planes * math.sqrt(70 * n_planes)).all()


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((256, 64, 512), torch.float32, True),
        ((5, 64, 512), torch.float32, False),
        # Many rows, each with few products for each of the numbers to convert.
        ((8192, 32, 32), torch.float32, False),
        ((256, 64, 512), torch.float64, False),
    ],
)
def test_fast_products_are_for_large_and_wide_float32(shape, dtype, expected):
    x, w = tensors(*shape, seed=0, dtype=dtype)
    assert DENSE.is_fast(x, w) == (expected and products.int8_is_fast())


def test_sizes_of_units():
    w = torch.tensor([[0.5, -0.5, 0.0], [0.0, 0.0, 0.0], [2.0, 2.0, -2.0]])
    assert unit_sizes(w).tolist() == [0.5, 0.0, 2.0]
    assert unit_sizes(torch.tensor([[0.5, -0.25]])) is None


def test_stochastic_weights_are_drawn_for_the_product():
    x, _ = tensors(256, 64, 512, seed=5)
    latent = torch.full((512, 64), 0.2)
    quantizer = StochasticWeights(generator=torch.Generator().manual_seed(0)).train()
    first, second = (quantizer.product(x, latent) for _ in range(2))
    assert not torch.equal(first, second)
    quantizer.eval()
    assert torch.equal(quantizer.product(x, latent), x.sum(1, keepdim=True).expand(-1, 512))


def test_float64_weights_give_float64_sums():
    x, w = tensors(300, 100, 100, seed=3, dtype=torch.float64)
    found = product(x.float(), w)
    assert found.dtype == torch.float64
    assert torch.equal(found, x @ w.t())


@pytest.mark.parametrize("n_in", [0, 1])
def test_narrow(n_in):
    x, w = tensors(5, n_in, 3, seed=4)
    assert torch.equal(product(x, w), x @ w.t())


@needs_int8
def test_products_that_saturate_are_noticed(monkeypatch):
    right = torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: right(a, b).clamp(max=32767))
    assert not products._is_exact.__wrapped__()


def test_grains_of_endless_digits():
    levels = torch.arange(-127, 128).float()
    for grain in (1.0, 1 / 3, 1 / 7, 0.1, 0.375):
        assert torch.equal(products.whole_levels(levels * grain, grain).float(), levels)


def test_torch_that_cannot_tell_counts_as_slow(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_vnni_supported", raising=False)
    assert not products._has.__wrapped__("avx512_vnni")


def test_a_subclass_with_its_own_forward_keeps_it():
    class Shifted(SignWeights):
        def forward(self, x):
            return super().forward(x - 10)

    x, _ = tensors(256, 64, 512, seed=8)
    found = Shifted().product(x, torch.ones(512, 64))
    assert torch.equal(found, -x.sum(1, keepdim=True).expand(-1, 512))
