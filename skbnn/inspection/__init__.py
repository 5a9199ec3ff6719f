"""Looking at models: comparisons."""

from skbnn.inspection.compare import Comparison, ModelResult, compare_models

__all__ = ["Comparison", "ModelResult", "compare_models"]
