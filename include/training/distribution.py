"""Several devices or machines that train one network together, by tf.distribute; which ones, the machine tells.

``TF_CONFIG``, as TensorFlow reads it, names the workers; without it all GPUs of this machine are used, or its one
device. Every worker draws the same batches and takes its part of each.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from include.training.checkpoints import Checkpoint


def open_strategy() -> tf.distribute.Strategy:
    """Several workers: one strategy over them, which waits until all are there. Several GPUs: one over them."""
    if _cluster().cluster_spec().as_dict():
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief() -> bool:
    """Whether this process keeps checkpoints and speaks with MLflow; of several workers the first one does."""
    return not _cluster().task_id


def _cluster() -> Any:
    return tf.distribute.cluster_resolver.TFConfigClusterResolver()


def split_batches(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Let every worker take its part of each batch. Without several workers this changes nothing."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)


def shared(network: keras.Model) -> keras.Model:
    """The network in a form that ``fit`` of Keras can train, whatever the strategy of this scope."""
    several = isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy)
    return SharedNetwork(network.input, network.output, name=network.name) if several else network


def share(network: keras.Model, begun: Checkpoint, *, epochs: int) -> Checkpoint:
    """The chief's checkpoint, in every worker. Of its history they get what stopping depends on: the losses on val."""
    strategy = network.distribute_strategy
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return begun
    done = np.zeros(epochs + 1)
    done[: len(begun.history) + 1] = [len(begun.history), *(figures["val_loss"] for figures in begun.history)]
    *arrays, told = _from_chief(strategy, [*begun.weights, *begun.optimizer, done])
    history = begun.history if is_chief() else tuple({"val_loss": loss} for loss in told[1 : 1 + int(told[0])])
    return Checkpoint(arrays[: len(begun.weights)], arrays[len(begun.weights) :], history)


def _from_chief(strategy: tf.distribute.Strategy, values: Sequence[NDArray]) -> list[NDArray]:
    """The chief's values, in every worker; the others give values of the same shapes and types."""

    @tf.function
    def add() -> list[tf.Tensor]:
        replica = tf.distribute.get_replica_context()
        first = replica.replica_id_in_sync_group == 0
        parts = [tf.where(first, tensor, tf.zeros_like(tensor)) for tensor in map(_summable, values)]
        return [replica.all_reduce(tf.distribute.ReduceOp.SUM, part) for part in parts]

    sums = [strategy.experimental_local_results(each)[0].numpy() for each in strategy.run(add)]
    return [each.astype(value.dtype) for each, value in zip(sums, values, strict=True)]


def _summable(value: NDArray) -> tf.Tensor:
    """Collectives know no unsigned numbers, of which the states of random generators are made."""
    return tf.constant(value.astype(np.int64) if value.dtype.kind == "u" else value)


class SharedNetwork(keras.Model):
    """Keras' own training steps, run on all workers.

    ``fit`` of Keras 3 does not work with several workers: it builds the network from a batch that is spread over them,
    and takes means over an axis that single figures lack. https://github.com/keras-team/keras/issues/20585
    """

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        photo, kinds = self.input_shape[1:], self.output_shape[1:]
        example = (tf.zeros((1, *photo), tf.uint8), tf.zeros((1, *kinds)), tf.zeros(1))
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=example)

    def make_train_function(self, force: bool = False) -> Any:
        if force or self.train_function is None:
            self.train_function: Any = self._on_all(self.train_step)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        if force or self.test_function is None:
            self.test_function: Any = self._on_all(self.test_step)
        return self.test_function

    def _on_all(self, step: Callable[[Any], Any]) -> Any:
        strategy = self.distribute_strategy

        @tf.function(reduce_retracing=True)
        def on_all(iterator: Any) -> Any:
            figures = strategy.run(step, args=(next(iterator),))
            return {name: strategy.reduce("MEAN", value, axis=None) for name, value in figures.items()}

        return on_all
