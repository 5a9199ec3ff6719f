"""
=====================
A search on a cluster
=====================

A grid search is many fits that know nothing of each other, so it runs on as many cores or machines
as there are. scikit-learn leaves that to joblib, and joblib to Dask, among others: nothing of it
has to be told to the estimator. Here the cluster is two processes on one machine.
"""

# %%
# Processes of a cluster read this file too, so what is for the first one alone stands under ``if
# __name__ == "__main__"``. joblib sends the rows to one worker, from which the others fetch them;
# copies on all of them, which Dask does not tidy away, let the search outlive any worker.

import logging
from functools import partial

import dask
import joblib
import matplotlib.pyplot as plt
import numpy as np
from dask.distributed import Client, LocalCluster, get_task_stream
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skbnn import BinaryMLPClassifier

if __name__ == "__main__":
    X, y = load_digits(return_X_y=True)
    grid = {
        "hidden_layer_sizes": [(32,), (64,), (128,)],
        "technique": ["binaryconnect", "bnn", "xnornet", "dorefa"],
    }
    search = GridSearchCV(BinaryMLPClassifier(max_iter=6, random_state=0), grid, cv=3, refit=False)
    dask.config.set({"distributed.scheduler.active-memory-manager.start": False})
    settings = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "dashboard_address": ":0",
        "silence_logs": logging.ERROR,
    }
    with LocalCluster(**settings) as cluster, Client(cluster) as client:
        client.scatter = partial(client.scatter, broadcast=True)
        with joblib.parallel_config(backend="dask"), get_task_stream(client) as stream:
            search.fit(X, y)

# %%
# Left, what was found; right, who worked when. A worker's first task is long: it imports torch.

if __name__ == "__main__":
    scores = search.cv_results_["mean_test_score"].reshape(len(grid["hidden_layer_sizes"]), -1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    image = left.imshow(scores, cmap="viridis", aspect="auto")
    left.set_xticks(range(scores.shape[1]), grid["technique"])
    left.set_yticks(range(len(scores)), [sizes[0] for sizes in grid["hidden_layer_sizes"]])
    left.set(ylabel="hidden units", title="accuracy")
    for place, score in np.ndenumerate(scores):
        is_dark = score < scores.mean()
        colour = "white" if is_dark else "black"
        left.text(*place[::-1], f"{100 * score:.1f}", ha="center", va="center", color=colour)

    workers = sorted({task["worker"] for task in stream.data})
    spans = [
        (workers.index(task["worker"]), span["start"], span["stop"] - span["start"])
        for task in stream.data
        for span in task["startstops"]
        if span["action"] == "compute"
    ]
    first = min(start for _, start, _ in spans)
    for worker, start, length in spans:
        right.barh(worker, length, left=start - first, color=f"C{worker}", edgecolor="white")
    right.set_yticks(range(len(workers)), [f"worker {k}" for k in range(len(workers))])
    right.set(xlabel="seconds", title=f"{len(spans)} fits")
    plt.show()

# %%
# The scores are those of a search in one process, to the last digit, because every fit has its own
# generators, made of ``random_state``. With ``refit=True``, as by default, the best network would
# have been fitted again to all rows, in the first process.
