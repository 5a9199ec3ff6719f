"""``python -m skbnn export-c``: a saved model as C."""

import argparse
from pathlib import Path

from skbnn.export.c_source import to_c, to_c_files
from skbnn.export.footprints import TARGETS, footprint
from skbnn.packed import load

__all__ = ["export_c"]


def export_c(argv):
    """Write a saved model as C and print what it takes on each kind of device.

    Parameters
    ----------
    argv : list of str
        Arguments behind ``export-c``.
    """
    parser = argparse.ArgumentParser(
        prog="python -m skbnn export-c", description="Write a saved model as C99."
    )
    parser.add_argument("model", help="file that PackedModel.save wrote")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, required=True,
        help="a header to write, or with the ending .c a source file and its header",
    )  # fmt: skip
    parser.add_argument("--name", help="prefix of all names (default: the stem of FILE)")
    parser.add_argument("--proba", action="store_true", help="add class probabilities, as floats")
    arguments = parser.parse_args(argv)
    path, name = arguments.output, arguments.name or arguments.output.stem
    try:
        model = load(arguments.model, backend="numpy")
        if path.suffix == ".c":
            texts = to_c_files(model, name, proba=arguments.proba)
            # The source includes its header by the name of the model.
            paths = path.with_name(f"{name}.h"), path
        else:
            texts, paths = [to_c(model, name, proba=arguments.proba)], [path]
        for text, where in zip(texts, paths, strict=True):
            where.write_text(text)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    for target in TARGETS:
        print(footprint(model, target))
