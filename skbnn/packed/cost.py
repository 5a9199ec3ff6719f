"""What each operation costs: bits, bytes and operations for one row."""

import math
from dataclasses import asdict, dataclass, field
from functools import singledispatch

from skbnn.packed.attention import Attention, RealAttention, TokenBits, TokenReals
from skbnn.packed.bridges import CodeReals, RealLevels
from skbnn.packed.codewords import NearestCentroid, NearestCodeword
from skbnn.packed.conv import BinaryConv, MixedConv, RealConv
from skbnn.packed.encode import BitPlanes, Standardize, Thermometer
from skbnn.packed.images import ImagePlanes, ImageStandardize, ImageThermometer
from skbnn.packed.levels import AttentionLevels, StreamLevels
from skbnn.packed.linear import BinaryLinear, MixedLinear, RealLinear
from skbnn.packed.stream import Affine, EachPlace, Positions, Residual, Shortcut, StreamSign

__all__ = ["LayerCost", "Summary", "cost"]


@dataclass(frozen=True)
class LayerCost:
    """Cost of one operation.

    Attributes
    ----------
    name : str
        Kind of operation.
    shape : str
        Inputs and outputs.
    weight_bits : int
        Bits stored for each weight; 0 where there are no weights.
    nbytes : int
        Bytes of the stored arrays.
    float32_nbytes : int
        Bytes of the same layer's weights and biases in float32.
    binary_ops, float_ops : int
        Operations for one row: pairs of bits compared and counted, and float multiply-adds.
    activation_nbytes : int
        Bytes of one row of the result.
    scratch_nbytes : int
        Bytes for one row that it needs beside its input and its result.
    """

    name: str
    shape: str
    weight_bits: int
    nbytes: int
    float32_nbytes: int
    binary_ops: int
    float_ops: int
    activation_nbytes: int
    scratch_nbytes: int = 0


@singledispatch
def cost(operation):
    """Return what an operation costs, apart from its bytes.

    Register an implementation for each new kind of operation.

    Parameters
    ----------
    operation : Operation
        Of a registered kind.

    Returns
    -------
    fields : dict
        Those of :class:`LayerCost` that are not 0.
    """
    raise TypeError(f"No cost is known for {type(operation).__name__}.")


@cost.register
def _(operation: Thermometer):
    return {"binary_ops": 0, "float_ops": len(operation.thresholds)}


@cost.register(BitPlanes)
@cost.register(ImagePlanes)
def _(operation):
    return {}


@cost.register
def _(operation: Standardize):
    return {"float_ops": len(operation.columns)}


@cost.register
def _(operation: ImageThermometer):
    return {"float_ops": operation.gives.width}


@cost.register
def _(operation: ImageStandardize):
    return {"float_ops": operation.gives.width}


@cost.register
def _(operation: BinaryLinear):
    n_units, n_bits = operation.weights.n_units, operation.weights.n_bits
    planes = operation.weights.n_planes * len(operation.takes.scales)
    return {
        "weight_bits": operation.weights.n_planes,
        "float32_nbytes": 4 * n_units * (n_bits + 1),
        "binary_ops": planes * n_units * n_bits,
    }


@cost.register
def _(operation: RealLinear):
    weights = operation.n_units * operation.n_inputs
    return {
        "weight_bits": 32,
        "float32_nbytes": 4 * (weights + operation.n_units),
        "float_ops": weights,
    }


@cost.register
def _(operation: MixedLinear):
    weights = operation.n_units * operation.n_inputs
    return {
        "weight_bits": 1,
        "float32_nbytes": 4 * (weights + operation.n_units),
        "float_ops": weights,
    }


@cost.register
def _(operation: BinaryConv):
    n_units, n_bits = operation.weights.n_units, operation.weights.n_bits
    planes = operation.weights.n_planes * len(operation.takes.scales)
    return {
        "weight_bits": operation.weights.n_planes,
        "float32_nbytes": 4 * n_units * (n_bits + 1),
        "binary_ops": math.prod(operation.window.places) * planes * n_units * n_bits,
    }


@cost.register
def _(operation: RealConv):
    return _real_conv(operation, 32)


@cost.register
def _(operation: MixedConv):
    return _real_conv(operation, 1)


def _real_conv(operation, weight_bits):
    n_units, weights = len(operation.biases), len(operation.biases) * operation.window.n_taps
    return {
        "weight_bits": weight_bits,
        "float32_nbytes": 4 * (weights + n_units),
        "float_ops": math.prod(operation.window.places) * weights,
    }


@cost.register
def _(operation: EachPlace):
    fields, n_places = dict(cost(operation.operation)), math.prod(operation.places)
    for name in ("binary_ops", "float_ops"):
        fields[name] = n_places * fields.get(name, 0)
    return fields


@cost.register
def _(operation: Positions):
    return {"float32_nbytes": 4 * operation.table.size}


@cost.register
def _(operation: Affine):
    return {
        "weight_bits": 32,
        "float32_nbytes": 4 * 2 * len(operation.scales),
        "float_ops": len(operation.scales),
    }


@cost.register
def _(operation: StreamSign):
    return {"float32_nbytes": 4 * 2 * len(operation.thresholds)}


@cost.register
def _(operation: StreamLevels):
    return {"float32_nbytes": 4 * 2 * operation.output.n_units}


@cost.register
def _(operation: Shortcut):
    return {}


@cost.register
def _(operation: Residual):
    parts = [cost(part) for part in (*operation.branch, *operation.skip)]
    names = ("float32_nbytes", "binary_ops", "float_ops")
    inner = [part.gives.nbytes for part in operation.branch]
    # The stream waits while the branch goes on from one result to the next.
    most = max(map(sum, zip([0, *inner[:-1]], inner, strict=True)))
    return {
        "weight_bits": max(part.get("weight_bits", 0) for part in parts),
        "scratch_nbytes": max(0, most - operation.gives.nbytes),
        **{name: sum(part.get(name, 0) for part in parts) for name in names},
    }


@cost.register
def _(operation: TokenBits):
    return {}


@cost.register
def _(operation: TokenReals):
    return {}


@cost.register
def _(operation: Attention):
    return _attention(operation.places, len(operation.thresholds), 1)


@cost.register
def _(operation: AttentionLevels):
    # Every step compares the sums of an attention of its own.
    output = operation.output
    return _attention(operation.places, output.n_units, len(output.thresholds))


def _attention(places, n_units, n_passes):
    # Two products of all pairs of tokens: of queries with keys, and with values.
    n_tokens = math.prod(places)
    return {
        "float32_nbytes": 4 * 2 * n_units,
        "binary_ops": n_passes * 2 * n_tokens**2 * n_units,
    }


@cost.register
def _(operation: RealAttention):
    return {"float_ops": 2 * operation.n_tokens**2 * operation.n_units}


@cost.register
def _(operation: RealLevels):
    return {
        "float32_nbytes": 4 * operation.thresholds.size,
        "float_ops": len(operation.thresholds) * operation.gives.width,
    }


@cost.register
def _(operation: CodeReals):
    return {"float_ops": len(operation.takes.scales) * operation.takes.width}


@cost.register
def _(operation: NearestCodeword):
    bits = operation.codewords.n_units * operation.codewords.n_bits
    return {"weight_bits": 1, "float32_nbytes": 4 * bits, "binary_ops": bits}


@cost.register
def _(operation: NearestCentroid):
    size = operation.centroids.size
    return {"weight_bits": 32, "float32_nbytes": 4 * size, "float_ops": size}


def layer_cost(operation, nbytes):
    """Return the whole cost of an operation whose arrays have that many bytes."""
    fields = {"weight_bits": 0, "float32_nbytes": 0, "binary_ops": 0, "float_ops": 0}
    fields.update(cost(operation))
    return LayerCost(
        name=operation.kind,
        shape=f"{operation.takes.width} -> {operation.gives.width}",
        nbytes=nbytes,
        activation_nbytes=operation.gives.nbytes,
        **fields,
    )


@dataclass(frozen=True)
class Summary:
    """Cost of every operation of a model; ``print`` shows it as a table.

    Attributes
    ----------
    layers : tuple of LayerCost
        One for each operation.
    nbytes, float32_nbytes, binary_ops, float_ops : int
        Totals.
    activation_nbytes : int
        Bytes of the largest operation's input, result and scratch together, for one row: what
        must be in memory at once.
    """

    layers: tuple[LayerCost, ...]
    input_nbytes: int = field(repr=False)

    def _total(self, name):
        return sum(getattr(layer, name) for layer in self.layers)

    @property
    def nbytes(self):
        """Bytes of all stored arrays."""
        return self._total("nbytes")

    @property
    def float32_nbytes(self):
        """Bytes of the same network's weights and biases in float32."""
        return self._total("float32_nbytes")

    @property
    def binary_ops(self):
        """Pairs of bits compared and counted for one row."""
        return self._total("binary_ops")

    @property
    def float_ops(self):
        """Float multiply-adds or comparisons for one row."""
        return self._total("float_ops")

    @property
    def activation_nbytes(self):
        """Bytes of the largest operation's input, result and scratch together, for one row."""
        sizes = [self.input_nbytes, *(layer.activation_nbytes for layer in self.layers)]
        return max(
            before + layer.activation_nbytes + layer.scratch_nbytes
            for before, layer in zip(sizes, self.layers, strict=False)
        )

    def to_dict(self):
        """Return everything as plain data, ready for JSON.

        Returns
        -------
        summary : dict
        """
        totals = ("nbytes", "float32_nbytes", "binary_ops", "float_ops", "activation_nbytes")
        return {
            "layers": [asdict(layer) for layer in self.layers],
            **{name: getattr(self, name) for name in totals},
        }

    def __str__(self):
        """Return the table."""
        head = (
            "layer", "shape", "bits/weight", "bytes", "as float32", "binary ops", "float ops",
            "row bytes",
        )  # fmt: skip
        rows = [
            (
                layer.name,
                layer.shape,
                str(layer.weight_bits or "-"),
                f"{layer.nbytes:,}",
                f"{layer.float32_nbytes:,}",
                f"{layer.binary_ops:,}",
                f"{layer.float_ops:,}",
                f"{layer.activation_nbytes:,}",
            )
            for layer in self.layers
        ]
        totals = (self.nbytes, self.float32_nbytes, self.binary_ops, self.float_ops)
        rows.append(("total", "", "", *(f"{t:,}" for t in totals), f"{self.activation_nbytes:,}"))
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = []
        for row in (head, *rows):
            cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
            cells += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)
