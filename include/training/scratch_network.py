"""The small network that learns from nothing: its layers, and the optimizer it is trained with."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from include.training.losses import HEAD, POOL, PositiveAveragePrecision, partial_label_loss


def build_network(
    *,
    image_size: int,
    classes: int = 4,
    filters: Sequence[int] = (32, 64, 128, 192),
    blocks: Sequence[int] = (2, 2, 1, 1),
    dropout: float = 0.3,
) -> keras.Model:
    """The network that learns from nothing: uint8 RGB (batch, size, size, 3) -> logits (batch, classes).

    A small residual network of ``blocks`` blocks of ``filters`` filters in each stage; all weights random.
    """
    photo = keras.Input((image_size, image_size, 3), dtype="uint8", name="photo")
    x = layers.Rescaling(1 / 127.5, offset=-1)(photo)
    x = _residual_stages(x, filters, blocks)
    x = layers.GlobalAveragePooling2D(name=POOL)(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(photo, layers.Dense(classes, name=HEAD)(x), name="scratch")


def compile_network(
    network: keras.Model,
    *,
    learning_rate: float,
    steps: int,
    positive: Sequence[int],
    weight_decay: float = 0.02,
    warm_up: float = 0.08,
) -> None:
    """AdamW whose rate rises over the first ``warm_up`` of all ``steps`` and falls on a cosine (arXiv:1608.03983)."""
    rising = max(1, int(steps * warm_up))
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=max(1, steps - rising), warmup_target=learning_rate, warmup_steps=rising
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=weight_decay)
    network.compile(optimizer, loss=partial_label_loss, weighted_metrics=[PositiveAveragePrecision(positive)])


def _residual_stages(x: Any, filters: Sequence[int], blocks: Sequence[int]) -> Any:
    """He et al., 2016. The stem divides each side by four at once: on a CPU, layers at full resolution cost most."""
    x = _convolve(x, filters[0], size=7, strides=4)
    for stage, (width, depth) in enumerate(zip(filters, blocks, strict=True)):
        for block in range(depth):
            x = _residual(x, width, strides=2 if stage and not block else 1)
    return x


def _convolve(x: Any, width: int, *, size: int = 3, strides: int = 1, activate: bool = True) -> Any:
    x = layers.Conv2D(width, size, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.ReLU()(x) if activate else x


def _residual(x: Any, width: int, *, strides: int) -> Any:
    y = _convolve(x, width, strides=strides)
    y = _convolve(y, width, activate=False)
    if strides > 1 or x.shape[-1] != width:
        x = layers.AveragePooling2D(strides, padding="same")(x) if strides > 1 else x
        x = _convolve(x, width, size=1, activate=False)
    return layers.ReLU()(layers.Add()([x, y]))
