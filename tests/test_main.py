"""``python -m skbnn`` on digits: what it prints and what it writes."""

import csv
import json

import pytest

from skbnn.__main__ import main

FAMILIES = {
    "k-means 10": ["float", "binary"],
    "k-means 256": ["float", "binary"],
    "logistic": ["float", "bnn"],
    "MLP 20": ["float", "binaryconnect", "bnn"],
    "CNN 32-64": ["float", "bnn"],
    "transformer 128": ["float", "bnn"],
}
MODELS = [f"{family}, {t}" for family, techniques in FAMILIES.items() for t in techniques]


@pytest.mark.filterwarnings("error")
def test_digits(tmp_path, capsys):
    files = {"json": tmp_path / "out.json", "csv": tmp_path / "out.csv"}
    arguments = [f"--{kind}={path}" for kind, path in files.items()]
    assert main(["--max-iter", "1", "--hidden-layer-sizes", "20", *arguments]) is None
    head, *rest = capsys.readouterr().out.splitlines()
    assert head == "digits: 1,347 training rows, 450 test rows, 64 features"
    assert [line.split(": accuracy")[0].strip() for line in rest[: len(MODELS)]] == MODELS
    table = rest[len(MODELS) + 1 :]
    assert table[0].split()[:2] == ["model", "accuracy"]
    assert [line.split("  ")[0] for line in table[1:]] == MODELS

    written = json.loads(files["json"].read_text())
    assert [result["model"] for result in written["results"]] == MODELS
    assert written["setting"]["n_test"] == 450
    assert written["setting"]["n_train"] == 1347
    for result in written["results"]:
        family, technique = result["model"].rsplit(", ", 1)
        assert written["reference"][result["model"]] == f"{family}, float"
        assert (result["ratio"] == 1) == (technique == "float")
    with files["csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == MODELS
    assert [float(row["accuracy"]) for row in rows] == [r["accuracy"] for r in written["results"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "no/such/folder/out.json"], "there is no folder no/such/folder"),
        (["--csv", "no/such/folder/out.csv"], "to write out.csv in"),
        (["--data", "cifar"], "invalid choice: 'cifar'"),
        (["--max-iter", "few"], "'few' is no positive whole number"),
        (["--max-iter", "0"], "'0' is no positive whole number"),
        (["--repeats", "-1"], "'-1' is no positive whole number"),
        (["--hidden-layer-sizes", "64", "0"], "'0' is no positive whole number"),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_repeats_are_different_fits(capsys, monkeypatch):
    from skbnn import __main__

    seen = {}
    monkeypatch.setattr(
        __main__, "compare_models", lambda models, *a, **kw: seen.update(models, **kw)
    )
    main(["--repeats", "2"])
    assert seen["n_repeats"] == 2
    assert seen["logistic, bnn"].random_state is None
    main(["--seed", "5"])
    assert seen["n_repeats"] == 1
    assert seen["logistic, bnn"].random_state == seen["random_state"] == 5
