"""The estimators: scikit-learn classifiers that train networks and predict from packed bits."""

from skbnn.estimators._cnn import BinaryCNNClassifier
from skbnn.estimators._kmeans import KMeansClassifier
from skbnn.estimators._logistic import BinaryLogisticRegression
from skbnn.estimators._mlp import BinaryMLPClassifier
from skbnn.estimators._transformer import BinaryTransformerClassifier

__all__ = [
    "BinaryCNNClassifier",
    "BinaryLogisticRegression",
    "BinaryMLPClassifier",
    "BinaryTransformerClassifier",
    "KMeansClassifier",
]
