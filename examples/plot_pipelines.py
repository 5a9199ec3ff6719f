"""
================================================
Pipelines and cross-validation of thermometers
================================================

The networks of this package turn features into bits by themselves. As a transformer, the same code
gives bits to any other model: a linear model on thermometer bits can bend where a linear model on
numbers cannot.
"""

# %%
# :class:`~skbnn.ThermometerEncoder` is an ordinary transformer, so it stands in pipelines and its
# parameters are searched. The breast cancer data has 30 features that are anything but linear:

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbnn import BinaryLogisticRegression, ThermometerEncoder

X, y = load_breast_cancer(return_X_y=True)
encoded = make_pipeline(ThermometerEncoder(), LogisticRegression(C=0.1, max_iter=1000))
search = GridSearchCV(encoded, {"thermometerencoder__n_thresholds": [1, 2, 3, 5, 9, 15]}, cv=5)
search.fit(X, y)
print(search.best_params_, f"accuracy {search.best_score_:.3f}")

# %%
# What a search has tried is a picture too. Here the cost is the time of a fit:

import matplotlib.pyplot as plt

from skbnn.inspection import ComparisonDisplay

display = ComparisonDisplay.from_cv_results(search.cv_results_)
for text in display.ax_.texts:
    text.set_text(text.get_text().removeprefix("thermometerencoder__"))
plt.show()

# %%
# Several pipelines, cross-validated. Because ``cross_validate`` returns the fitted estimators here,
# the bytes that would have to be saved are known, and the picture shows these.

models = {
    "logistic on numbers": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    "logistic on bits": search.best_estimator_,
    "naive Bayes on bits": make_pipeline(ThermometerEncoder(9), BernoulliNB()),
    "one-bit weights": BinaryLogisticRegression(random_state=0),
}
found = {
    name: cross_validate(model, X, y, cv=5, return_estimator=True) for name, model in models.items()
}
for name, result in found.items():
    print(f"{name:20}  accuracy {result['test_score'].mean():.3f}")
ComparisonDisplay.from_cv_results(found)
plt.show()
