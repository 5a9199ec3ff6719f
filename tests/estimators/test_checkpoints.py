"""Fits that are interrupted: nothing is half-fitted, and a checkpoint goes on to the same model."""

import itertools
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import skbnn
from skbnn import BinaryCNNClassifier, BinaryMLPClassifier, KMeansClassifier
from skbnn.estimators._checkpoint import Checkpoint
from skbnn.packed.format import to_bytes
from skbnn.techniques import get_technique, list_techniques

PACKAGE = str(Path(skbnn.__file__).parent)


def mlp(**params):
    return BinaryMLPClassifier((16,), **{"random_state": 0, "max_iter": 6, **params})


@pytest.fixture(scope="module")
def few(digits):
    X, _, y, _ = digits
    return X[:300], y[:300]


class Killed(Exception):
    """Stands for the end of the process."""


def fit_killed(estimator, X, y, epochs, monkeypatch):
    """Fit until some checkpoints have been written, as if the process ended then."""
    count = itertools.count(1)
    write = Checkpoint.write

    def written(self, state):
        write(self, state)
        if next(count) == epochs:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", written)
        with pytest.raises(Killed):
            estimator.fit(X, y)
    return estimator


def learned(estimator):
    """Everything that a fit sets, as one text."""
    names = sorted(name for name in vars(estimator) if name.endswith("_"))
    names.remove("packed_")
    values = [repr(vars(estimator)[name]) for name in names]
    arrays = [(name, array.tobytes()) for name, array in estimator.state_.items()]
    return [*zip(names, values, strict=True)], arrays, to_bytes(estimator.packed_)


FAST = [("bnn", False), ("float", True), ("bit", True)]
CASES = [
    pytest.param(*case, marks=() if case in FAST else pytest.mark.slow)
    for case in itertools.product(list_techniques(), (False, True))
]


@pytest.mark.parametrize(("technique", "early_stopping"), CASES)
def test_a_fit_goes_on_to_the_same_model(technique, early_stopping, few, tmp_path, monkeypatch):
    """Killed after the first epoch, the third and so on, in each of its stages."""
    params = {"technique": technique, "early_stopping": early_stopping, "n_iter_no_change": 3}
    params |= {"input_dropout": 0.1, "hidden_dropout": 0.1}
    whole = mlp(**params).fit(*few)
    path = tmp_path / "fit.ckpt"
    for epochs in range(1, whole.n_iter_ + 1, 2):
        est = fit_killed(mlp(**params, checkpoint=path), *few, epochs, monkeypatch)
        assert not hasattr(est, "packed_")
        # Another object, as in another process.
        again = mlp(**params, checkpoint=str(path)).fit(*few)
        assert learned(again) == learned(whole)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(3)])  # noqa: NPY002
def test_what_was_drawn_at_random_is_gone_on_with(random_state, few, tmp_path, monkeypatch):
    path = tmp_path / "fit.ckpt"
    est = mlp(random_state=random_state, checkpoint=path)
    fit_killed(est, *few, 2, monkeypatch)
    content = path.read_bytes()
    first = learned(est.fit(*few))
    path.write_bytes(content)
    assert first == learned(est.fit(*few)) != learned(est.fit(*few))
    if random_state is not None:
        again = np.random.RandomState(3)  # noqa: NPY002
        assert first == learned(mlp(random_state=again).fit(*few))


def test_a_warm_start_goes_on(few, tmp_path, monkeypatch):
    path = tmp_path / "fit.ckpt"
    once = mlp(warm_start=True).fit(*few)
    state = once.state_
    twice = mlp(warm_start=True).fit(*few).fit(*few)
    fit_killed(once.set_params(checkpoint=path), *few, 3, monkeypatch)
    assert once.state_ is state
    with pytest.raises(ValueError, match="the state that it started from"):
        mlp(warm_start=True, checkpoint=path).fit(*few)
    assert learned(once.fit(*few)) == learned(twice)


def test_another_fit_does_not_go_on(few, tmp_path, monkeypatch):
    X, y = few
    path = tmp_path / "fit.ckpt"
    fit_killed(mlp(checkpoint=path), X, y, 2, monkeypatch)
    content = path.read_bytes()
    own = replace(get_technique("bnn"), name="own")
    cases = [
        (mlp(max_iter=7), X, y, "max_iter was 6, and is 7"),
        (mlp(technique=own), X, y, "technique was 'bnn', and is Technique"),
        (mlp(random_state=1), X, y, "its seed is "),
        (mlp(), X[::-1][:299], y[::-1][:299], "X, y, sample_weight"),
        (mlp(), X, (y + 1) % 10, "X, y, sample_weight"),
        (mlp(), X, y * 2, "X, y, sample_weight"),
        (mlp(), np.where(X > 9, X + 1, X), y, "X, y, sample_weight"),
        (BinaryCNNClassifier((4,), random_state=0), X, y, "its estimator is BinaryMLPClassifier"),
    ]
    for est, *data, message in cases:
        with pytest.raises(ValueError, match=f"(?s)another fit: .*{message}.*remove the file"):
            est.set_params(checkpoint=path).fit(*data)
        assert not hasattr(est, "n_features_in_")
    with pytest.raises(ValueError, match="Classifier, not BinaryCNNClassifier. Fit as it"):
        BinaryCNNClassifier((4,), random_state=0, checkpoint=path).fit(X, y)
    monkeypatch.setattr("skbnn.estimators._checkpoint.version", lambda name: "9.9")
    with pytest.raises(ValueError, match=r"torch was [\d.]+\S*, and is 9\.9"):
        mlp(checkpoint=path).fit(X, y)
    monkeypatch.undo()
    assert path.read_bytes() == content
    # What does not change the model may change, and the order of rows never did.
    changed = {"n_jobs": 2, "verbose": 1, "hidden_layer_sizes": list(mlp().hidden_layer_sizes)}
    est = mlp(checkpoint=path).set_params(**changed).fit(X[::-1], y[::-1])
    assert learned(est) == learned(mlp().fit(X, y))


def test_a_damaged_checkpoint_is_refused(few, tmp_path, monkeypatch):
    path = tmp_path / "fit.ckpt"
    fit_killed(mlp(checkpoint=path), *few, 2, monkeypatch)
    whole = path.read_bytes()
    mlp().fit(*few).packed_.save(tmp_path / "model")
    rng = np.random.default_rng(0)
    damaged = [bytearray(whole) for _ in range(20)]
    for data, place in zip(damaged, rng.integers(0, len(whole), 20), strict=True):
        data[place] ^= 1 << rng.integers(8)
    damaged += [whole[:n] for n in (0, 7, 100, len(whole) - 1)]
    damaged += [whole + b"\0", b"x" * 1000, (tmp_path / "model").read_bytes()]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"fit\.ckpt is not a usable checkpoint: .*Remove"):
            mlp(checkpoint=path).fit(*few)
    path.write_bytes(whole)
    mlp(checkpoint=path).fit(*few)


def test_a_checkpoint_that_cannot_be_a_file_ends_the_fit_before_it_begins(few, tmp_path):
    for path in (tmp_path / "missing" / "fit.ckpt", tmp_path):
        est = mlp(checkpoint=path)
        with pytest.raises(ValueError, match="cannot be a file: .*a folder that exists"):
            est.fit(*few)
        assert not hasattr(est, "packed_")


class Interrupting:
    """A trace that raises KeyboardInterrupt at one of the lines of the package that run."""

    def __init__(self, at=None):
        self.at, self.lines, self.reached = at, 0, None

    def __call__(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                self.reached = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self

    def run(self, function):
        """Call a function; return whether it was interrupted."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            function()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False


def as_it_was(estimator, before):
    """Whether every attribute is the same object as before."""
    now = vars(estimator)
    return now.keys() == before.keys() and all(now[name] is before[name] for name in now)


@pytest.mark.parametrize("case", ["new", "fitted", "stream", "kmeans"])
def test_an_interrupt_at_any_moment_leaves_nothing_half_fitted(case, few, tmp_path):
    """Planted at lines of the package from the first to the last one of a fit."""
    X, y = few[0][:60], few[1][:60]
    checkpoint = tmp_path / "fit.ckpt"

    def made():
        if case == "kmeans":
            return KMeansClassifier(3, n_init=1, random_state=0).fit(X[:, :9], y)
        est = mlp(max_iter=2, early_stopping=case == "new", validation_fraction=0.2)
        if case == "fitted":
            # Of other features, labels and curves.
            est.set_params(early_stopping=True).fit(X[:, :50], y > 4)
            est.set_params(early_stopping=False, checkpoint=checkpoint)
        return est.partial_fit(X, y) if case == "stream" and hasattr(est, "packed_") else est

    def fit(est):
        if case == "stream":
            return lambda: est.partial_fit(X, y, classes=np.arange(10))
        return lambda: est.fit(X, np.minimum(y, 2))

    fit(made())()
    whole = Interrupting()
    assert not whole.run(fit(made()))
    # Densely at the beginning and at the end, where attributes are set; some in between.
    last = whole.lines
    places = {*range(1, 40, 3), *range(40, last, max(1, last // 12)), *range(last - 24, last + 1)}
    seen = set()
    est = made()
    before = dict(vars(est))
    for at in sorted(places):
        interrupt = Interrupting(at)
        checkpoint.unlink(missing_ok=True)
        if interrupt.run(fit(est)):
            seen.add(interrupt.reached)
        if not as_it_was(est, before):
            # Only whole: everything is there, and it predicts.
            assert est.packed_.n_features == est.n_features_in_ == 64, interrupt.reached
            assert len(est.predict(X)) == 60
            if case == "fitted":
                assert not hasattr(est, "validation_scores_")
            est = made()
            before = dict(vars(est))
    assert len(seen) > 15


FIT = """
import sys
from sklearn.datasets import load_digits
from skbnn import BinaryMLPClassifier

X, y = load_digits(return_X_y=True)
path, checkpoint = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
est = BinaryMLPClassifier((64,), technique="reactnet", max_iter=30, random_state=0)
est.set_params(early_stopping=True, n_iter_no_change=30, checkpoint=checkpoint, verbose=1)
est.fit(X, y).packed_.save(path)
"""


@pytest.mark.slow
def test_kill_9_at_random_moments(tmp_path):
    """The operating system ends the process, no exception: the next one goes on."""

    def process(*arguments):
        command = [sys.executable, "-c", FIT, *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    with process(tmp_path / "whole.skbnn") as first:
        first.stdout.read()
    assert first.returncode == 0
    rng = np.random.default_rng()
    for number in range(3):
        checkpoint = tmp_path / f"{number}.ckpt"
        with process(tmp_path / "killed.skbnn", checkpoint) as killed:
            # Right after the first epoch, or at any moment of the one after a later one, by the
            # pace of this very process: no load that comes or goes lets it reach its end.
            moments = []
            for epoch in range(1, rng.integers(2, 26)):
                assert killed.stdout.readline().startswith(f"epoch {epoch}/30")
                moments.append(time.perf_counter())
            time.sleep(rng.uniform(0.0, 1.0) * max(np.diff(moments[-2:]), default=0.0))
            killed.kill()
        assert killed.returncode == -9
        assert not (tmp_path / "killed.skbnn").exists()
        with process(tmp_path / "resumed.skbnn", checkpoint) as resumed:
            printed = resumed.stdout.read()
        assert resumed.returncode == 0
        # Killed before the first checkpoint was whole, it begins anew.
        assert printed.startswith(("goes on after epoch ", "epoch 1/30"))
        expected = (tmp_path / "whole.skbnn").read_bytes()
        assert (tmp_path / "resumed.skbnn").read_bytes() == expected
        assert not checkpoint.exists()
        (tmp_path / "resumed.skbnn").unlink()
