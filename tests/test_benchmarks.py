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
    "bench_fit.py": ["--batches", "1", "--seconds", "0.01"],
}


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


@pytest.mark.slow
@pytest.mark.parametrize("script", QUICK)
def test_benchmark_runs(script, tmp_path):
    path = tmp_path / "figures.json"
    command = [sys.executable, str(FOLDER / script), *QUICK[script], "--json", str(path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    figures = json.loads(path.read_text())
    assert figures["processor"] and figures["versions"]["skbnn"]
    assert len(figures["rows"]) >= 3
    text = path.with_suffix(".txt").read_text()
    for row in figures["rows"]:
        name = next(iter(row.values()))
        assert name in text and name in result.stdout
