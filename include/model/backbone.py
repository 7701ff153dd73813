"""What the network ``mobilenet`` begins with: weights learned from ImageNet, and a head that fits them."""

from collections.abc import Iterable
from pathlib import Path

import keras
import tensorflow as tf

from include.errors import BackboneError
from include.model.network import ALPHA, FEATURES, HEAD, kind_loss, mobilenet

WEIGHTS_FILE = "mobilenet_2_5_224_tf_no_top.h5"  # as Keras names it
CURE = (
    f"set CAT_BACKBONE_WEIGHTS to a copy of Keras' file {WEIGHTS_FILE}, or CAT_NETWORK=scratch, which needs no weights"
)


def load_backbone(network: keras.Model, weights: Path | None) -> None:
    """Give the network's backbone ImageNet weights, from a file or, without one, from Keras' own download.

    Raises BackboneError when the file is missing or does not fit, or when the download fails.
    """
    learned = _from_file(weights) if weights else _from_keras()
    own = network.get_weights()
    network.set_weights([*learned, *own[len(learned) :]])


def fit_head(
    network: keras.Model,
    batches: Iterable[tuple],
    *,
    learning_rate: float = 0.01,
    dropout: float = 0.3,
    passes: int = 30,
) -> None:
    """Fit the head alone, on what the backbone makes of the photos as they are, before all is tuned together.

    Without this the random head's first gradients would spoil the backbone (Keras' guide to transfer learning).
    ``batches`` are those of ``feeding.ordered_batches``.
    """
    backbone = keras.Model(network.input, network.get_layer(FEATURES).output)
    known = [(backbone(photos, training=False), kinds, weight) for photos, kinds, weight in batches]
    head, optimizer = network.get_layer(HEAD), keras.optimizers.Adam(learning_rate)

    @tf.function(reduce_retracing=True)
    def step(features: tf.Tensor, kinds: tf.Tensor, weight: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(weight * kind_loss(kinds, head(features)))
        optimizer.apply(tape.gradient(loss, head.trainable_weights), head.trainable_weights)

    for _ in range(passes):
        for batch in known:
            step(*batch)


def _from_file(path: Path) -> list:
    if not path.is_file():
        raise BackboneError(f"CAT_BACKBONE_WEIGHTS {str(path)!r} is no file; {CURE}")
    backbone = mobilenet(keras.Input((224, 224, 3)))
    try:
        backbone.load_weights(path)
    except (ValueError, OSError, KeyError) as error:  # other layers or shapes; no HDF5
        raise BackboneError(
            f"CAT_BACKBONE_WEIGHTS {str(path)!r} does not hold the weights of MobileNet {ALPHA} without its top "
            f"({str(error).splitlines()[0]}); {CURE}"
        ) from error
    return list(backbone.get_weights())


def _from_keras() -> list:
    try:
        backbone = keras.applications.MobileNet(input_shape=(224, 224, 3), alpha=ALPHA, include_top=False)
    except Exception as error:  # Keras raises a bare Exception when the download fails
        raise BackboneError(f"Keras cannot download MobileNet's weights ({error}); {CURE}") from error
    return list(backbone.get_weights())
