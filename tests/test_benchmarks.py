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
