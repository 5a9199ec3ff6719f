"""The packed program: what a binarized model is once training is over.

Read in this order: :mod:`~skbnn.packed.values` (what flows), :mod:`~skbnn.packed.encode` (rows to
bits), :mod:`~skbnn.packed.linear` (bits to sums), :mod:`~skbnn.packed.outputs` (sums to bits or
scores), :mod:`~skbnn.packed.model` (the whole). Nothing here imports torch or scikit-learn.
"""

from skbnn.packed.codewords import NearestCentroid, NearestCodeword
from skbnn.packed.encode import BitPlanes, Standardize, Thermometer
from skbnn.packed.format import load
from skbnn.packed.linear import BinaryLinear, MixedLinear, RealLinear
from skbnn.packed.model import PackedModel
from skbnn.packed.outputs import ClassScores, SignThreshold
from skbnn.packed.values import BitCode, BitMatrix

__all__ = [
    "BinaryLinear",
    "BitCode",
    "BitMatrix",
    "BitPlanes",
    "ClassScores",
    "MixedLinear",
    "NearestCentroid",
    "NearestCodeword",
    "PackedModel",
    "RealLinear",
    "SignThreshold",
    "Standardize",
    "Thermometer",
    "load",
]
