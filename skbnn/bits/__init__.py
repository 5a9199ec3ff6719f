"""Bits: what they mean, how they are packed, and the kernels that compute on them.

The contract stands in :mod:`skbnn.bits.packing`. Kernels come twice, with the same names and
signatures: :mod:`skbnn.bits.reference` is their plain NumPy definition, and
:mod:`skbnn.bits.kernels` is what runs. :func:`backend` chooses; importing this package loads
NumPy only.
"""

from importlib import import_module

from skbnn.bits.layouts import (
    aligned,
    comparison_layout,
    interleave,
    interleave_planes,
    lanes_for,
    unit_masks,
)
from skbnn.bits.magnitudes import magnitude_steps
from skbnn.bits.packing import (
    complement,
    n_words,
    pack_bits,
    sign_bits,
    signs,
    tail_mask,
    unpack_bits,
)
from skbnn.bits.thresholds import (
    ThresholdLayout,
    open_layout,
    threshold_layout,
    token_layout,
)

__all__ = [
    "ThresholdLayout",
    "aligned",
    "backend",
    "comparison_layout",
    "complement",
    "interleave",
    "interleave_planes",
    "lanes_for",
    "magnitude_steps",
    "n_words",
    "open_layout",
    "pack_bits",
    "sign_bits",
    "signs",
    "tail_mask",
    "threshold_layout",
    "token_layout",
    "unit_masks",
    "unpack_bits",
]

_MODULES = {
    "auto": ("skbnn.bits.kernels", "skbnn.bits.reference"),
    "numba": ("skbnn.bits.kernels",),
    "numpy": ("skbnn.bits.reference",),
}


def backend(name="auto"):
    """Return the module whose functions are the kernels.

    Parameters
    ----------
    name : {"auto", "numba", "numpy"}, default="auto"
        ``"numba"``: compiled kernels; ``"numpy"``: their definitions, slower but without Numba;
        ``"auto"``: the first where Numba can be imported, else the second.

    Returns
    -------
    kernels : module
        :mod:`skbnn.bits.kernels` or :mod:`skbnn.bits.reference`.

    Raises
    ------
    ValueError
        If the name is unknown.
    ImportError
        If ``"numba"`` is asked for and cannot be imported.
    """
    if name not in _MODULES:
        raise ValueError(f"Unknown backend {name!r}; known are {', '.join(map(repr, _MODULES))}.")
    *preferred, last = _MODULES[name]
    for module in preferred:
        try:
            return import_module(module)
        except ImportError:
            continue
    return import_module(last)
