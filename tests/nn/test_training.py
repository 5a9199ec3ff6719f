"""The training loop: batches, schedule, clip, scaling, penalty, early stopping, interrupts."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skbnn.nn import early_stopping, training
from skbnn.nn.early_stopping import EarlyStopping, accuracy
from skbnn.nn.inputs import fit_input
from skbnn.nn.losses import l2, make_loss, make_regularizer
from skbnn.nn.networks import dense_network
from skbnn.nn.rows import CodedRows
from skbnn.nn.training import Examples, Run, Training
from skbnn.techniques import get_technique

BNN = get_technique("bnn")
SETTINGS = Training(learning_rate=0.02, max_iter=4, batch_size=16)


def examples(n=50, weighted=False):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 12))
    y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)
    inputs = fit_input(BNN, X, y, np.ones(n), 3)
    return inputs, Examples(inputs.rows(X), y, np.ones(n) if weighted else None)


def run(technique=BNN, settings=SETTINGS, n=50, hidden=(9,), seed=0, weighted=False, dropout=0.0):
    """Return an untrained network and its run."""
    inputs, data = examples(n, weighted)
    generator = torch.Generator().manual_seed(seed)
    network = dense_network(
        inputs.operation,
        3,
        technique,
        hidden_layer_sizes=hidden,
        init=0.3,
        input_dropout=dropout,
        hidden_dropout=0.0,
        generator=generator,
    )
    return network, Run(network, data, technique, settings, generator)


class Recorder(Callback):
    """Keeps what each update saw."""

    def __init__(self):
        self.rates, self.sizes, self.progress, self.largest = [], [], [], []

    def on_grad_computed(self, net, named_parameters, batch=None, **kwargs):
        self.rates.append([group["lr"] for group in net.optimizer_.param_groups])

    def on_batch_end(self, net, batch=None, **kwargs):
        self.sizes.append(len(batch[1][0]))
        self.progress.append(net.module_.blocks[0].activation_quantizer.progress)


def recorded(a_run):
    recorder = Recorder()
    a_run.net.callbacks_.append(("recorder", recorder))
    losses = list(a_run)
    return recorder, losses


def test_settled_statistics_are_those_of_the_weights_it_ended_with():
    network, a_run = run(n=50, dropout=0.5)
    rows = a_run.examples.rows.batch(np.arange(50))
    list(a_run)
    block = network.blocks[0]
    weights = block.weight.clone()
    network.eval()
    with torch.no_grad():
        sums = block.sums(rows)
        assert not torch.allclose(block.normalizer.mean, sums.mean(0), rtol=1e-3)
        a_run.settle()
        torch.testing.assert_close(block.normalizer.mean, sums.mean(0))
        torch.testing.assert_close(block.normalizer.var, sums.var(0))
        sums = network.blocks[1].sums(block(rows))
        torch.testing.assert_close(network.blocks[1].normalizer.mean, sums.mean(0))
    assert torch.equal(block.weight, weights)
    assert block.normalizer.momentum == 0.1
    assert not block.normalizer.training


def test_settled_statistics_are_means_over_batches(monkeypatch):
    monkeypatch.setattr(training, "_MANY_ROWS", 16)
    network, a_run = run(n=64)
    norm = network.blocks[0].normalizer
    network.eval()
    with torch.no_grad():
        norm.mean.fill_(1e6)
        sums = network.blocks[0].sums(a_run.examples.rows.batch(np.arange(64)))
    a_run.settle()
    # Batches are of equal size, so the mean of their means is that of all rows.
    torch.testing.assert_close(norm.mean, sums.mean(0))


def test_settling_changes_nothing_of_the_training_that_follows():
    def trained(settles):
        network, a_run = run(dropout=0.5)
        for _ in a_run:
            if settles:
                a_run.settle()
        return network.blocks[0].weight

    assert torch.equal(trained(settles=True), trained(settles=False))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16, 1000])
@pytest.mark.parametrize("n", [2, 3, 5, 16, 17, 33, 65])
def test_no_batch_has_one_row(n, batch_size):
    _, data = examples(n)
    batches = training._Batches(data, batch_size, torch.Generator().manual_seed(0))
    sizes = [len(y) for _, (y, _) in batches]
    assert len(sizes) == len(batches)
    assert sum(sizes) == n
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(3, batch_size)


def test_a_single_row_is_a_batch():
    data = Examples(CodedRows(np.zeros((1, 1), np.uint64), 5), np.zeros(1, np.int64))
    assert len(list(training._Batches(data, 16, torch.Generator().manual_seed(0)))) == 1


def test_every_epoch_has_every_row_in_another_order():
    _, data = examples(50)
    data.y = np.arange(50)
    batches = training._Batches(data, 16, torch.Generator().manual_seed(0))
    first, second = (np.concatenate([y.numpy() for _, (y, _) in batches]) for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(50))
    assert list(first) != list(second)


def test_schedule():
    recorder, losses = recorded(run()[1])
    assert len(losses) == 4
    assert len(recorder.rates) == 16
    for step, rates in enumerate(recorder.rates):
        wave = 0.5 * (1 + math.cos(math.pi * step / 16))
        assert rates == [pytest.approx(0.02 * (1e-3 + (1 - 1e-3) * wave))]
    assert recorder.progress == [step / 16 for step in range(16)]
    constant, _ = recorded(run(settings=replace(SETTINGS, constant=True))[1])
    assert constant.rates == [[0.02]] * 16
    assert constant.progress == [0.0] * 16


def test_loss_falls():
    losses = list(run(settings=replace(SETTINGS, max_iter=30))[1])
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("clip", [0.2, 1.0, None])
def test_clip(clip):
    technique = replace(BNN, latent_clip=clip)
    network, a_run = run(technique, replace(SETTINGS, learning_rate=0.5, max_iter=8))
    list(a_run)
    largest = max(float(w.detach().abs().max()) for w in network.latent().values())
    assert largest > 1 if clip is None else largest == pytest.approx(clip)
    # Only latent weights are clipped.
    assert float(network.blocks[0].normalizer.gamma.detach().abs().max()) > 1


def rates_of(network, a_run):
    """Return the first learning rate of each parameter, by name."""
    rate_of = {
        id(parameter): group["initial_lr"]
        for group in a_run.net.optimizer_.param_groups
        for parameter in group["params"]
    }
    rates = {name: rate_of.pop(id(parameter)) for name, parameter in network.named_parameters()}
    assert not rate_of
    return rates


def test_glorot_scaling():
    network, a_run = run(replace(BNN, learning_rate_scaling="glorot"))
    rates = rates_of(network, a_run)
    for name, parameter in network.named_parameters():
        factor = math.sqrt(sum(parameter.shape) / 1.5) if name in network.latent() else 1.0
        assert rates[name] == pytest.approx(0.02 * factor)


def test_quantizers_may_have_parameters_with_a_rate_of_their_own():
    network, a_run = run(replace(BNN, activations="elastic-1"), hidden=(9, 5))
    rates = rates_of(network, a_run)
    slow = {name: rate for name, rate in rates.items() if name.endswith("quantizer.scale")}
    assert list(slow.values()) == [pytest.approx(0.0002)] * 2
    assert {rate for name, rate in rates.items() if name not in slow} == {0.02}


def test_regularizer():
    w = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    assert l2(w) == 7.0
    assert make_regularizer(l2) is l2
    network, a_run = run(settings=replace(SETTINGS, alpha=2.0))
    data = a_run.examples.batch(np.arange(10))
    scores = network(**data[0])
    plain = torch.nn.functional.cross_entropy(scores, data[1][0])
    penalty = sum(0.5 * w.square().sum() for w in network.latent().values())
    torch.testing.assert_close(a_run.net.criterion_(scores, data[1]), plain + 2.0 / 10 * penalty)


def test_losses_are_weighted():
    scores = torch.tensor([[2.0, -0.5, 0.0], [0.5, 1.0, -3.0]])
    y = torch.tensor([0, 1])
    entropy = make_loss("cross_entropy")(scores, y)
    weighted = training._Loss(BNN, [], 0.0)(scores, (y, torch.tensor([3.0, 1.0])))
    torch.testing.assert_close(weighted, (3 * entropy[0] + entropy[1]) / 2)


@pytest.mark.parametrize(
    "axis", ["loss", "optimizer", "regularizer", "schedule", "learning_rate_scaling"]
)
def test_unknown_names(axis):
    with pytest.raises(ValueError, match=f"Unknown {axis} 'two'; known are "):
        run(replace(BNN, **{axis: "two"}))


def test_a_loss_without_rows_is_refused():
    mean = replace(BNN, loss=torch.nn.functional.cross_entropy)
    with pytest.raises(ValueError, match=r"one loss for each row, \(1\d,\), got shape \(\)"):
        list(run(mean)[1])


def test_optimizer_state_goes_on():
    constant = replace(SETTINGS, constant=True)
    network, a_run = run(settings=constant)
    list(a_run)
    state = a_run.optimizer_arrays()
    assert len(state) == len(list(network.parameters()))
    assert all(set(s) == {"step", "exp_avg", "exp_avg_sq"} for s in state.values())
    _, again = run(settings=constant)
    again.restore_optimizer(state)
    restored = again.optimizer_arrays()
    assert list(restored) == list(state)
    for i, theirs in state.items():
        for name, array in theirs.items():
            np.testing.assert_array_equal(restored[i][name], array)


def test_accuracy_counts_weights():
    network, a_run = run(n=30)
    data = a_run.examples
    hits = network.eval()(**data.batch(np.arange(30))[0]).argmax(1).numpy() == data.y
    assert accuracy(network, data, batch_size=7) == pytest.approx(hits.mean())
    data.sample_weight = np.where(hits, 3.0, 1.0)
    expected = 3 * hits.sum() / data.sample_weight.sum()
    assert accuracy(network, data, batch_size=7) == pytest.approx(expected)


def test_early_stopping(monkeypatch):
    scores = iter([0.5, 0.8, 0.8001, 0.7, 0.8005, 0.6])
    monkeypatch.setattr(early_stopping, "accuracy", lambda network, examples: next(scores))
    network, _ = run()
    watch = EarlyStopping(None, tol=0.01, patience=3)
    stops = []
    for epoch in range(6):
        with torch.no_grad():
            network.blocks[0].weight.fill_(epoch)
        stops.append(watch.update(network))
        if stops[-1]:
            break
    # The third epoch after 0.8 without a growth of 0.01; the best is still the best.
    assert stops == [False, False, False, False, True]
    assert watch.best_score == 0.8005
    assert (watch.best_arrays["blocks.0.weight"] == 4).all()


def test_small_steps_keep_to_one_thread(monkeypatch):
    seen = []
    monkeypatch.setattr(
        Recorder, "on_batch_end", lambda self, net, **kw: seen.append(torch.get_num_threads())
    )
    before = torch.get_num_threads()
    recorded(run()[1])
    assert set(seen) == {1}
    seen.clear()
    monkeypatch.setattr(training, "_SMALL_STEP", 1)
    recorded(run()[1])
    assert set(seen) == {before}
    assert torch.get_num_threads() == before


def test_fits_in_a_pool_keep_to_one_thread_each(monkeypatch):
    seen = []
    monkeypatch.setattr(
        Recorder, "on_batch_end", lambda self, net, **kw: seen.append(torch.get_num_threads())
    )
    monkeypatch.setattr(training, "_SMALL_STEP", 1)
    default = torch.get_num_threads()
    for name, expected in ((None, 1), ("3", default)):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if name is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", name)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: recorded(run()[1])).result()
        assert set(seen) == {expected}
        seen.clear()


def test_weights_reach_loss_and_statistics():
    _, data = examples(weighted=True)
    data.sample_weight[:5] = 9.0
    x, (_, weight) = data.batch(np.arange(10))
    assert x["sample_weight"].tolist() == weight.tolist() == [9.0] * 5 + [1.0] * 5
    means = []
    for heavy in (1.0, 9.0):
        network, a_run = run(weighted=True)
        a_run.examples.sample_weight[:5] = heavy
        list(a_run)
        means.append(network.arrays()["blocks.0.normalizer.mean"])
    assert np.abs(means[0] - means[1]).max() > 0.1


def test_interrupt_passes_through():
    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    _, a_run = run()
    a_run.net.callbacks_.append(("interrupt", Interrupt()))
    before = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        list(a_run)
    assert torch.get_num_threads() == before


def test_flip_ratio():
    network, a_run = run()
    latent = network.latent().values()

    def signs():
        return np.concatenate([w.detach().numpy().ravel() >= 0 for w in latent])

    seen = [signs()]
    for _ in a_run:
        seen.append(signs())
    expected = [np.mean(a != b) for a, b in zip(seen[:-1], seen[1:], strict=True)]
    assert a_run.flip_ratios == expected
    assert 0 < a_run.flip_ratios[0] < 1


@pytest.mark.parametrize("schedule", ["cosine", "linear", "exponential", "constant"])
def test_schedules_begin_at_one_and_end_at_a_thousandth(schedule):
    last, schedule_of = training._LAST_RATE, training._SCHEDULES[schedule]
    rates = [last + (1 - last) * schedule_of(progress) for progress in (0.0, 0.5, 1.0)]
    assert rates[0] == pytest.approx(1.0)
    assert rates[2] == pytest.approx(1.0 if schedule == "constant" else 1e-3)
    assert schedule != "exponential" or rates[1] == pytest.approx(math.sqrt(1e-3))
