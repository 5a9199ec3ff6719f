"""The benchmarks run, and write what they print."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples" / "benchmarks"
QUICK = {
    "bench_kernels.py": ["--rows", "1", "--seconds", "0.01"],
    "bench_predict.py": ["--only", "logistic", "start", "--seconds", "0.01"],
    "bench_fit.py": ["--batches", "1", "--rows", "600", "--seconds", "0.01"],
    "bench_families.py": ["--batches", "1", "--rows", "1", "64", "--seconds", "0.01"],
    "bench_planes.py": ["--rows", "1", "--seconds", "0.01"],
}
ON_MNIST = {
    "bench_scale.py": ["--seconds", "0.01", "--rows", "300"],
    "bench_processes.py": ["--networks", "mlp 512-512", "--seeds", "0", "--epochs", "1"]
    + ["--rows", "400"],
}
NEEDED = {"bench_processes.py": "accelerate"}
FITS = {
    "technique_table.py": ["--rows", "2000", "--epochs", "1", "--techniques", "bnn", "lqnets"],
    "reproduce_papers.py": ["--rows", "2000", "--epochs", "2", "--width", "40"],
}


@pytest.mark.slow
@pytest.mark.parametrize("script", FITS)
def test_fits_are_stored_and_not_repeated(script, tmp_path, mnist):
    path = tmp_path / "fits.json"
    command = [sys.executable, str(FOLDER / script), *FITS[script], "--json", str(path)]
    first = subprocess.run([*command, "--seeds", "0"], capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    stored = path.read_text()
    records = json.loads(stored)
    assert len(records) == {"technique_table.py": 2, "reproduce_papers.py": 3}[script]
    for record in records:
        assert len(record["loss_curve"]) == record["max_iter"] == record["epochs_run"]
        assert 0 < record["test_errors"] < record["n_test"] == 200
        assert record["nbytes"] > 1000
    again = subprocess.run([*command, "--seeds", "0"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert path.read_text() == stored
    assert first.stdout.endswith(again.stdout)
    assert all(line.startswith("| ") for line in again.stdout.splitlines())


@pytest.mark.slow
def test_study_runs_and_goes_on(tmp_path, mnist):
    trial = ["--rows", "300", "--epochs", "1", "--seeds", "1", "--results", str(tmp_path)]
    command = [sys.executable, str(FOLDER / "mnist_study.py"), *trial]
    families = ["--families", "k-means 10", "logistic"]
    for _ in range(2):
        result = subprocess.run([*command, *families], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
    assert result.stdout.count("measured before") == 5
    assert len(list((tmp_path / "mnist").iterdir())) == 5
    stored = json.loads((tmp_path / "mnist.json").read_text())
    assert list(stored["comparisons"]) == ["k-means 10", "logistic"]
    (run,) = (r for r in stored["comparisons"]["logistic"]["runs"] if r["model"].endswith("bnn"))
    assert run["n_train"] == run["n_test"] == 300
    assert stored["pair"]["bnn"]["bits"] == stored["pair"]["bnn"]["weights"]

    again = subprocess.run([*command, "--times", *families[:2]], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    timed = json.loads((tmp_path / "mnist.json").read_text())["comparisons"]["k-means 10"]
    before = stored["comparisons"]["k-means 10"]
    for new, old in zip(timed["runs"], before["runs"], strict=True):
        assert new["one_us"] != old["one_us"] and new["accuracy"] == old["accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize("script", [*QUICK, *ON_MNIST])
def test_benchmark_runs(script, tmp_path, request):
    if script in ON_MNIST:
        request.getfixturevalue("mnist")
        pytest.importorskip(NEEDED.get(script, "skbnn"))
    path = tmp_path / "figures.json"
    options = {**QUICK, **ON_MNIST}[script]
    command = [sys.executable, str(FOLDER / script), *options, "--json", str(path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    figures = json.loads(path.read_text())
    assert figures["processor"] and figures["versions"]["skbnn"]
    assert len(figures["rows"]) >= 3
    text = path.with_suffix(".txt").read_text()
    for row in figures["rows"]:
        name = next(iter(row.values()))
        assert name in text and name in result.stdout
