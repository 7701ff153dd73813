"""Why a photo is positive: what each place of it adds to the log-odds, from one forward pass, laid over the photo.

Every network here ends in a mean over the places of its last feature map and a linear layer, so that each logit is a
sum over the places. For the log-odds of the positive classes, which are no such sum, a place counts by its
Aumann-Shapley value ("integrated gradients", Sundararajan, Taly & Yan, ICML 2017): here a sum over the classes.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import correlate1d
from scipy.special import softmax

from include.errors import ModelError
from include.training.losses import HEAD, POOL

STEPS = 32  # between an average photo and this one, where the weights of the classes are averaged
SIDE = 384  # the longer side of the picture, in pixels
FOR, AGAINST = np.array([214, 39, 40]), np.array([31, 119, 180])
STRENGTH = 0.7  # how much of the photo the strongest colour hides

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LinearPart:
    """What follows the feature map: logits = mean over places of (features - ``mean``) @ ``kernel``, plus ``average``.

    Shapes (channels,), (channels, classes) and (classes,). ``mean`` are the features of an average training photo, and
    ``average`` its logits; of a network that does not standardise its features, those of a photo without any.
    """

    mean: Floats
    kernel: Floats
    average: Floats


def with_feature_map(network: keras.Model) -> keras.Model:
    """The network with a second output, the last feature map: (photos, rows, columns, channels)."""
    return keras.Model(network.input, [network.output, network.get_layer(POOL).input])


def heat_map(feature_map: NDArray[np.float32], part: LinearPart, positive_classes: Sequence[int]) -> Floats:
    """The share of each place in the log-odds of positive, from the last feature map of one photo.

    Shapes (rows, columns, channels) and (rows, columns): 7 x 7 of the default network. The shares add up to the
    log-odds of this photo less those of an average one. They are approximate: exact for the linear part alone, but the
    features of a place also depend on what lies around it.
    """
    shares = class_shares(feature_map, part)
    return smooth(log_odds_shares(shares, part.average, positive_classes))


def linear_part(network: keras.Model) -> LinearPart:
    """The layers from POOL to HEAD as one linear function. Raises ModelError, naming the layer that does not fit."""
    names = [layer.name for layer in network.layers]
    if POOL not in names or names[-1] != HEAD:
        raise ModelError(f"the network has no layer {POOL!r}, or does not end in {HEAD!r}: run retrain once")
    kernel, bias = (np.asarray(weights, np.float64) for weights in network.layers[-1].get_weights())
    mean = np.zeros(len(kernel))
    for layer in network.layers[names.index(POOL) + 1 : -1]:
        if isinstance(layer, layers.Normalization):
            mean = np.asarray(layer.mean, np.float64).ravel()
            spread = np.sqrt(np.asarray(layer.variance, np.float64)).ravel()
            kernel = kernel / np.maximum(spread, keras.config.epsilon())[:, None]
        elif not isinstance(layer, layers.Dropout):
            raise ModelError(f"the layer {layer.name!r} between {POOL!r} and {HEAD!r} is not linear: run retrain once")
    return LinearPart(mean, kernel, bias)


def class_shares(feature_map: NDArray[np.float32], part: LinearPart) -> Floats:
    """What each place adds to each logit of an average photo: (rows, columns, channels) -> (rows, columns, classes)."""
    rows, columns, _ = feature_map.shape
    return np.asarray((feature_map - part.mean) @ part.kernel / (rows * columns))


def log_odds_shares(shares: Floats, average: Floats, positive_classes: Sequence[int]) -> Floats:
    """The shares for the positive classes less those for the others, each group weighted by its softmax.

    Shape (rows, columns). The softmax is averaged on the straight line from an average photo to this one. At the photo
    alone it would ignore all classes but the likeliest, and the shares would not add up (docs/adr/0018).
    """
    line = average + np.linspace(0.5 / STEPS, 1 - 0.5 / STEPS, STEPS)[:, None] * shares.sum(axis=(0, 1))
    positive = np.isin(np.arange(len(average)), positive_classes)
    return _weighted(shares, line, positive) - _weighted(shares, line, ~positive)


def _weighted(shares: Floats, line: Floats, classes: NDArray[np.bool_]) -> Floats:
    weights = softmax(line[:, classes], axis=1).mean(axis=0)
    return np.asarray(shares[..., classes] @ weights)


def smooth(heat: Floats) -> Floats:
    """Each value averaged with its neighbours, for a place sees beyond its borders; the sum stays."""
    for axis in (0, 1):
        heat = correlate1d(heat, (0.25, 0.5, 0.25), axis=axis, mode="nearest")
    return heat


def overlay_heat_map(photo: Image.Image, heat: Floats) -> str:
    """The photo in grey, red where a region speaks for positive and blue where against: a PNG as base64."""
    small = photo.copy()
    small.thumbnail((SIDE, SIDE))
    scaled = Image.fromarray((heat / max(np.abs(heat).max(), 1e-12)).astype(np.float32))
    warmth = np.clip(np.asarray(scaled.resize(small.size, Image.Resampling.BICUBIC)), -1, 1)[..., None]
    veil = STRENGTH * np.abs(warmth)
    grey = np.asarray(small.convert("L"), float)[..., None]
    mixed = (1 - veil) * grey + veil * np.where(warmth > 0, FOR, AGAINST)
    file = io.BytesIO()
    Image.fromarray(mixed.round().astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
