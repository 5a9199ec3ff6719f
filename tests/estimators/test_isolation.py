"""A fit leaves the process as it was: generators, threads, and the estimator when it fails."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from skbnn import BinaryLogisticRegression, BinaryMLPClassifier
from skbnn.nn import training
from skbnn.packed.format import to_bytes
from skbnn.techniques import list_techniques


def mlp(technique="bnn", random_state=0, **params):
    return BinaryMLPClassifier(
        (24,), technique=technique, random_state=random_state, **{"max_iter": 3, **params}
    )


@pytest.mark.parametrize("technique", list_techniques())
@pytest.mark.parametrize("random_state", [None, 0])
def test_global_states_are_untouched(technique, random_state, digits):
    X, X_test, y, _ = digits
    threads = torch.get_num_threads()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    est = mlp(technique, random_state, early_stopping=True).fit(X, y)
    est.partial_fit(X, y).predict(X_test)
    est.to_torch()(torch.from_numpy(X_test.copy()))
    assert torch.equal(torch.get_rng_state(), torch_state)
    after = np.random.get_state()  # noqa: NPY002
    if random_state is None:
        # scikit-learn's meaning of None is the global state: one number is drawn from it a fit.
        assert after[2] != numpy_state[2]
    else:
        np.testing.assert_array_equal(after[1], numpy_state[1])
        assert after[2] == numpy_state[2]
    assert torch.get_num_threads() == threads
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_a_random_state_instance_gives_each_fit_its_own_seed(digits):
    X, _, y, _ = digits
    state = np.random.RandomState(3)  # noqa: NPY002
    a, b = (to_bytes(mlp(random_state=state).fit(X, y).packed_) for _ in range(2))
    assert a != b
    again = np.random.RandomState(3)  # noqa: NPY002
    assert to_bytes(mlp(random_state=again).fit(X, y).packed_) == a


def test_fits_in_threads_equal_fits_in_sequence(digits):
    X, _, y, _ = digits
    techniques = ("float", "binaryconnect-stochastic", "bnn", "lqnets", "bit")
    jobs = [(technique, seed) for technique in techniques for seed in (0, 1)]

    def fit(job):
        # Large and small steps side by side, each with its own number of threads.
        sizes = (1024,) if job == ("bnn", 0) else (24,)
        est = mlp(*job, max_iter=2).set_params(hidden_layer_sizes=sizes).fit(X, y)
        return to_bytes(est.packed_), {k: v.tobytes() for k, v in est.state_.items()}

    one_by_one = [fit(job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(fit, jobs))
    assert together == one_by_one
    assert len({packed for packed, _ in one_by_one}) == len(jobs)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("fitted", [False, True])
def test_a_broken_fit_passes_through_and_changes_nothing(
    error, method, fitted, digits, monkeypatch
):
    X, _, y, _ = digits
    est = mlp(warm_start=True)
    if fitted:
        est.fit(X, y)
    before = copy.deepcopy(vars(est))
    packed = getattr(est, "packed_", None)
    threads = torch.get_num_threads()
    ends = iter([None, None])

    def interrupt(self, net, **kwargs):
        if next(ends, error) is error:
            raise error

    monkeypatch.setattr(training._Steps, "on_batch_end", interrupt)
    arguments = {"classes": np.arange(10)} if method == "partial_fit" else {}
    with pytest.raises(error):
        getattr(est, method)(X, y, **arguments)
    assert getattr(est, "packed_", None) is packed
    assert torch.get_num_threads() == threads
    learned = {name for name in vars(est) if name.endswith("_")} - {"n_features_in_"}
    assert learned == {name for name in before if name.endswith("_")} - {"n_features_in_"}
    if fitted:
        for name, array in before["state_"].items():
            np.testing.assert_array_equal(est.state_[name], array)
        assert est.n_iter_ == before["n_iter_"]


@pytest.mark.parametrize("technique", list_techniques())
def test_no_torch_object_survives_a_fit(technique, digits):
    X, _, y, _ = digits
    est = BinaryLogisticRegression(technique=technique, max_iter=1, random_state=0).fit(X, y)
    est.partial_fit(X, y)

    def kinds(value):
        yield type(value).__module__.split(".")[0]
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            for item in value:
                yield from kinds(item)

    assert "torch" not in set(kinds(vars(est)))
    assert {array.dtype for array in est.state_.values()} == {np.dtype(np.float32)}
