"""Ways to share the log-odds of cat among the places of a feature map, and how near each comes to Shapley values."""

from collections.abc import Callable, Sequence
from statistics import mean

import keras
import numpy as np
from scipy.special import softmax

from bench.covering import Photo
from include.backbone.features import freeze
from include.evaluation.metrics import positive_log_odds
from include.records import CAT
from include.registry.explanation import Explainer, Floats, class_shares, linear_part, log_odds_shares
from include.training.losses import POOL

ORDERS = 200  # in which places are added, for the Shapley values of one photo


def at_the_photo(shares: Floats, average: Floats) -> Floats:
    """Linearised: the other kinds weighted by their softmax at the photo itself."""
    weights = softmax(np.delete(average + shares.sum(axis=(0, 1)), CAT))
    return np.asarray(shares[..., CAT] - np.delete(shares, CAT, axis=-1) @ weights)


def of_cat_alone(shares: Floats, _: Floats) -> Floats:
    return shares[..., CAT]


# from the shares of the kinds (rows, columns, kinds), and the logits of an average photo
WAYS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "averaged from an average photo to this one": log_odds_shares,
    "linearised at the photo": at_the_photo,
    "logit of cat alone": of_cat_alone,
}


class Shares:
    """The shares of the kinds in one network's logits."""

    def __init__(self, network: keras.Model) -> None:
        self.part = linear_part(network)
        self.graph = freeze(keras.Model(network.input, network.get_layer(POOL).input))

    def of(self, photo: Photo) -> Floats:
        return class_shares(self.graph(photo[None])[0], self.part)

    def explainer(self, way: str) -> Explainer:
        return lambda photo: WAYS[way](self.of(photo), self.part.average)


def compare_with_shapley(
    shares: Shares, photos: Sequence[Photo], rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """Of each way the mean and the lowest correlation with the Shapley values of a photo's places."""
    exact = [shapley(shares.of(photo), shares.part.average, rng).ravel() for photo in photos]
    compared = {}
    for way in WAYS:
        heats = [shares.explainer(way)(photo).ravel() for photo in photos]
        alike = [float(np.corrcoef(heat, values)[0, 1]) for heat, values in zip(heats, exact, strict=True)]
        compared[way] = mean(alike), min(alike)
    return compared


def shapley(shares: Floats, average: Floats, rng: np.random.Generator) -> Floats:
    """What a place adds to the log-odds of cat, averaged over orders in which places are added to an average photo."""
    places = shares.reshape(-1, len(average))
    total = np.zeros(len(places))
    for _ in range(ORDERS):
        order = rng.permutation(len(places))
        seen = np.vstack([average, average + np.cumsum(places[order], axis=0)])
        total[order] += np.diff(positive_log_odds(seen))
    return total / ORDERS
