"""Epoch by epoch: measure, keep a checkpoint, decide whether to stop. All of it can be taken up after a kill."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from include.training.checkpoints import ENDED_AT, Checkpoint, Checkpoints, History

log = logging.getLogger(__name__)

OnEpoch = Callable[[int, Mapping[str, float]], None]  # is told of each epoch, from 0, and its figures


def best_epoch(history: History, *, epochs: int) -> int:
    """The epoch, from 1, with the lowest loss on val in the second half; before that half, the last one."""
    first = epochs // 2
    losses = [figures["val_loss"] for figures in history[first:]]
    return first + 1 + int(np.argmin(np.nan_to_num(losses, nan=np.inf))) if losses else len(history)


def is_over(history: History, *, epochs: int) -> bool:
    """Whether all epochs are done, or the loss on val has not fallen for a third of them (at least three)."""
    return len(history) >= epochs or len(history) - best_epoch(history, epochs=epochs) >= max(3, epochs // 3)


class CheckpointCallback(keras.callbacks.Callback):
    """Measures on val, keeps a checkpoint, and only then tells of the epoch: what was told is never trained again."""

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        watch: tf.data.Dataset,
        *,
        epochs: int,
        history: History,
        tell: OnEpoch | None = None,
    ) -> None:
        super().__init__()
        self.checkpoints, self.watch, self.tell = checkpoints, watch, tell
        self.epochs, self.history = epochs, history

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begin behind the epochs that are done, as Keras' BackupAndRestore does.

        The arguments of ``fit`` stay the same, and with them the params that MLflow's autologging has kept.
        """
        self.model._initial_epoch = len(self.history)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        measured = self.model.evaluate(self.watch, verbose=0, return_dict=True)
        figures = (logs or {}) | {f"val_{name}": value for name, value in measured.items()}
        figures = {name: float(value) for name, value in figures.items()}
        log.info("epoch %d of %d: %s", epoch + 1, self.epochs, ", ".join(f"{k} {v:.3f}" for k, v in figures.items()))
        self.history = (*self.history, figures | {ENDED_AT: float(time.time_ns() // 1_000_000)})
        if self.checkpoints:
            best = best_epoch(self.history, epochs=self.epochs)
            self.checkpoints.save(snapshot(self.model, self.history), best=best)
        if self.tell:
            self.tell(epoch, self.history[-1])
        self.model.stop_training = is_over(self.history, epochs=self.epochs)


def snapshot(network: keras.Model, history: History) -> Checkpoint:
    """All that the next epoch depends on."""
    return Checkpoint(_values(_state(network)), _values(network.optimizer.variables), history)


def restore(network: keras.Model, checkpoint: Checkpoint) -> None:
    """Put a network back to where ``checkpoint`` was taken, and its optimizer if it is compiled."""
    _assign(_state(network), checkpoint.weights)
    if network.compiled:
        _assign(network.optimizer.variables, checkpoint.optimizer)


def _state(network: keras.Model) -> list[Any]:
    """Weights, and the states of the generators behind dropout, which Keras does not count as weights."""
    layers = [layer for layer in network.layers if hasattr(layer, "seed_generator")]
    return [*network.weights, *(layer.seed_generator.state for layer in layers)]


def _values(variables: Sequence[Any]) -> list[NDArray]:
    return [np.asarray(variable) for variable in variables]


def _assign(variables: Sequence[Any], values: Sequence[NDArray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
