"""The product of coded tensors: exact forward on every path, gradients rounded at most."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from skbnn.nn import products
from skbnn.nn.products import coded_product

needs_int8 = pytest.mark.skipif(
    not hasattr(torch, "_int_mm"), reason="this torch has no 8-bit integer product"
)


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
    found = products._Int8Product.apply(x, w)
    assert found.dtype == torch.float32
    assert torch.equal(found, F.linear(x, w))


@pytest.mark.parametrize(
    ("n", "n_in", "n_units"),
    [(256, 64, 512), (256, 2352, 512), (1100, 1, 1100), (1, 1100, 1100), (1100, 1100, 1)],
)
def test_large_product_is_exact(n, n_in, n_units):
    x, w = tensors(n, n_in, n_units, seed=n_in)
    assert x.shape[0] * w.numel() >= products._SMALL
    expected = (x.double() @ w.double().t()).float()
    assert torch.equal(coded_product(x, w), expected)
    assert torch.equal(coded_product(x.sign(), -w), -expected)


@needs_int8
def test_large_product_takes_the_fast_path_where_there_is_one(monkeypatch):
    x, w = tensors(256, 64, 512, seed=0)
    w.requires_grad_()
    for fast in (True, False):
        monkeypatch.setattr(products, "_int8_is_fast", lambda fast=fast: fast)
        name = type(coded_product(x, w).grad_fn).__name__
        assert name.startswith("_Int8Product") == fast


@needs_int8
@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.bfloat16, 2**-7), (torch.float32, 1e-5)], ids=["bfloat16", "float32"]
)
def test_gradients(dtype, rtol, monkeypatch):
    monkeypatch.setattr(products, "_gradient_dtype", lambda: dtype)
    x, w = tensors(90, 130, 70, seed=1)
    generator = torch.Generator().manual_seed(2)
    pull = torch.randn(90, 70, generator=generator)
    a, b = (t.clone().requires_grad_() for t in (x, w))
    products._Int8Product.apply(a, b).backward(pull)
    expected_x, expected_w = pull @ w, pull.t() @ x
    # Each of n terms is rounded by rtol at most, in random directions.
    torch.testing.assert_close(a.grad, expected_x, rtol=0, atol=rtol * 4 * 70**0.5)
    torch.testing.assert_close(b.grad, expected_w, rtol=0, atol=rtol * 4 * 90**0.5)
    assert a.grad.dtype == b.grad.dtype == torch.float32


@needs_int8
def test_gradient_only_where_it_is_needed():
    x, w = tensors(10, 20, 30, seed=1)
    w.requires_grad_()
    products._Int8Product.apply(x, w).sum().backward()
    assert x.grad is None
    torch.testing.assert_close(w.grad, x.sum(0).expand(30, -1))


def test_float64_weights_give_float64_sums():
    x, w = tensors(300, 100, 100, seed=3, dtype=torch.float64)
    found = coded_product(x.float(), w)
    assert found.dtype == torch.float64
    assert torch.equal(found, x @ w.t())


@pytest.mark.parametrize("n_in", [0, 1])
def test_narrow(n_in):
    x, w = tensors(5, n_in, 3, seed=4)
    assert torch.equal(coded_product(x, w), x @ w.t())


def test_torch_that_cannot_tell_counts_as_slow(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_vnni_supported", raising=False)
    assert not products._has.__wrapped__("no_such_instruction")
