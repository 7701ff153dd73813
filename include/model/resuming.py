"""Epoch by epoch: measure, keep a checkpoint, decide whether to stop. All of it can be taken up after a kill."""

import logging
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from include.model.checkpoints import Checkpoint, Checkpoints, History

log = logging.getLogger(__name__)


def best_epoch(history: History, *, epochs: int) -> int:
    """The epoch, from 1, with the lowest loss on val in the second half; before that half, the last one."""
    first = epochs // 2
    losses = [figures["val_loss"] for figures in history[first:]]
    return first + 1 + int(np.argmin(np.nan_to_num(losses, nan=np.inf))) if losses else len(history)


def is_over(history: History, *, epochs: int) -> bool:
    """Whether all epochs are done, or the loss on val has not fallen for a third of them (at least five)."""
    return len(history) >= epochs or len(history) - best_epoch(history, epochs=epochs) >= max(5, epochs // 3)


class KeepEachEpoch(keras.callbacks.Callback):
    """Stands first among the callbacks: what it measures on val is theirs too, and they hear of no epoch that is lost.

    So no epoch that MLflow has seen is ever trained again.
    """

    def __init__(self, checkpoints: Checkpoints, watch: tf.data.Dataset, *, epochs: int, history: History) -> None:
        super().__init__()
        self.checkpoints, self.watch, self.epochs, self.history = checkpoints, watch, epochs, history

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begin behind the epochs that are done, as Keras' BackupAndRestore does.

        The arguments of ``fit`` stay the same, and with them the params that MLflow's autologging has kept.
        """
        self.model._initial_epoch = len(self.history)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        figures = logs if logs is not None else {}
        measured = self.model.evaluate(self.watch, verbose=0, return_dict=True)
        figures |= {f"val_{name}": value for name, value in measured.items()}
        self.history = (*self.history, {name: float(value) for name, value in figures.items()})
        best = best_epoch(self.history, epochs=self.epochs)
        self.checkpoints.save(take(self.model, self.history), best=best)
        told = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        log.info("epoch %d of %d: %s", epoch + 1, self.epochs, told)
        self.model.stop_training = is_over(self.history, epochs=self.epochs)


def take(network: keras.Model, history: History) -> Checkpoint:
    """All that the next epoch depends on."""
    return Checkpoint(_values(_state(network)), _values(network.optimizer.variables), history)


def restore(network: keras.Model, checkpoint: Checkpoint, *, optimizer: bool = True) -> None:
    """Put a compiled network back to where ``checkpoint`` was taken."""
    _assign(_state(network), checkpoint.weights)
    if optimizer:
        network.optimizer.build(network.trainable_variables)
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
