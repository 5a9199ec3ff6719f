"""A comparison's text, table, frame, JSON and CSV show the same numbers."""

import csv
import io
import json
from dataclasses import fields

import numpy as np
import pytest

from skbnn.inspection import Comparison, ModelResult
from skbnn.inspection.results import confidence


def record(model, accuracy, nbytes, size="packed", seconds=0.25, **values):
    """What was measured of one fit."""
    return {
        "model": model,
        "repeat": 0,
        "accuracy": accuracy,
        "confusion": [[20, 5], [0, 25]],
        "nbytes": nbytes,
        "size": size,
        "fit_seconds": seconds,
        "fit_cpu_seconds": seconds,
        "fit_peak_nbytes": 2_500_000,
        "one_us": [3.0, 3.21, 4.0],
        "batch_us": [0.03, 0.0321, 0.033],
        "float32_us": None,
        "predict_peak_nbytes": None,
        "binary_ops": None,
        "float_ops": None,
        **values,
    }


FLOAT32 = {"float32_one_us": [1.0, 2.0, 3.0], "float32_us": [0.1, 0.2, 0.3]}


@pytest.fixture
def comparison():
    runs = [
        record("a, <b>", 0.98, 123_456, "pickle", 1.5, **FLOAT32),
        record("a, <b>", 0.96, 123_456, "pickle", 2.5, **FLOAT32),
        record("bits", 0.5, 1234, binary_ops=1_000_000, float_ops=0),
        record("none", 1.0, 99),
        {"model": "bad", "repeat": 0, "error": "ValueError: <no> luck"},
    ]
    return Comparison(runs, {"bits": "a, <b>"}, {"n_tested": 50, "labels": [0, 1]})


def test_text(comparison):
    head, *rows, failed = str(comparison).splitlines()
    assert repr(comparison) == str(comparison)
    named = (
        "model, accuracy, 95 %, bytes, stored as, smaller, fit s, fit MB, one, us, in float32, "
        "batch, us/row, batch in float32"
    )
    assert (
        head.split()
        == f"{named}, binary ops, float ops".replace(", ", " ")
        .replace("one us", "one, us")
        .replace("batch us", "batch, us")
        .split()
    )
    assert rows[0].startswith(
        "a, <b>    0.9700  0.880-0.993  123,456  pickle           -  2.00 ±25%"
    )
    first, second = "0.5000 0.366-0.634 1,234 packed 100.0x", "0.250 2.5 3.21 ±16% - 0.032 ±5%"
    assert rows[1].split() == f"bits {first} {second} - 1,000,000 0".split()
    assert rows[2].split()[5] == "-"
    assert failed == "failed: bad, repeat 0: ValueError: <no> luck"


def test_html(comparison):
    html = comparison._repr_html_()
    assert "a, &lt;b&gt;" in html
    assert "<b>" not in html and "<no>" not in html
    assert html.count("<tr>") == 4
    # No column where no model has anything to say.
    assert html.count("<td ") == 3 * 14
    assert "predict MB" not in html
    assert "123,456" in html
    assert "ValueError: &lt;no&gt; luck" in html


def test_data_forms_agree(comparison):
    names = [field.name for field in fields(ModelResult)]
    frame = comparison.to_frame()
    assert list(frame.columns) == names[1:]
    assert list(frame.index) == ["a, <b>", "bits", "none"]
    assert frame.loc["a, <b>", "accuracy"] == 0.97
    assert frame.loc["a, <b>", "fit_seconds"] == 2
    assert np.isnan(frame.loc["none", "ratio"])

    data = json.loads(comparison.to_json())
    assert data == comparison.to_dict()
    assert data["results"][1]["nbytes"] == 1234
    assert data["results"][2]["ratio"] is None
    assert data["reference"] == {"bits": "a, <b>"}
    assert str(Comparison.from_dict(data)) == str(comparison)

    rows = list(csv.reader(io.StringIO(comparison.to_csv())))
    assert rows[0] == names
    assert rows[1][:3] == ["a, <b>", "2", "0.97"]
    assert rows[3][names.index("ratio")] == ""
    assert {len(row) for row in rows} == {len(names)}


def test_csv_of_quotes():
    text = Comparison([record('say "a", twice', 1.0, 1)], {}, {"n_tested": 9}).to_csv()
    assert list(csv.reader(io.StringIO(text)))[1][0] == 'say "a", twice'


def test_confusion(comparison):
    np.testing.assert_array_equal(comparison.confusion("a, <b>"), [[40, 10], [0, 50]])
    with pytest.raises(ValueError, match="Nothing was measured of 'bad'"):
        comparison.confusion("bad")


@pytest.mark.parametrize(
    ("accuracies", "n", "expected"),
    [
        # Wilson's interval, in closed form for no error and for one half.
        ([1.0], 50, (0.0, 50 / (50 + 1.96**2), 1.0)),
        ([0.5], 100, (0.05, 0.4038, 0.5962)),
        # Two runs that differ tell less than their test rows: as much as 25 rows would.
        ([0.4, 0.6], 10_000, (0.1, 0.3175, 0.6825)),
    ],
)
def test_confidence(accuracies, n, expected):
    assert confidence(np.array(accuracies), n) == pytest.approx(expected, abs=2e-4)
