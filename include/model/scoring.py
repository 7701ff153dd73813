"""Network + photos -> scores."""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from include.model.feeding import ordered_batches
from include.model.pixels import Pixels

Scorer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # photos (n, size, size, 3) -> logits (n, kinds)


def as_graph(network: keras.Model) -> Scorer:
    """The network as one graph, for a few photos at a time and any number of them.

    A call of a Keras model runs each layer by itself from Python, which costs many times what the layers compute.
    """
    photos = tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8)
    graph = tf.function(partial(network, training=False), input_signature=[photos])
    return lambda some: np.asarray(graph(some))


def score(network: keras.Model, pixels: Pixels, manifest: pd.DataFrame) -> NDArray[np.float32]:
    """Logits of every photo of the manifest, in its order; float32, shape (photos, kinds)."""
    return np.asarray(network.predict(ordered_batches(pixels, manifest), verbose=0))
