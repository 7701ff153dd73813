"""After each epoch: evaluate, save a checkpoint, decide whether to stop. A killed training can resume."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from include.errors import TrainingDiverged
from include.training.checkpoints import ENDED_AT, Checkpoint, Checkpoints, History

log = logging.getLogger(__name__)

OnEpoch = Callable[[int, Mapping[str, float]], None]  # called with each epoch, from 0, and its metrics


def best_epoch(history: History, *, epochs: int) -> int:
    """The epoch, from 1, with the lowest val loss in the second half; before that half, the last epoch."""
    first = epochs // 2
    losses = [metrics["val_loss"] for metrics in history[first:]]
    return first + 1 + int(np.argmin(np.nan_to_num(losses, nan=np.inf))) if losses else len(history)


def should_stop_early(history: History, *, epochs: int) -> bool:
    """Whether all epochs are done, or a third of them (at least three) have passed since ``best_epoch``."""
    return len(history) >= epochs or len(history) - best_epoch(history, epochs=epochs) >= max(3, epochs // 3)


class CheckpointCallback(keras.callbacks.Callback):
    """Evaluates on val, saves a checkpoint, and only then reports the epoch, so that no later attempt repeats it."""

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        val: tf.data.Dataset,
        *,
        epochs: int,
        history: History,
        cure: str,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        super().__init__()
        self.checkpoints, self.val, self.on_epoch, self.cure = checkpoints, val, on_epoch, cure
        self.epochs, self.history = epochs, history

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Skip the epochs that are done, as Keras' BackupAndRestore does.

        The arguments of ``fit`` stay the same in every attempt, and so do the params that MLflow's autologging logs.
        """
        self.model._initial_epoch = len(self.history)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        val_metrics = self.model.evaluate(self.val, verbose=0, return_dict=True)
        metrics = (logs or {}) | {f"val_{name}": value for name, value in val_metrics.items()}
        metrics = {name: float(value) for name, value in metrics.items()}
        log.info("epoch %d of %d: %s", epoch + 1, self.epochs, ", ".join(f"{k} {v:.3f}" for k, v in metrics.items()))
        self._check_finite(metrics)
        self.history = (*self.history, metrics | {ENDED_AT: float(time.time_ns() // 1_000_000)})
        if self.checkpoints:
            best = best_epoch(self.history, epochs=self.epochs)
            self.checkpoints.save(take_checkpoint(self.model, self.history), best=best)
        if self.on_epoch:
            self.on_epoch(epoch, self.history[-1])
        self.model.stop_training = should_stop_early(self.history, epochs=self.epochs)

    def _check_finite(self, metrics: Mapping[str, float]) -> None:
        """Raises TrainingDiverged, and deletes the checkpoints that a later attempt would diverge from again."""
        try:
            check_finite(metrics, epoch=len(self.history) + 1, cure=self.cure)
        except TrainingDiverged:
            if self.checkpoints:
                self.checkpoints.clear()
            raise


def check_finite(metrics: Mapping[str, float], *, epoch: int, cure: str) -> None:
    """Raises TrainingDiverged where a loss is not a finite number."""
    losses = {name: value for name, value in metrics.items() if name.endswith("loss")}
    if not np.isfinite(list(losses.values())).all():
        values = ", ".join(f"{name} {value}" for name, value in losses.items())
        raise TrainingDiverged(f"the training diverged in epoch {epoch} ({values}): {cure}")


def take_checkpoint(network: keras.Model, history: History) -> Checkpoint:
    """Everything that the next epoch depends on. The network must be compiled."""
    return Checkpoint(_values(_state(network)), _values(network.optimizer.variables), history)


def restore(network: keras.Model, checkpoint: Checkpoint) -> None:
    """Set a network to the state in ``checkpoint``, and its optimizer too if it is compiled."""
    _assign(_state(network), checkpoint.weights)
    if network.compiled:
        _assign(network.optimizer.variables, checkpoint.optimizer)


def _state(network: keras.Model) -> list[Any]:
    """The weights, and the states of dropout's random generators, which Keras does not count as weights."""
    layers = [layer for layer in network.layers if hasattr(layer, "seed_generator")]
    return [*network.weights, *(layer.seed_generator.state for layer in layers)]


def _values(variables: Sequence[Any]) -> list[NDArray]:
    return [np.asarray(variable) for variable in variables]


def _assign(variables: Sequence[Any], values: Sequence[NDArray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
