"""The example of README.md runs and shows what the text promises."""

import re
from pathlib import Path

import skbnn


def test_example(capsys):
    readme = (Path(skbnn.__file__).parent.parent / "README.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    exec(compile(example, "README.md", "exec"), {"__name__": "__main__"})
    rows = capsys.readouterr().out.splitlines()
    pattern = re.compile(r"(\w+) +accuracy ([\d.]+) +([\d,]+) bytes")
    figures = {
        match[1]: (float(match[2]), int(match[3].replace(",", "")))
        for match in map(pattern.fullmatch, rows)
    }
    assert figures["float"][0] > 0.9
    assert figures["bnn"][0] > 0.9
    assert figures["bnn"][1] < figures["float"][1] / 8
