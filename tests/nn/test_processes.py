"""Processes that train together: one of them, none of them missing, and two of them."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import skbnn
from skbnn import BinaryMLPClassifier
from skbnn.nn.processes import ALONE, processes_of

SCRIPT = Path(__file__).with_name("together.py")
CHECKS = [
    line.split("(")[0].removeprefix("def ")
    for line in SCRIPT.read_text().splitlines()
    if line.startswith("def check_")
]


def free_port():
    """A port that nobody listens to."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        return listener.getsockname()[1]


def launch(n, *command):
    """Run a script as accelerate's users do; on a machine without GPUs too."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(n)]
    launcher += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    # A port of its own, so that two launches do not meet.
    launcher += ["--multi_gpu", "--main_process_port", str(free_port())] if n > 1 else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [*launcher, *map(str, command)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=600,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the checks of two processes found."""
    pytest.importorskip("accelerate", reason="needs accelerate")
    path = tmp_path_factory.mktemp("together") / "found.json"
    result = launch(2, SCRIPT, path)
    assert result.returncode == 0, result.stderr
    return json.loads(path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_two_processes(check, found):
    assert found["count"] == 2
    assert found[check] == ["", ""], "\n".join(found[check])


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2])
def test_example(n, tmp_path, mnist):
    pytest.importorskip("accelerate", reason="needs accelerate")
    script = Path(skbnn.__file__).parent.parent / "examples/distributed/train_together.py"
    path = tmp_path / "digits.skbnn"
    result = launch(n, script, "--epochs", 1, "--rows", 2000, "--out", path)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert line.startswith(f"{n} processes, ")
    model = skbnn.load(path)
    accuracy = (model.predict(mnist.data[mnist.test]) == mnist.target[mnist.test]).mean()
    assert line.endswith(f"test accuracy {accuracy:.4f}")


def test_alone_nothing_is_exchanged(digits):
    x = torch.arange(3.0, requires_grad=True)
    assert ALONE.sum(x) is x
    assert ALONE.total(5) == 5
    assert ALONE.agree(x) is x
    assert ALONE.averaged(x) is x
    np.testing.assert_array_equal(ALONE.part(np.arange(4)), np.arange(4))
    pytest.importorskip("accelerate", reason="needs accelerate")
    X, _, y, _ = digits
    cpu, launched = (
        BinaryMLPClassifier((8,), max_iter=1, random_state=0, device=device).fit(X, y)
        for device in ("cpu", "accelerate")
    )
    assert launched.packed_ == cpu.packed_


def test_devices(monkeypatch):
    assert processes_of("cpu") == ALONE
    for device in ("gpu", "cuda:99"):
        with pytest.raises(ValueError, match=f"torch cannot use device='{device}'; 'cpu' always"):
            processes_of(device)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r"needs accelerate: pip install"):
        processes_of("accelerate")


def test_fits_that_joblib_shares_out_are_refused(monkeypatch):
    pytest.importorskip("accelerate", reason="needs accelerate")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match=r"needs n_jobs=None"):
        pool.submit(processes_of, "accelerate").result()
    monkeypatch.setattr(multiprocessing.current_process(), "name", "LokyProcess-3")
    with pytest.raises(ValueError, match=r"needs n_jobs=None in searches"):
        processes_of("accelerate")
