"""What all network estimators share: ``fit`` is validate, encode, build, train, freeze, pack.

A concrete estimator is its docstring, its parameters and how its network is built. What
needs torch is imported inside ``fit`` and ``to_torch``; predictions come from the packed model.
"""

import os
from abc import ABC, abstractmethod
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skbnn.estimators._callbacks import CallbackSupportMixin, with_callbacks
from skbnn.estimators._training import Fit
from skbnn.estimators._validation import PackedPredictions, take_over, training_set
from skbnn.techniques import Technique, get_technique, list_techniques

__all__ = ["NetworkClassifier"]

_KNOWN = {name: get_technique(name) for name in list_techniques()}


class NetworkClassifier(
    PackedPredictions, CallbackSupportMixin, ClassifierMixin, BaseEstimator, ABC
):
    """Base of the network estimators."""

    _parameter_constraints: dict = {
        "technique": [str, Technique],
        "n_thresholds": [Interval(Integral, 1, 255, closed="both")],
        "encoding": [StrOptions({"thermometer", "planes"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [None, Interval(Real, 0, None, closed="neither")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "input_dropout": [None, Interval(Real, 0, 1, closed="left")],
        "hidden_dropout": [None, Interval(Real, 0, 1, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
        "device": [str],
        "checkpoint": [str, os.PathLike, None],
        "verbose": ["verbose"],
    }

    @property
    @abstractmethod
    def _family(self):
        """Name of the family in a technique's recipes."""

    @property
    @abstractmethod
    def _builder(self):
        """Name of the function of :mod:`skbnn.nn.networks` that builds the network."""

    @abstractmethod
    def _topology(self, n_features):
        """Return the builder's arguments that shape the network, from the parameters."""

    def _layout(self, n_features):
        """Return how rows are images; None where they are not."""

    def __sklearn_tags__(self):
        """Say that a technique that trains no weight once they are bits promises no accuracy."""
        tags = super().__sklearn_tags__()
        named = isinstance(self.technique, str)
        technique = _KNOWN.get(self.technique) if named else self.technique
        tags.classifier_tags.poor_score = getattr(technique, "optimizer", None) == "none"
        return tags

    def _network(self, operation, n_classes, technique, topology, **settings):
        """Build the untrained network."""
        from skbnn.nn import networks

        build = getattr(networks, self._builder)
        return build(operation, n_classes, technique, **topology, **settings)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train the network, freeze it and pack it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. float64, float32, uint8 and bool are read as they are. A memory map or a Dask
            array is read block by block, never copied as a whole.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, not negative; a row of weight 2 counts as two rows, exactly.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        go_on = self.warm_start and hasattr(self, "packed_")
        data = training_set(self, X, y, sample_weight, self.class_weight, reset=not go_on)
        classes = np.unique(data.y)
        if go_on and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start needs the classes of the fit before, {self.classes_}, got {classes}. "
                "Set warm_start=False to start anew."
            )
        self._check_several(classes)
        return self._train(Fit(self, data, classes, go_on=go_on))

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Pass over some rows once, at a constant learning rate, and pack the network anew.

        Input thresholds (or means and variances) are those of the first call's rows. Memory does
        not grow with the calls: ``loss_curve_`` and ``flip_ratios_`` are those of the last 10,000.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Class labels.
        classes : array-like of shape (n_classes,), default=None
            All classes that will ever come; required in the first call, optional afterwards.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, not negative.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        go_on = hasattr(self, "packed_")
        if classes is None and not go_on:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if go_on and classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(
                f"classes={classes!r} is not the same as on last call to partial_fit, was: "
                f"{self.classes_!r}."
            )
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported for partial_fit: the class counts of "
                "rows to come are unknown. Pass the weights as a dict or as sample_weight."
            )
        data = training_set(self, X, y, sample_weight, self.class_weight, reset=not go_on)
        classes = self.classes_ if go_on else np.unique(classes)
        self._check_several(classes)
        unknown = np.setdiff1d(data.y, classes)
        if len(unknown):
            raise ValueError(
                f"y has labels that are not in classes: {unknown}. Begin anew, with all labels "
                "that will ever come as classes."
            )
        return self._train(Fit(self, data, classes, go_on=go_on, streaming=True))

    def _check_several(self, classes):
        """Refuse a single class."""
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in the data, but the "
                f"data contains only one class: {classes[0]}."
            )

    def _train(self, fit):
        """Train, then take over what was fitted."""
        fitted = fit.run()
        take_over(self, fitted)
        fit.ended(fitted)
        return self

    def to_torch(self):
        """Rebuild the frozen network as a torch module.

        Returns
        -------
        network : torch.nn.Module
            Maps a Tensor of raw rows to float64 class scores. For techniques with coded
            activations they are the packed model's integer scores, exactly; for others they
            equal its scores within rounding.
        """
        check_is_fitted(self)
        from skbnn.nn.networks import FrozenNetwork
        from skbnn.nn.randomness import make_generator

        network = self._network(
            self.packed_.operations[0],
            len(self.classes_),
            self.technique_,
            self._fitted_topology,
            init=None,
            input_dropout=0.0,
            hidden_dropout=0.0,
            generator=make_generator(),
        )
        return FrozenNetwork(network.restore(self.state_).freeze()).eval()

    def decision_function(self, X):
        """Return class scores.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        decision : ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            Logits; for two classes, positive for the second.
        """
        X = self._validated(X)
        return self.packed_.decision_function(X, n_jobs=self.n_jobs)

    def predict_proba(self, X):
        """Return class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Softmax of the logits, in the order of ``classes_``.
        """
        X = self._validated(X)
        return self.packed_.predict_proba(X, n_jobs=self.n_jobs)

    def predict_log_proba(self, X):
        """Return the logarithm of class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
        """
        X = self._validated(X)
        return self.packed_.predict_log_proba(X, n_jobs=self.n_jobs)
