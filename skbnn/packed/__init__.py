"""The packed program: what a binarized model is once training is over.

Read in this order: :mod:`~skbnn.packed.values` (what flows), :mod:`~skbnn.packed.encode` (rows to
bits) and :mod:`~skbnn.packed.images` (the same for pixels), :mod:`~skbnn.packed.linear` (bits to
sums) and :mod:`~skbnn.packed.conv` (the same for windows), :mod:`~skbnn.packed.outputs` (sums to
bits or scores), :mod:`~skbnn.packed.stream` (residual branches),
:mod:`~skbnn.packed.attention` (what tokens choose), :mod:`~skbnn.packed.levels` (both with codes
of several levels), :mod:`~skbnn.packed.bridges` (real first and last layers),
:mod:`~skbnn.packed.model` (the whole). Nothing here imports torch or
scikit-learn.
"""

from skbnn.packed.attention import (
    Attention,
    RealAttention,
    RowMaximum,
    ScoreThreshold,
    SoftmaxShare,
    TokenBits,
    TokenPlanes,
    TokenReals,
)
from skbnn.packed.bridges import CodeReals, RealLevels
from skbnn.packed.codewords import NearestCentroid, NearestCodeword
from skbnn.packed.conv import BinaryConv, MixedConv, RealConv
from skbnn.packed.encode import BitPlanes, Standardize, Thermometer
from skbnn.packed.format import load
from skbnn.packed.images import ImageLayout, ImagePlanes, ImageStandardize, ImageThermometer
from skbnn.packed.levels import AttentionLevels, StreamLevels
from skbnn.packed.linear import BinaryLinear, MixedLinear, RealLinear
from skbnn.packed.model import PackedModel
from skbnn.packed.outputs import ClassScores, LevelCodes, ShiftedScores, SignThreshold, Sums
from skbnn.packed.stream import Affine, EachPlace, Positions, Residual, Shortcut, StreamSign
from skbnn.packed.values import BitCode, BitImage, BitMatrix, IntStream, Reals
from skbnn.packed.windows import Window

__all__ = [
    "Affine",
    "Attention",
    "AttentionLevels",
    "BinaryConv",
    "BinaryLinear",
    "BitCode",
    "BitImage",
    "BitMatrix",
    "BitPlanes",
    "ClassScores",
    "CodeReals",
    "EachPlace",
    "ImageLayout",
    "ImagePlanes",
    "ImageStandardize",
    "ImageThermometer",
    "IntStream",
    "LevelCodes",
    "MixedConv",
    "MixedLinear",
    "NearestCentroid",
    "NearestCodeword",
    "PackedModel",
    "Positions",
    "RealAttention",
    "RealConv",
    "RealLevels",
    "RealLinear",
    "Reals",
    "Residual",
    "RowMaximum",
    "ScoreThreshold",
    "ShiftedScores",
    "Shortcut",
    "SignThreshold",
    "SoftmaxShare",
    "Standardize",
    "StreamLevels",
    "StreamSign",
    "Sums",
    "Thermometer",
    "TokenBits",
    "TokenPlanes",
    "TokenReals",
    "Window",
    "load",
]
