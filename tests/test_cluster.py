"""Searches on a cluster: the scores of a search in one process, also where a worker is killed."""

import os
import signal
from functools import partial

import joblib
import numpy as np
import pytest
from scipy.stats import randint
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV

from skbnn import BinaryMLPClassifier, compare_models

GRID = {"technique": ["bnn", "xnornet"], "hidden_layer_sizes": [(16,), (24,)]}
SEARCHES = {
    "grid": lambda est: GridSearchCV(est, GRID, cv=3),
    "randomized": lambda est: RandomizedSearchCV(
        est, {"n_thresholds": randint(1, 8), **GRID}, n_iter=4, cv=3, random_state=0
    ),
    "halving": lambda est: HalvingGridSearchCV(
        est, GRID, resource="max_iter", min_resources=1, max_resources=4, factor=2, cv=3
    ),
}


@pytest.fixture(scope="module")
def rows(digits):
    X, _, y, _ = digits
    return X[:400], y[:400]


@pytest.fixture(scope="module")
def client():
    """A client of a cluster of two processes of one thread each, both of which keep the data."""
    dask = pytest.importorskip("dask", reason="needs dask")
    distributed = pytest.importorskip("distributed", reason="needs distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        dask.config.set({"distributed.scheduler.active-memory-manager.start": False}),
        distributed.LocalCluster(**settings) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.scatter = partial(client.scatter, broadcast=True)
        yield client


@pytest.fixture(scope="module")
def alone(rows):
    """The results of every search in one process."""
    est = BinaryMLPClassifier(max_iter=3, random_state=0)
    return {name: make(est).fit(*rows) for name, make in SEARCHES.items()}


def assert_same(search, expected):
    """Compare the scores of two searches, split by split."""
    found, expected = search.cv_results_, expected.cv_results_
    assert len(found["params"]) * search.n_splits_ >= 12
    assert found["params"] == expected["params"]
    names = [name for name in expected if name.endswith("_score")]
    assert {"mean_test_score", "split2_test_score", "rank_test_score"} <= set(names)
    for name in names:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def threads():
    """How many threads torch takes in this process."""
    import torch

    return torch.get_num_threads()


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("backend", ["dask", "loky", "threading"])
def test_scores_are_those_of_one_process(backend, name, alone, rows, request):
    if backend == "dask":
        client = request.getfixturevalue("client")
        assert set(client.run(threads).values()) == {1}
    search = clone(alone[name]).set_params(n_jobs=2)
    with joblib.parallel_config(backend=backend):
        assert_same(search.fit(*rows), alone[name])


@pytest.mark.slow
def test_comparison_on_a_cluster(client, rows, tmp_path):
    models = {t: BinaryMLPClassifier(technique=t, max_iter=2) for t in ("float", "bnn")}
    settings = {"cv": 3, "random_state": 0}
    alone = compare_models(models, *rows, **settings)
    with joblib.parallel_config(backend="dask"):
        for _ in range(2):
            shared = compare_models(models, *rows, **settings, resume_dir=tmp_path)
            found = [r.accuracy for r in shared.results]
            assert found == [r.accuracy for r in alone.results]
    assert len(list(tmp_path.glob("*.json"))) == 6
    assert not shared.estimators_


class KillsOnce:
    """A scorer that kills the process it is in, the first time that one candidate is scored.

    Parameters
    ----------
    path : Path
        A file that is there once the process has been killed.
    """

    def __init__(self, path):
        self.path = path

    def __call__(self, estimator, X, y):
        """Return the accuracy."""
        if estimator.hidden_layer_sizes == (24,) and not self.path.exists():
            self.path.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return estimator.score(X, y)


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(client, alone, rows, tmp_path):
    before = set(client.run(os.getpid).values())
    killed = tmp_path / "killed"
    search = clone(alone["grid"]).set_params(n_jobs=2, scoring=KillsOnce(killed))
    with joblib.parallel_config(backend="dask"):
        assert_same(search.fit(*rows), alone["grid"])
    client.wait_for_workers(2)
    after = set(client.run(os.getpid).values())
    assert int(killed.read_text()) in before - after


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_ray(alone, rows):
    ray = pytest.importorskip("ray", reason="needs ray")
    from ray.util.joblib import register_ray

    register_ray()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        search = clone(alone["grid"]).set_params(n_jobs=2)
        with joblib.parallel_config(backend="ray"):
            assert_same(search.fit(*rows), alone["grid"])
            assert joblib.Parallel(n_jobs=2)(joblib.delayed(threads)() for _ in range(2)) == [1, 1]
    finally:
        ray.shutdown()
