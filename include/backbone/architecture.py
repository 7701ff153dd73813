"""EfficientNet-Lite0 (Tan & Le, ICML 2019; the "lite" variant: no squeeze-and-excitation, ReLU6, fixed stem and head).

Each batch normalisation is folded into the convolution before it: fewer layers compute the same function.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from include.backbone import FEATURES, SIZE
from include.backbone.weights import Weights

# repeats, kernel size, stride of the first block, expansion ratio, output filters
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
EPSILON = 1e-3  # added to the variance in batch normalisation
UPPER = "block_11_"  # prefix of the first of the last five blocks; fine-tuning trains from here on


def build_backbone() -> keras.Model:
    """uint8 RGB (batch, 224, 224, 3) -> the last feature map, float32 (batch, 7, 7, 1280); random weights."""
    photo = keras.Input((SIZE, SIZE, 3), dtype="uint8", name="photo")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(photo)
    x = _convolve(x, 32, name="stem", strides=2)
    for number, (kernel, stride, expansion, filters) in enumerate(_blocks()):
        x = _block(x, f"block_{number}", kernel, stride, expansion, filters)
    return keras.Model(photo, _convolve(x, FEATURES, name="top"), name="efficientnet_lite0")


def assign_weights(network: keras.Model, weights: Weights) -> None:
    """Set the pre-trained weights of the layers of ``build_backbone``, alone or as part of a larger network."""
    for layer in network.layers:
        if layer.name in _SOURCES:
            convolution, norm = _SOURCES[layer.name]
            layer.set_weights(_fold(weights, convolution, norm, depthwise=layer.name.endswith("depthwise")))


def _blocks() -> Iterator[tuple[int, int, int, int]]:
    """Kernel size, stride, expansion ratio and output filters of each of the 16 blocks."""
    for repeats, kernel, stride, expansion, filters in STAGES:
        for repeat in range(repeats):
            yield kernel, 1 if repeat else stride, expansion, filters


def _block(x: Any, name: str, kernel: int, stride: int, expansion: int, filters: int) -> Any:
    """An inverted residual block (Sandler et al., CVPR 2018): expansion, depthwise convolution, projection."""
    width = x.shape[-1]
    y = x if expansion == 1 else _convolve(x, expansion * width, name=f"{name}_expand")
    y = layers.DepthwiseConv2D(kernel, stride, padding="same", name=f"{name}_depthwise")(y)
    y = layers.ReLU(max_value=6, name=f"{name}_depthwise_relu")(y)
    y = layers.Conv2D(filters, 1, name=f"{name}_project")(y)
    return layers.Add(name=f"{name}_add")([y, x]) if stride == 1 and filters == width else y


def _convolve(x: Any, filters: int, *, name: str, strides: int = 1) -> Any:
    size = 3 if name == "stem" else 1
    x = layers.Conv2D(filters, size, strides, padding="same", name=name)(x)
    return layers.ReLU(max_value=6, name=f"{name}_relu")(x)


def _sources() -> dict[str, tuple[str, str]]:
    """For each layer the names of its convolution and of its batch normalisation in the weights file."""
    sources = {"stem": ("_conv_stem", "_bn0"), "top": ("_conv_head", "_bn1")}
    for number, (_, _, expansion, _) in enumerate(_blocks()):
        parts = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
        for part, norm in parts.items():
            if part != "expand" or expansion > 1:
                sources[f"block_{number}_{part}"] = (f"_blocks.{number}._{part}_conv", f"_blocks.{number}.{norm}")
    return sources


_SOURCES = _sources()


def _fold(weights: Weights, convolution: str, norm: str, *, depthwise: bool) -> list[NDArray[Any]]:
    """Kernel, with its axes in Keras' order, and bias of a convolution with its batch normalisation folded in."""
    parts = ("weight", "bias", "running_mean", "running_var")
    gamma, beta, mean, variance = (weights[f"{norm}.{part}"] for part in parts)
    scale = gamma / np.sqrt(variance + np.float32(EPSILON))
    kernel = weights[f"{convolution}.weight"] * scale[:, None, None, None]
    return [kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)), beta - mean * scale]
