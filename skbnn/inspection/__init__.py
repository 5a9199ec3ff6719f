"""Looking at models: comparisons, hard examples, and pictures of what was learned."""

from skbnn.inspection.compare import compare_models
from skbnn.inspection.comparison import Comparison
from skbnn.inspection.comparison_display import ComparisonDisplay
from skbnn.inspection.confused_pairs import ConfusedPair, ConfusedPairsDisplay
from skbnn.inspection.confusion_change import ConfusionChangeDisplay
from skbnn.inspection.hard_examples import HardExamples, hard_examples
from skbnn.inspection.layers import LayerBytesDisplay
from skbnn.inspection.results import ModelResult
from skbnn.inspection.thermometer import ThermometerDisplay
from skbnn.inspection.training_curve import TrainingCurveDisplay
from skbnn.inspection.weights import WeightsDisplay

__all__ = [
    "Comparison",
    "ComparisonDisplay",
    "ConfusedPair",
    "ConfusedPairsDisplay",
    "ConfusionChangeDisplay",
    "HardExamples",
    "LayerBytesDisplay",
    "ModelResult",
    "ThermometerDisplay",
    "TrainingCurveDisplay",
    "WeightsDisplay",
    "compare_models",
    "hard_examples",
]
