"""The convolution of coded images: exact forward on every path, gradients rounded at most."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skbnn.nn import convolution, products
from skbnn.nn.convolution import Convolution
from skbnn.nn.products import unit_sizes
from skbnn.nn.quantizers import RealWeights
from skbnn.nn.quantizers.codes import Parts
from skbnn.packed import Window

needs_int8 = pytest.mark.skipif(
    not (hasattr(torch, "_int_mm") and convolution._is_known()),
    reason="this torch has no 8-bit integer convolution",
)

# Where a quarter of the inputs is dropped, what pads is worth less than they are.
PADDINGS = [-1, 0, 1, -0.75]


def tensors(window, n, n_units, seed, dtype=torch.float32):
    """Return images and weights of -1, 0 and +1."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-1, 2, (n, *window.shape), generator=generator)
    w = torch.randint(-1, 2, (n_units, window.n_taps), generator=generator)
    return x.to(dtype), w.to(dtype)


def plain(x, w, window, padding):
    """Return the sums of the convolution of any numbers."""
    return Convolution(window, padding).plain(x, w)


def by_integers(x, w, window, padding):
    """Return the sums of the 8-bit path."""
    parts = Parts(w.detach().sign().to(torch.int8)[None], unit_sizes(w)[None])
    return Convolution(window, padding).planes(x, w, parts, 1.0)


def of_any_size(w):
    """Return weights of which each unit has a size of few binary digits, one of them none."""
    sizes = torch.arange(len(w)) % 7 / 16
    return w * sizes[:, None].to(w.dtype)


@needs_int8
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_integers_equal_floats_bit_for_bit(data):
    shape = tuple(data.draw(st.integers(1, n)) for n in (9, 9, 70))
    kernel = tuple(2 * data.draw(st.integers(0, min(3, size - 1))) + 1 for size in shape[:2])
    pool = tuple(data.draw(st.integers(1, min(3, size))) for size in shape[:2])
    window, padding = Window(shape, kernel, 1, pool), data.draw(st.sampled_from(PADDINGS))
    sizes = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 70))
    x, w = tensors(window, *sizes, data.draw(st.integers(0, 999)))
    w = of_any_size(w) if data.draw(st.booleans()) else w
    found = by_integers(x, w, window, padding)
    assert found.dtype == torch.float32
    assert torch.equal(found, plain(x.double(), w.double(), window, padding).float())


@needs_int8
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel", [(3, 3), (1, 5)])
def test_gradients_are_those_of_the_plain_convolution_but_for_rounding(kernel, padding):
    window = Window((6, 7, 33), kernel, 1, (1, 1))
    x, w = tensors(window, 20, 19, seed=1)
    generator = torch.Generator().manual_seed(2)
    # Images and units of very different size, as samples and units have them.
    pull = torch.randn(20, 42, 19, generator=generator) * torch.logspace(-2, 0, 19)
    pull = (pull * torch.logspace(-3, 0, 20)[:, None, None]).view(-1, 19)
    a, b = (t.clone().requires_grad_() for t in (x, w))
    by_integers(a, b, window, padding).backward(pull)
    c, d = (t.double().requires_grad_() for t in (x, w))
    plain(c, d, window, padding).backward(pull.double())
    # Half a level for each term at most; signs are random, so sums grow with the root.
    step = pull.view(20, -1).abs().amax(1) / 127
    assert ((a.grad - c.grad).flatten(1).abs() <= 3 * step[:, None] * math.sqrt(19 * 9)).all()
    step = pull.abs().amax(0)[:, None] / 127
    assert ((b.grad - d.grad).abs() <= 3 * step * math.sqrt(20 * 42)).all()
    assert a.grad.dtype == b.grad.dtype == torch.float32


@needs_int8
@pytest.mark.parametrize("size", [1.0, 0.75])
@pytest.mark.parametrize("pool", [(1, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("padding", PADDINGS)
def test_gradients_of_whole_levels_are_exact(padding, pool, size):
    window = Window((5, 4, 8), (3, 3), 1, pool)
    x, w = tensors(window, 6, 7, seed=3)
    w *= size
    shape, generator = (6, math.prod(window.pooled), 7), torch.Generator().manual_seed(4)
    pull = torch.randint(-127, 128, shape, generator=generator).float()
    pull[:, 0] = pull[0, :, 0] = 127
    found, expected = [], []
    for convolved, got, dtype in (
        (by_integers, found, torch.float32),
        (plain, expected, torch.float64),
    ):
        a, b = (t.detach().to(dtype, copy=True).requires_grad_() for t in (x, w))
        convolved(a, b, window, padding).backward(pull.view(-1, 7).to(dtype))
        got += [a.grad.float(), b.grad.float()]
    torch.testing.assert_close(found, expected)


@needs_int8
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_planes_and_grains(data):
    """Weights of several planes, images of more levels, and whatever pads them."""
    shape = tuple(data.draw(st.integers(1, n)) for n in (6, 6, 20))
    kernel = tuple(2 * data.draw(st.integers(0, min(2, size - 1))) + 1 for size in shape[:2])
    pool = tuple(data.draw(st.integers(1, min(3, size))) for size in shape[:2])
    window = Window(shape, kernel, 1, pool)
    n, n_units = data.draw(st.integers(1, 5)), data.draw(st.integers(2, 20))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))

    def whole(low, high, *shape):
        return torch.randint(low, high, shape, generator=generator)

    lowest, highest = data.draw(st.sampled_from([(0, 3), (-3, 3), (-127, 127), (1, 3), (-5, -2)]))
    grain = data.draw(st.sampled_from([1.0, 0.375]))
    padding = data.draw(st.sampled_from([lowest, 0, highest, 2, -1.5])) * grain
    n_planes = data.draw(st.integers(1, 3))
    planes = whole(-1, 2, n_planes, n_units, window.n_taps).to(torch.int8)
    # Sizes may be negative, so that the largest sum of a pool becomes the least.
    sizes = whole(-99, 100, n_planes, n_units).float() / 64
    offset = whole(-99, 100, n_units).float() / 64 if data.draw(st.booleans()) else None
    parts = Parts(planes, sizes, offset)
    x = whole(lowest, highest + 1, n, *shape).float() * grain
    a, c = (t.requires_grad_() for t in (x.clone(), x.double()))
    b, d = (t.requires_grad_() for t in (parts.value(), parts.value().double()))
    kind = Convolution(window, padding)
    # What a gradient goes to need not be near the weights.
    found, expected = kind.planes(a, b * 1.0, parts, grain), kind.plain(c, d)
    assert torch.equal(found.double(), expected)
    # A normaliser may work in place.
    found = found.mul_(1.0)
    pull = torch.randn(expected.shape, generator=generator)
    found.backward(pull)
    expected.backward(pull.double())
    # Gradients and filters are rounded to 127 levels: far from what a wrong pool or sign does.
    sized = pull.abs().view(n, -1, n_units).amax(1) @ parts.value().abs().amax(1)
    bound = 3 / 127 * sized * math.sqrt(math.prod(kernel) * n_units)
    assert ((a.grad - c.grad).flatten(1).abs() <= bound[:, None] + 1e-5).all()
    most = max(abs(lowest), abs(highest), abs(padding / grain)) * grain
    bound = 3 / 127 * pull.abs().amax(0) * most * math.sqrt(len(pull))
    assert ((b.grad - d.grad).abs() <= bound[:, None] + 1e-4).all()


@needs_int8
@pytest.mark.parametrize("fast", [True, False])
def test_the_fast_path_is_taken_for_whole_numbers_alone(monkeypatch, fast):
    monkeypatch.setattr(products, "int8_is_fast", lambda: fast)

    def is_fast(window, padding, dtype=torch.float32, *, grain=1.0, change=lambda w: w):
        x, w = tensors(window, 64, 64, seed=5, dtype=dtype)
        kind = Convolution(window, padding)
        z = RealWeights().product(x, change(w).requires_grad_(), grain=grain, kind=kind)
        while z is not None and not type(z).__name__.startswith("_Int8Convolution"):
            z = getattr(z, "grad_fn", None) or z.next_functions[0][0]
            if not getattr(z, "next_functions", ()):
                return False
        return True

    window = Window((8, 8, 64), (3, 3), 1, (2, 2))
    assert is_fast(window, -1) == fast
    assert is_fast(window, -1, change=of_any_size) == fast
    assert not is_fast(window, -1, change=lambda w: w + torch.arange(w.shape[1]))
    assert not is_fast(window, -1, grain=None)
    assert not is_fast(window, -1, torch.float64)
    assert is_fast(window, -1 / 0.7) == fast
    assert not is_fast(Window((8, 8, 64), (3, 3), 2, (1, 1)), 0)


def test_a_torch_without_the_operation_is_noticed(monkeypatch):
    monkeypatch.setattr(torch.ops, "onednn", object())
    assert not convolution._is_known.__wrapped__()
