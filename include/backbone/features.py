"""Photos -> feature vectors by the frozen backbone, always through the same form of its graph."""

from collections.abc import Callable
from functools import cache, partial

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from include.backbone import FEATURES
from include.backbone.architecture import assign_weights, build_backbone
from include.backbone.weights import load_weights

BATCH = 32  # photos per call: larger batches are no faster, and memory use stays flat
# From photos (n, size, size, 3) to a row for each; and to one such array for each output of a network.
Graph = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Outputs = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], ...]]


def features(photos: NDArray[np.uint8]) -> NDArray[np.float16]:
    """The pooled last feature map of each photo: uint8 (n, 224, 224, 3) to float16 (n, 1280).

    A photo's vector depends neither on the other photos nor on the number of threads. Raises BackboneError if the
    package with the weights is missing or is not the pinned one.
    """
    graph = _backbone()
    rows = [np.empty((0, FEATURES), np.float32)]
    rows += [graph(photos[start : start + BATCH]) for start in range(0, len(photos), BATCH)]
    return np.concatenate(rows).astype(np.float16)


def freeze(network: keras.Model) -> Graph:
    """The first output of ``freeze_outputs``."""
    outputs = freeze_outputs(network)
    return lambda photos: outputs(photos)[0]


def freeze_outputs(network: keras.Model) -> Outputs:
    """A network as one graph with constant weights, for any number of photos.

    Calling a Keras model runs each layer from Python, which takes many times longer than the computation.
    `bench/inference.py` measures what constants save over variables for a single photo.
    """
    photos = tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8)
    graph = tf.function(partial(network, training=False), input_signature=[photos]).get_concrete_function()
    frozen = convert_variables_to_constants_v2(graph)
    # with a signature again: without one each call fails first inside TensorFlow, which prints the photos for nothing
    signed = frozen.prune(frozen.inputs, frozen.outputs, input_signature=((photos,), {}))
    return lambda batch: tuple(map(np.asarray, signed(tf.constant(batch))))


@cache
def _backbone() -> Graph:
    network = build_backbone()
    assign_weights(network, load_weights())
    return freeze(keras.Model(network.input, keras.layers.GlobalAveragePooling2D()(network.output)))
