"""What all network estimators share: ``fit`` is validate, encode, build, train, freeze, pack.

A concrete estimator is its docstring, its parameters and how its network is built. What
needs torch is imported inside ``fit`` and ``to_torch``; predictions come from the packed model.
"""

from abc import ABC, abstractmethod
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skbnn.estimators._callbacks import CallbackSupportMixin, FitReport, with_callbacks
from skbnn.estimators._validation import PackedPredictions, training_set
from skbnn.packed import PackedModel
from skbnn.packed.rows import merge_rows
from skbnn.techniques import Technique, get_technique, list_techniques, stages_of

__all__ = ["NetworkClassifier"]

_KNOWN = {name: get_technique(name) for name in list_techniques()}


class NetworkClassifier(
    PackedPredictions, CallbackSupportMixin, ClassifierMixin, BaseEstimator, ABC
):
    """Base of the network estimators."""

    _parameter_constraints: dict = {
        "technique": [str, Technique],
        "n_thresholds": [Interval(Integral, 1, 255, closed="both")],
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
    def _topology(self):
        """Return the builder's arguments that shape the network, from the parameters."""

    def _layout(self):
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
            Rows. float64, float32, uint8 and bool are read as they are.
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
        X, y, weight = training_set(self, X, y, sample_weight, self.class_weight, reset=not go_on)
        classes = np.unique(y)
        if go_on and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start needs the classes of the fit before, {self.classes_}, got {classes}. "
                "Set warm_start=False to start anew."
            )
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in the data, but the "
                f"data contains only one class: {classes[0]!r}."
            )
        self._train(X, y, weight, classes, go_on=go_on, max_iter=self.max_iter)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Pass over some rows once, at a constant learning rate, and pack the network anew.

        Input thresholds (or means and variances) are those of the first call's rows.

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
        X, y, weight = training_set(self, X, y, sample_weight, self.class_weight, reset=not go_on)
        classes = self.classes_ if go_on else np.unique(classes)
        unknown = np.setdiff1d(y, classes)
        if len(unknown):
            raise ValueError(f"y has labels that are not in classes: {unknown}.")
        self._train(X, y, weight, classes, go_on=go_on, max_iter=1, streaming=True)
        return self

    def _train(self, X, y, weight, classes, *, go_on, max_iter, streaming=False):
        """Train from scratch or from the fitted state, then set the fitted attributes."""
        from skbnn.nn.inputs import fit_input, make_input
        from skbnn.nn.processes import processes_of
        from skbnn.nn.randomness import make_generator
        from skbnn.nn.stages import Stages
        from skbnn.nn.training import EarlyStopping, Examples, Training

        technique = get_technique(self.technique)
        if not technique.packs:
            raise ValueError(
                f"Technique {technique.name!r} is only there for others to start from: it has "
                "packs=False."
            )
        fresh = not (go_on or streaming)
        stages = stages_of(technique, max_iter) if fresh else [(technique, max_iter)]
        for stage, _ in stages:
            stage.recipe(self._family)
        processes = processes_of(self.device)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        seed = processes.agree(seed)
        generator = make_generator(seed)

        codes = np.searchsorted(classes, y).astype(np.int64)
        if go_on:
            self._check_same_architecture()
            inputs = make_input(self.packed_.operations[0])
        else:
            inputs = fit_input(technique, X, codes, weight, self.n_thresholds, self._layout())
        rows = inputs.rows(X)
        keyed = np.column_stack([rows.data, codes.astype(rows.data.dtype)])
        index, weight, _ = merge_rows(keyed, weight)
        weight = None if weight.min() == weight.max() else weight / weight.mean()
        examples = Examples(rows.take(index), codes[index], weight)
        processes.check_same(examples.y)
        watch = None
        if self.early_stopping and not streaming:
            examples, held_out = self._split(examples, seed)
            watch = EarlyStopping(held_out, self.tol, self.n_iter_no_change)

        topology = self._topology()

        def settings(stage):
            rate = stage.recipe(self._family).learning_rate
            if stage is technique:
                rate = _either(self.learning_rate_init, rate)
            return Training(
                learning_rate=rate,
                max_iter=max_iter,
                batch_size=self._batch_size(len(examples)),
                alpha=self.alpha,
                processes=processes,
                constant=streaming,
            )

        def build(stage, generator=generator):
            recipe = stage.recipe(self._family)
            return self._network(
                inputs.operation,
                len(classes),
                stage,
                topology,
                init=recipe.init,
                input_dropout=_either(self.input_dropout, recipe.input_dropout),
                hidden_dropout=_either(self.hidden_dropout, recipe.hidden_dropout),
                generator=generator,
            )

        training = Stages(stages, build, examples, settings, generator)
        if go_on:
            training.network.restore(self.state_)
        if streaming and go_on and hasattr(self, "_optimizer_state"):
            training.run.restore_optimizer(self._optimizer_state)

        def attributes(arrays=None):
            arrays = training.network.arrays() if arrays is None else arrays
            frozen = build(technique, make_generator()).restore(arrays).freeze()
            operations, unit = frozen.pack()
            return {
                "classes_": classes,
                "packed_": PackedModel(operations, classes, unit),
                "state_": arrays,
                "technique_": technique,
                "_fitted_topology": topology,
            }

        report = FitReport(self, X, y, max_iter)
        losses = []
        for epoch, loss in enumerate(training):
            losses.append(loss)
            watched = watch and training.is_last
            stop = watch.update(training.network) if watched else False
            if self.verbose and processes.rank == 0:
                score = f", validation accuracy {watch.scores[-1]:.4f}" if watched else ""
                print(f"epoch {epoch + 1}/{max_iter}: loss {loss:.6f}{score}")
            # Only the last stage has a network that could predict.
            if training.is_last:
                stop = report.epoch_ended(epoch, attributes) or stop
                if processes.total(bool(stop)):
                    break

        arrays = watch.best_arrays if watch else training.network.arrays()
        fitted = attributes(processes.agree(arrays))
        if streaming:
            fitted["_optimizer_state"] = training.run.optimizer_arrays()
            fitted["n_iter_"] = getattr(self, "n_iter_", 0) + 1
            fitted["loss_curve_"] = [*getattr(self, "loss_curve_", []), *losses]
            fitted["flip_ratios_"] = [*getattr(self, "flip_ratios_", []), *training.flip_ratios]
        else:
            fitted["n_iter_"], fitted["loss_curve_"] = len(losses), losses
            fitted["flip_ratios_"] = training.flip_ratios
        if watch:
            fitted["validation_scores_"] = watch.scores
            fitted["best_validation_score_"] = watch.best_score
        # What this fit does not set would be that of a fit before.
        for name in ("validation_scores_", "best_validation_score_", "_optimizer_state"):
            vars(self).pop(name, None)
        for name, value in fitted.items():
            setattr(self, name, value)
        report.ended(fitted)

    def _check_same_architecture(self):
        """Refuse to go on with a network of another shape than the fitted one."""
        layout = getattr(self.packed_.operations[0], "layout", None)
        if (self._topology(), self._layout()) != (self._fitted_topology, layout):
            raise ValueError(
                "Parameters that shape the network have changed since the fit before. Set them "
                "back, or fit with warm_start=False."
            )

    def _split(self, examples, seed):
        """Return training and validation examples, every class in both."""
        try:
            parts = train_test_split(
                np.arange(len(examples)),
                test_size=self.validation_fraction,
                stratify=examples.y,
                random_state=seed,
            )
        except ValueError as error:
            raise ValueError(
                "early_stopping could not set a validation part aside with every class in both "
                f"parts: {error} Pass more rows, another validation_fraction, or "
                "early_stopping=False."
            ) from error
        return tuple(examples.take(np.sort(part)) for part in parts)

    def _batch_size(self, n_rows):
        return int(np.clip(n_rows // 20, 16, 256)) if self.batch_size == "auto" else self.batch_size

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
        return np.log(self.predict_proba(X))


def _either(value, default):
    """Return the value unless it is None."""
    return default if value is None else value
