"""
====================================
Small tables and texts
====================================

Binarized networks are known from images. How do they do on tables of a few hundred rows, and on
short texts, beside what one would use there?
"""

# %%
# Two tables that come with scikit-learn, cross-validated in three folds. ``compare_models`` takes
# any classifier, so a forest and a logistic regression on scaled features may join.

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbnn import BinaryLogisticRegression, BinaryMLPClassifier, compare_models

models = {
    "logistic, float": make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": RandomForestClassifier(50),
    "logistic, bits": BinaryLogisticRegression(max_iter=20),
    "MLP, bits": BinaryMLPClassifier((64,), max_iter=15),
}
tables = {"breast cancer": load_breast_cancer, "wine": load_wine}
comparisons = {}
for name, table in tables.items():
    X, y = table(return_X_y=True, as_frame=True)
    comparisons[name] = compare_models(models, X, y, cv=3, random_state=0)
    print(f"{name}: {X.shape[0]} rows, {X.shape[1]} features")
    print(comparisons[name].to_frame()[["accuracy", "accuracy_low", "accuracy_high", "nbytes"]])

# %%
# Rows are data frames here: the estimators take them as they are, remember the names of the
# columns, and need no scaler, because thresholds at quantiles do not care about units.
#
# Intervals overlap nearly everywhere: on so few rows most models cannot be told apart by their
# accuracy. By their bytes they can:

figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
for ax, (name, comparison) in zip(axes, comparisons.items(), strict=True):
    comparison.plot(ax)
    ax.set_title(name)
plt.show()

# %%
# Texts
# -----
#
# Which words a text has is a row of bits, and needs no coding at all. The texts here are at hand
# everywhere: paragraphs of scikit-learn's own documentation. Which part of it is one from?

import inspect

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import BernoulliNB
from sklearn.utils.discovery import all_estimators

paragraphs = {}
for _, kind in all_estimators(type_filter=["classifier", "cluster", "regressor", "transformer"]):
    part = kind.__module__.split(".")[1]
    if part in ("cluster", "ensemble", "linear_model", "preprocessing"):
        for paragraph in inspect.getdoc(kind).split("\n\n"):
            if len(paragraph.split()) >= 12 and not paragraph.startswith(">>>"):
                paragraphs[paragraph] = part
texts, parts = list(paragraphs), list(paragraphs.values())

# %%
# ``CountVectorizer`` makes a sparse matrix of them, which all estimators take. A pipeline joins the
# two, and the comparison takes texts as they are:

models = {
    "naive Bayes": BernoulliNB(),
    "logistic, float": LogisticRegression(),
    "logistic, bits": BinaryLogisticRegression(n_thresholds=1, max_iter=10),
}
models = {
    name: make_pipeline(CountVectorizer(binary=True, min_df=5), model)
    for name, model in models.items()
}
comparison = compare_models(models, texts, parts, cv=2, random_state=0)
print(f"{len(texts)} texts; the largest part has {max(map(parts.count, set(parts)))} of them")
print(comparison.to_frame()[["accuracy", "accuracy_low", "accuracy_high", "nbytes"]])

# %%
# Bytes are those of the whole pipeline, and nearly all of them are the vocabulary's.
