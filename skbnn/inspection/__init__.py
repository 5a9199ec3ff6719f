"""Looking at models: comparisons."""

from skbnn.inspection.compare import compare_models
from skbnn.inspection.comparison import Comparison
from skbnn.inspection.comparison_display import ComparisonDisplay
from skbnn.inspection.results import ModelResult

__all__ = ["Comparison", "ComparisonDisplay", "ModelResult", "compare_models"]
