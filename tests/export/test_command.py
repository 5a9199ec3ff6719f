"""``python -m skbnn export-c``: what it writes and what it refuses."""

import pytest

from skbnn.__main__ import main
from skbnn.export import to_c, to_c_files


def test_a_header_and_two_files(models, tmp_path, capsys):
    model, _ = models["mlp"]
    saved = str(tmp_path / "model.skbnn")
    model.save(saved)
    assert main(["export-c", saved, "-o", str(tmp_path / "net.h")]) is None
    assert (tmp_path / "net.h").read_text() == to_c(model, "net") == model.to_c("net")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["cortex-m0plus", "cortex-m4", "avr", "host"]
    main(["export-c", saved, "-o", str(tmp_path / "out.c"), "--name", "robot", "--proba"])
    header, source = to_c_files(model, "robot", proba=True)
    assert (tmp_path / "robot.h").read_text() == header
    assert (tmp_path / "out.c").read_text() == source


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.skbnn", "-o", "9.h"], "no prefix of C names"),
        (["none.skbnn", "-o", "net.h"], "No such file"),
        (["model.skbnn"], "required: -o"),
        (["model.skbnn", "-o", "no/folder/net.h"], "No such file"),
        (["bad.skbnn", "-o", "net.h"], "not a usable skbnn model"),
        (["codewords.skbnn", "-o", "net.h", "--proba"], "gives no probabilities"),
    ],
)
def test_bad_arguments(models, arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    models["mlp"][0].save("model.skbnn")
    models["codewords"][0].save("codewords.skbnn")
    (tmp_path / "bad.skbnn").write_bytes(b"bad")
    with pytest.raises(SystemExit) as stop:
        main(["export-c", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
