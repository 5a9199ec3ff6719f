"""Looking at models: comparisons."""

from skbnn.inspection.compare import Comparison, compare_models
from skbnn.inspection.measure import ModelResult

__all__ = ["Comparison", "ModelResult", "compare_models"]
