"""What a billion images cost, counted up from stored constants, for the page on clusters."""

import json

from study import GENERATED, RESULTS

__all__ = ["costs", "make_all"]

_BILLION, _HOUR = 10**9, 3600
_RAW_BYTES = 784
_LINK = 1.25e9
_BATCHES = (256, 8192)
_CHECKED = "mlp 256-256, 3 bits a pixel"


def stored(name):
    """Return the rows of a benchmark's stored figures; none where it has not been run."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def listing(name):
    """Return a benchmark's stored text as a literal block; nothing where it has not been run."""
    path = RESULTS / f"{name}.txt"
    if not path.exists():
        return ""
    lines = path.read_text().rstrip().splitlines()
    head = [".. code-block:: none", "   :class: measured", ""]
    return "\n".join([*head, *(f"   {line}".rstrip() for line in lines), ""])


def costs(row):
    """Return what a billion images cost one network: core-hours, and gigabytes.

    Parameters
    ----------
    row : dict
        Constants of a network, as ``bench_scale.py`` stores them.

    Returns
    -------
    costs : dict of str to float
    """
    hours = {
        what: _BILLION / row[f"{what}/s"] / _HOUR for what in ("packed", "predicted", "trained")
    }
    # Each process sends and receives nearly two float32 numbers for a weight and update.
    gradients = {
        f"gradients, {batch}": 8 * row["latent weights"] * _BILLION / batch / 1e9
        for batch in _BATCHES
    }
    return {**hours, "bits": row["bytes an image"] * _BILLION / 1e9, **gradients}


def billion(rows):
    """Return the costs of a billion images as a table, a column for each network."""
    found = [costs(row) for row in rows]
    kinds = {
        "packed": "to pack them, core-hours",
        "predicted": "to classify them, core-hours",
        "trained": "to train on them once, core-hours",
        "bits": "their bits, GB",
        **{
            f"gradients, {batch}": f"gradients of a process, batches of {batch:,}, GB"
            for batch in _BATCHES
        },
    }
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - a billion images"]
    lines += [f"     - {row['network']}" for row in rows]
    for kind, words in kinds.items():
        lines.append(f"   * - {words}")
        lines += [f"     - {_short(one[kind])}" for one in found]
    return "\n".join([*lines, ""])


def _short(number):
    """Return a number with two digits that count."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def link(rows):
    """Return how a core compares with the network that feeds it."""
    fed = _LINK / _RAW_BYTES
    least = min(row["packed/s"] for row in rows if row["network"].startswith("mlp"))
    seconds = _BILLION * _RAW_BYTES / _LINK
    return (
        f"As bytes they are {_BILLION * _RAW_BYTES / 1e9:,.0f} GB. A link of 10 Gbit/s carries "
        f"{fed / 1e6:.1f} million of them a second, all of them in {seconds / 60:.0f} minutes; "
        f"one core packs {least / 1e6:.1f} million a second for a dense network.\n"
    )


def check(rows, measured):
    """Return how the largest run compares with the constants; nothing where there is none."""
    runs = [row for row in measured if row.get("what") == "predict"]
    constants = [row["predicted/s"] for row in rows if row["network"] == _CHECKED]
    if not (runs and constants):
        return ""
    run, rate = runs[0], runs[0]["from disk, images/s"]
    return (
        f"Checked against the largest run: {run['images']:,} images were classified from a file of "
        f"{run['GB']:.1f} GB at {rate:,.0f} a second of one core, {100 * rate / constants[0]:.0f} "
        f"% of the constant for *{_CHECKED}*. At that rate a billion images take "
        f"{_BILLION / rate / _HOUR:.2f} core-hours.\n"
    )


def make_all(app=None):
    """Write the parts of the page that are made from stored figures."""
    rows = [row for row in stored("scale") if "network" in row]
    parts = [billion(rows), link(rows), check(rows, stored("out_of_core"))] if rows else []
    GENERATED.mkdir(exist_ok=True)
    (GENERATED / "billion.rst").write_text("\n".join(parts))
    (GENERATED / "processes.rst").write_text(listing("processes"))
