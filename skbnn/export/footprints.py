"""What an exported model takes on a device: flash, memory and work, before anything is flashed.

Tables and static memory are exact, for the exporter lays them out itself. Code is estimated from
the generated text: so many bytes for each statement, and for each piece of the runtime that a
compiler cannot inline away. The numbers of :data:`TARGETS` were fitted to compiled programs by
``examples/benchmarks/bench_footprint.py``, which also prints how far they are off;
:func:`measure` compiles a model and asks the compiler itself.
"""

import re
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from skbnn.export.c_source import Source
from skbnn.packed.checks import require

__all__ = ["TARGETS", "AccuracyWithin", "Footprint", "Target", "features", "footprint", "measure"]

_BARE = "-nostartfiles -ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,-e,main"
_MAIN = """\
#include "net.h"
volatile int32_t result;
{input} features[NET_N_FEATURES];
int main(void)
{{
    result = net_predict(features);
    return 0;
}}
"""


@dataclass(frozen=True)
class Target:
    """A kind of device.

    Parameters
    ----------
    tools : str
        What the names of its compiler tools begin with.
    flags : str
        How a program is built to measure it.
    code : tuple of float
        Bytes of code for each of :func:`features`.
    """

    tools: str
    flags: str
    code: tuple[float, ...]


TARGETS = MappingProxyType(
    {
        "cortex-m0plus": Target(
            "arm-none-eabi-",
            f"-mcpu=cortex-m0plus -mthumb -Os --specs=nosys.specs {_BARE}",
            (201.3, 521.6, -2.4, 122.6, 125.0, 5.43, 0.48),
        ),
        "cortex-m4": Target(
            "arm-none-eabi-",
            "-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -Os --specs=nosys.specs "
            + _BARE,
            (194.9, 16.9, 8.6, 144.8, 136.2, 4.35, 0.77),
        ),
        "avr": Target(
            "avr-", f"-mmcu=atmega2560 -Os {_BARE}", (605.8, 125.5, 434.4, 44.7, -389.7, 5.76, 4.46)
        ),
        "host": Target(
            "",
            "-O2 -fno-asynchronous-unwind-tables -c",
            (103.7, 15.4, 191.9, 204.7, 12.8, 6.99, 5.62),
        ),
    }
)
"""Known targets by name."""


@dataclass(frozen=True)
class Footprint:
    """What a model takes on a target.

    Parameters
    ----------
    target : str
        Name of the target.
    table_nbytes, code_nbytes : int
        Bytes of flash for tables and for code.
    ram_nbytes : int
        Bytes of static memory; the caller's input is not counted, nor is the stack.
    binary_ops : int
        Pairs of bits compared and counted for one row.
    """

    target: str
    table_nbytes: int
    code_nbytes: int
    ram_nbytes: int
    binary_ops: int

    @property
    def flash_nbytes(self):
        """Bytes of flash."""
        return self.table_nbytes + self.code_nbytes

    def to_dict(self):
        """Return everything as plain data.

        Returns
        -------
        footprint : dict
        """
        return asdict(self) | {"flash_nbytes": self.flash_nbytes}

    def __str__(self):
        """Return one line."""
        return (
            f"{self.target}: {self.flash_nbytes:,} bytes of flash ({self.table_nbytes:,} tables, "
            f"{self.code_nbytes:,} code), {self.ram_nbytes:,} bytes of RAM, "
            f"{self.binary_ops:,} binary operations a row"
        )


def footprint(model, target="cortex-m0plus"):
    """Estimate what an exported model takes on a target.

    Parameters
    ----------
    model : PackedModel
        A model that :func:`skbnn.export.to_c` exports.
    target : {"cortex-m0plus", "cortex-m4", "avr", "host"}, default="cortex-m0plus"
        Kind of device; code is compiled for size, that of the host for speed.

    Returns
    -------
    footprint : Footprint
        Code is an estimate, everything else is exact but for what a linker aligns.

    Raises
    ------
    ValueError
        If the target is unknown, or the model cannot be exported.
    """
    known = _target(target)
    source = Source(model, "net")
    code = sum(factor * n for factor, n in zip(known.code, features(source), strict=True))
    return _footprint(source, target, round(code))


def measure(model, target="cortex-m0plus"):
    """Compile a model for a target and measure what it takes.

    Parameters
    ----------
    model : PackedModel
        As for :func:`footprint`.
    target : str, default="cortex-m0plus"
        As for :func:`footprint`.

    Returns
    -------
    footprint : Footprint

    Raises
    ------
    ValueError
        If the target is unknown, or the model cannot be exported.
    RuntimeError
        If the target's compiler is missing, or fails.
    """
    known = _target(target)
    compiler, size = (shutil.which(known.tools + tool) for tool in ("gcc", "size"))
    if compiler is None or size is None:
        raise RuntimeError(f"{known.tools}gcc and {known.tools}size are not on the PATH.")
    source = Source(model, "net")
    with tempfile.TemporaryDirectory(prefix="skbnn-") as folder:
        Path(folder, "net.h").write_text(source.header())
        Path(folder, "main.c").write_text(_MAIN.format(input=source.input_type))
        command = [compiler, "-std=c99", *known.flags.split(), "-o", "net.elf", "main.c"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{compiler} cannot build the model: {done.stderr.strip()}")
        sizes = subprocess.run([size, "net.elf"], cwd=folder, capture_output=True, text=True)
    text, data, bss = map(int, sizes.stdout.splitlines()[1].split()[:3])
    # The caller's row and result are no part of the model.
    own = model.n_features * (1 if source.input_type == "uint8_t" else 4) + 4
    return _footprint(source, target, text + data - source.table_nbytes, bss + data - own)


def features(source):
    """Return what the code of a program is estimated from.

    Parameters
    ----------
    source : Source
        The program.

    Returns
    -------
    counts : tuple of int
        One; whether inputs are floats; whether it has windows, copied bits and compared parts of
        rows; statements of all functions; words and signs of the forward pass.
    """
    needed = source.pieces()
    forward = source.forward()
    text = "\n".join([*source.program.functions, forward])
    pieces = [int(name in needed) for name in ("window", "copy", "differ")]
    is_float = int(source.input_type == "float")
    return 1, is_float, *pieces, text.count(";"), len(re.findall(r"\w+|[^\w\s]", forward))


def _target(name):
    known = TARGETS.get(name)
    require(known is not None, f"Unknown target {name!r}; known are {', '.join(TARGETS)}.")
    return known


def _footprint(source, target, code_nbytes, ram_nbytes=None):
    ram_nbytes = source.memory_nbytes if ram_nbytes is None else ram_nbytes
    operations = source.model.summary().binary_ops
    return Footprint(target, source.table_nbytes, code_nbytes, ram_nbytes, operations)


@dataclass(frozen=True)
class AccuracyWithin:
    """A scorer: accuracy, subject to a budget of bytes on a device.

    A model beyond the budget scores minus the factor by which it exceeds it, so that a search
    prefers every model that fits to every one that does not, and smaller ones among the latter. A
    model that cannot be exported has no score: a search counts it as failed and ranks it last.

    Parameters
    ----------
    flash, ram : int, default=None
        Most bytes of flash and of RAM; None is no limit.
    target : str, default="cortex-m0plus"
        As for :func:`footprint`.

    Raises
    ------
    ValueError
        If the target is unknown; when called, if the model cannot be exported.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skbnn import BinaryLogisticRegression
    >>> from skbnn.export import AccuracyWithin
    >>> X, y = load_iris(return_X_y=True)
    >>> search = GridSearchCV(
    ...     BinaryLogisticRegression(random_state=0, max_iter=5),
    ...     {"n_thresholds": [3, 50]},
    ...     scoring=AccuracyWithin(flash=1200),
    ... ).fit(X, y)
    >>> search.best_params_
    {'n_thresholds': 3}
    """

    flash: int | None = None
    ram: int | None = None
    target: str = "cortex-m0plus"

    def __post_init__(self):
        _target(self.target)

    def __call__(self, estimator, X, y):
        """Return the score of a fitted estimator, or of a pipeline that ends in one."""
        last = estimator[-1] if hasattr(estimator, "steps") else estimator
        packed = getattr(last, "packed_", None)
        require(packed is not None, f"{type(last).__name__} has no packed model to measure.")
        needed = footprint(packed, self.target)
        sizes = ((needed.flash_nbytes, self.flash), (needed.ram_nbytes, self.ram))
        excess = max((size / most for size, most in sizes if most is not None), default=0.0)
        return float(estimator.score(X, y)) if excess <= 1 else -excess
