"""Train one network on several devices or machines with tf.distribute.

``TF_CONFIG``, as TensorFlow reads it, lists the workers. Without it all GPUs of this machine are used, or its only
device. Every worker draws the same batches and trains on its part of each.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from include.training.checkpoints import Checkpoint


def open_strategy() -> tf.distribute.Strategy:
    """The strategy over all workers, else over all GPUs of this machine, else the default one.

    With several workers it waits until all of them have started.
    """
    if _cluster().cluster_spec().as_dict():
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief() -> bool:
    """Whether this process saves checkpoints and logs to MLflow: the first of several workers, or the only process."""
    return not _cluster().task_id


def _cluster() -> Any:
    return tf.distribute.cluster_resolver.TFConfigClusterResolver()


def split_batches(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Give every worker its part of each batch. Without several workers this changes nothing."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)


def wrap_for_workers(network: keras.Model) -> keras.Model:
    """The network in a form that Keras' ``fit`` can train under the current strategy."""
    has_workers = isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy)
    return SharedNetwork(network.input, network.output, name=network.name) if has_workers else network


def broadcast_checkpoint(network: keras.Model, checkpoint: Checkpoint, *, epochs: int) -> Checkpoint:
    """The chief's checkpoint, on every worker; each worker gives its own, with the same shapes and dtypes.

    In the history the other workers get only the val losses, which decide when to stop.
    """
    strategy = network.distribute_strategy
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return checkpoint
    history = checkpoint.history
    losses = np.zeros(epochs + 1)  # the number of finished epochs, then the val loss of each
    losses[: len(history) + 1] = [len(history), *(metrics["val_loss"] for metrics in history)]
    *arrays, losses = _from_chief(strategy, [*checkpoint.weights, *checkpoint.optimizer, losses])
    if not is_chief():
        history = tuple({"val_loss": loss} for loss in losses[1 : 1 + int(losses[0])])
    return Checkpoint(arrays[: len(checkpoint.weights)], arrays[len(checkpoint.weights) :], history)


def _from_chief(strategy: tf.distribute.Strategy, values: Sequence[NDArray]) -> list[NDArray]:
    """The chief's values, on every worker; all workers give values of the same shapes and dtypes."""

    @tf.function
    def add() -> list[tf.Tensor]:
        replica = tf.distribute.get_replica_context()
        first = replica.replica_id_in_sync_group == 0
        parts = [tf.where(first, tensor, tf.zeros_like(tensor)) for tensor in map(_summable, values)]
        return [replica.all_reduce(tf.distribute.ReduceOp.SUM, part) for part in parts]

    sums = [strategy.experimental_local_results(total)[0].numpy() for total in strategy.run(add)]
    return [total.astype(value.dtype) for total, value in zip(sums, values, strict=True)]


def _summable(value: NDArray) -> tf.Tensor:
    """All-reduce does not support unsigned integers, which the states of random generators consist of."""
    return tf.constant(value.astype(np.int64) if value.dtype.kind == "u" else value)


class SharedNetwork(keras.Model):
    """A network whose ``fit`` runs Keras' own training and test steps on all workers.

    ``fit`` of Keras 3 does not work with several workers: it builds the network from a distributed batch, and averages
    over an axis that scalar metrics lack. https://github.com/keras-team/keras/issues/20585
    """

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        photo, label = self.input_shape[1:], self.output_shape[1:]
        example = (tf.zeros((1, *photo), tf.uint8), tf.zeros((1, *label)), tf.zeros(1))
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=example)

    def make_train_function(self, force: bool = False) -> Any:
        if force or self.train_function is None:
            self.train_function: Any = self._on_all_workers(self.train_step)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        if force or self.test_function is None:
            self.test_function: Any = self._on_all_workers(self.test_step)
        return self.test_function

    def _on_all_workers(self, step: Callable[[Any], Any]) -> Any:
        strategy = self.distribute_strategy

        @tf.function(reduce_retracing=True)
        def run_step(iterator: Any) -> Any:
            metrics = strategy.run(step, args=(next(iterator),))
            return {name: strategy.reduce("MEAN", value, axis=None) for name, value in metrics.items()}

        return run_step
