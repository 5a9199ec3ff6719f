"""How a network estimator is trained: rows become bits, stages train, the network is packed.

Nothing of the estimator changes here. What is fitted is returned, for the estimator to take over in
one step, so that an error or an interrupt at any moment leaves it as it was.
"""

import hashlib
from functools import cached_property
from numbers import Integral

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from skbnn.estimators._callbacks import FitReport
from skbnn.estimators._checkpoint import Checkpoint
from skbnn.packed import PackedModel
from skbnn.packed.format import arrays_of
from skbnn.packed.rows import merge_rows
from skbnn.techniques import get_technique, stages_of

__all__ = ["Fit"]

_CURVE = 10_000
_HASHED = 1 << 16


class Fit:
    """One ``fit`` or ``partial_fit`` of a network estimator.

    Parameters
    ----------
    estimator : NetworkClassifier
        Its parameters, and its fitted attributes where the fit goes on from them.
    data : TrainingSet
        Validated rows, labels and weights.
    classes : ndarray of shape (n_classes,)
        All classes.
    go_on : bool
        Whether to go on from the fitted state.
    streaming : bool, default=False
        Whether it is one pass of ``partial_fit``.

    Raises
    ------
    ValueError
        If the technique cannot be packed, or has no recipe for the estimator's family; if the
        checkpoint is damaged or that of another fit.
    """

    def __init__(self, estimator, data, classes, *, go_on, streaming=False):
        self.estimator, self.data, self.classes = estimator, data, classes
        self.go_on, self.streaming = go_on, streaming
        self.checkpoint = Checkpoint(None if streaming else estimator.checkpoint)
        self.technique = get_technique(estimator.technique)
        self.max_iter = 1 if streaming else estimator.max_iter
        self.topology = estimator._topology(data.X.shape[1])
        self.encoding = estimator.n_thresholds, estimator.encoding
        if not self.technique.packs:
            raise ValueError(
                f"Technique {self.technique.name!r} is only there for others to start from: it "
                "has packs=False."
            )
        fresh = not (go_on or streaming)
        alone = [(self.technique, self.max_iter)]
        self.stages = stages_of(self.technique, self.max_iter) if fresh else alone
        for stage, _ in self.stages:
            stage.recipe(estimator._family)

    def run(self):
        """Train, and return the fitted attributes by name."""
        from skbnn.nn.early_stopping import EarlyStopping
        from skbnn.nn.processes import processes_of
        from skbnn.nn.randomness import make_generator
        from skbnn.nn.stages import Stages

        estimator, checkpoint = self.estimator, self.checkpoint
        processes = self.processes = processes_of(estimator.device)
        checkpoint.found = processes.agree(checkpoint.found)
        seed = int(check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max))
        if checkpoint.found and not isinstance(estimator.random_state, Integral):
            # What was drawn at random then is gone on with.
            seed = checkpoint.found["seed"]
        seed = processes.agree(seed)
        examples = self.examples
        processes.check_same(self._digest)
        if checkpoint.path is not None:
            checkpoint.identify(estimator, seed, self._digest())
        watch = None
        if estimator.early_stopping and not self.streaming:
            examples, held_out = self._split(examples, seed)
            watch = EarlyStopping(held_out, estimator.tol, estimator.n_iter_no_change)

        generator = make_generator(seed)
        training = Stages(
            self.stages,
            lambda stage: self.network(stage, generator),
            examples,
            lambda stage: self.settings(stage, len(examples)),
            generator,
        )
        if self.go_on:
            asked, fitted = _shapes(training.network.arrays()), _shapes(estimator.state_)
            self._check_same({"technique": asked}, {"technique": fitted})
            training.network.restore(estimator.state_)
        begun = getattr(estimator, "_optimizer_state", None)
        if self.streaming and begun and self._optimizes_alike():
            training.run.restore_optimizer(begun)
        losses, stop = [], False
        if checkpoint.found:
            found = checkpoint.found
            training.restore(found["training"])
            losses, stop = found["losses"].tolist(), found["stop"]
            if watch:
                watch.restore(found["watch"])
            if estimator.verbose and processes.rank == 0:
                print(f"goes on after epoch {len(losses)} of the checkpoint {checkpoint.path}")

        def state():
            return {
                "training": training.state(),
                "watch": watch.state() if watch else {},
                "losses": np.array(losses, np.float64),
                "stop": stop,
            }

        # Not self: a cycle would keep the rows until the garbage is collected.
        X = self.data.X
        self.report = FitReport(estimator, lambda: X[:], self.data.y, self.max_iter)
        for loss in () if stop else training:
            losses.append(float(loss))
            # Only the last stage has a network that could predict.
            watched = watch and training.is_last
            if watched:
                training.run.settle()
            stop = watch.update(training.network) if watched else False
            if estimator.verbose and processes.rank == 0:
                score = f", validation accuracy {watch.scores[-1]:.4f}" if watched else ""
                print(f"epoch {len(losses)}/{self.max_iter}: loss {loss:.6f}{score}")
            if training.is_last:
                asked = self.report.epoch_ended(
                    len(losses) - 1, lambda: self.attributes(training.run.settled())
                )
                stop = bool(processes.total(bool(asked or stop)))
            if processes.rank == 0:
                checkpoint.write(state)
            if stop:
                break

        ended = training.network.arrays if self.streaming else training.run.settled
        arrays = watch.best_arrays if watch else ended()
        fitted = self.attributes(processes.agree(arrays))
        fitted |= self._curves(losses, training.flip_ratios)
        if self.streaming:
            fitted["_optimizer_state"] = training.run.optimizer_arrays()
        if watch:
            fitted["validation_scores_"] = watch.scores
            fitted["best_validation_score_"] = watch.best_score
        return fitted

    def ended(self, fitted):
        """Tell that the estimator has taken over what was fitted: callbacks, and the checkpoint."""
        self.report.ended(fitted)
        self.checkpoint.remove()

    @cached_property
    def examples(self):
        """Prepared rows, equal ones merged, with classes and weights."""
        from skbnn.nn.inputs import fit_input, kind_of_input, make_input
        from skbnn.nn.training import Examples

        estimator, (X, y, weight, _) = self.estimator, self.data
        codes = np.searchsorted(self.classes, y).astype(np.int64)
        layout = estimator._layout(X.shape[1])
        n_thresholds, encoding = self.encoding
        if self.go_on:
            inputs = make_input(estimator.packed_.operations[0])
            fitted = estimator._fitted_topology, estimator._fitted_encoding
            self._check_same(
                _shaping(self.topology, self.encoding, layout),
                _shaping(*fitted, getattr(inputs.operation, "layout", None)),
            )
            kind = kind_of_input(self.technique, layout, encoding)
            self._check_same({"technique": kind}, {"technique": type(inputs)})
        else:
            inputs = fit_input(self.technique, X, codes, weight, n_thresholds, layout, encoding)
        self.operation = inputs.operation
        rows = inputs.rows(X)
        index, weight, _ = merge_rows(rows.keys(), weight, codes)
        weight = None if weight.min() == weight.max() else weight / weight.mean()
        return Examples(rows.take(index), codes[index], weight)

    def network(self, stage, generator):
        """Return the untrained network of a stage."""
        recipe, estimator = stage.recipe(self.estimator._family), self.estimator
        return estimator._network(
            self.operation,
            len(self.classes),
            stage,
            self.topology,
            init=recipe.init,
            input_dropout=_either(estimator.input_dropout, recipe.input_dropout),
            hidden_dropout=_either(estimator.hidden_dropout, recipe.hidden_dropout),
            generator=generator,
        )

    def settings(self, stage, n_rows):
        """Return the settings of a stage's training."""
        from skbnn.nn.training import Training

        estimator = self.estimator
        rate = stage.recipe(estimator._family).learning_rate
        if stage is self.technique:
            rate = _either(estimator.learning_rate_init, rate)
        size = estimator.batch_size
        return Training(
            learning_rate=rate,
            max_iter=self.max_iter,
            batch_size=int(np.clip(n_rows // 20, 16, 256)) if size == "auto" else size,
            alpha=estimator.alpha,
            processes=self.processes,
            constant=self.streaming,
        )

    def attributes(self, arrays):
        """Return the fitted attributes that a network's arrays stand for."""
        from skbnn.nn.randomness import make_generator

        frozen = self.network(self.technique, make_generator()).restore(arrays).freeze()
        operations, unit = frozen.pack()
        return {
            **self.data.features,
            "classes_": self.classes,
            "packed_": PackedModel(operations, self.classes, unit),
            "state_": arrays,
            "technique_": self.technique,
            "_fitted_topology": self.topology,
            "_fitted_encoding": self.encoding,
        }

    def _optimizes_alike(self):
        """Whether the optimizer of the fit before is of the kind that this one has."""
        return self.estimator.technique_.optimizer == self.technique.optimizer

    def _curves(self, losses, flip_ratios):
        """Return what is told of each epoch, of a stream that of the last calls."""
        before = vars(self.estimator) if self.streaming else {}
        curves = {
            name: [*before.get(name, []), *values][-_CURVE if self.streaming else 0 :]
            for name, values in (("loss_curve_", losses), ("flip_ratios_", flip_ratios))
        }
        return {"n_iter_": before.get("n_iter_", 0) + len(losses), **curves}

    @staticmethod
    def _check_same(asked, fitted):
        """Refuse to go on with a network that is not shaped as the fitted one."""
        changed = [name for name, value in asked.items() if value != fitted[name]]
        if changed:
            raise ValueError(
                "Parameters that shape the network or its inputs have changed since the fit "
                f"before: {', '.join(changed)}. Set them back, or begin anew by fit with "
                "warm_start=False."
            )

    def _split(self, examples, seed):
        """Return training and validation examples, every class in both."""
        try:
            parts = train_test_split(
                np.arange(len(examples)),
                test_size=self.estimator.validation_fraction,
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

    def _digest(self):
        """Return the SHA-256 of everything that training begins with, in hexadecimal digits."""
        examples, digest = self.examples, hashlib.sha256()
        rows = examples.rows
        keys = rows.keys()
        for start in range(0, len(rows), _HASHED):
            digest.update(keys[rows.index[start : start + _HASHED]])
        begun = self.estimator.state_ if self.go_on else {}
        weight = () if examples.sample_weight is None else (examples.sample_weight,)
        labels = np.array(self.classes.tolist(), dtype=np.str_)
        operation = arrays_of(self.operation).values()
        for array in (examples.y, *weight, labels, *operation, *begun.values()):
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()


def _either(value, default):
    """Return the value unless it is None."""
    return default if value is None else value


def _shaping(topology, encoding, layout):
    """Return by name what shapes a network and its inputs."""
    n_thresholds, bits = encoding
    return {**topology, "n_thresholds": n_thresholds, "encoding": bits, "layout of images": layout}


def _shapes(arrays):
    """Return the shape of each array by its name."""
    return {name: array.shape for name, array in arrays.items()}
