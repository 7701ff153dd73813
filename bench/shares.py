"""Methods that share the log-odds of cat among the places of a feature map, and how close each is to Shapley values."""

from collections.abc import Callable, Sequence
from statistics import mean

import keras
import numpy as np
from scipy.special import softmax

from bench.occlusion import Photo
from bench.question import QUESTION
from include.backbone.features import freeze
from include.evaluation.metrics import positive_log_odds
from include.registry.explanation import Floats, class_shares, heat_map, linear_part, log_odds_shares
from include.training.losses import POOL

(CAT,) = POSITIVE = QUESTION.positive_classes
Explainer = Callable[[Photo], Floats]
ORDERS = 200  # in which places are added, for the Shapley values of one photo


def linearised_at_photo(shares: Floats, average: Floats) -> Floats:
    """The other classes are weighted by their softmax at the photo itself."""
    weights = softmax(np.delete(average + shares.sum(axis=(0, 1)), CAT))
    return np.asarray(shares[..., CAT] - np.delete(shares, CAT, axis=-1) @ weights)


def cat_logit(shares: Floats, _: Floats) -> Floats:
    return shares[..., CAT]


# Each gets the shares of the classes (rows, columns, classes), and the logits of an average photo.
METHODS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "averaged from an average photo to this one": lambda shares, average: log_odds_shares(shares, average, POSITIVE),
    "linearised at the photo": linearised_at_photo,
    "logit of cat alone": cat_logit,
}


class Shares:
    """The shares of the classes in one network's logits."""

    def __init__(self, network: keras.Model) -> None:
        self.part = linear_part(network)
        self.graph = freeze(keras.Model(network.input, network.get_layer(POOL).input))

    def of(self, photo: Photo) -> Floats:
        return class_shares(self.graph(photo[None])[0], self.part)

    def heat_map(self, photo: Photo) -> Floats:
        """What the product shows."""
        return heat_map(self.graph(photo[None])[0], self.part, POSITIVE)

    def explainer(self, method: str) -> Explainer:
        return lambda photo: METHODS[method](self.of(photo), self.part.average)


def compare_with_shapley(
    shares: Shares, photos: Sequence[Photo], rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """The mean and the lowest correlation of each method with the Shapley values of a photo's places."""
    shapley = [shapley_values(shares.of(photo), shares.part.average, rng).ravel() for photo in photos]
    results = {}
    for method in METHODS:
        heats = [shares.explainer(method)(photo).ravel() for photo in photos]
        correlations = [float(np.corrcoef(heat, values)[0, 1]) for heat, values in zip(heats, shapley, strict=True)]
        results[method] = mean(correlations), min(correlations)
    return results


def shapley_values(shares: Floats, average: Floats, rng: np.random.Generator) -> Floats:
    """What a place adds to the log-odds of cat, averaged over orders in which places are added to an average photo."""
    places = shares.reshape(-1, len(average))
    total = np.zeros(len(places))
    for _ in range(ORDERS):
        order = rng.permutation(len(places))
        logits = np.vstack([average, average + np.cumsum(places[order], axis=0)])
        total[order] += np.diff(positive_log_odds(logits, POSITIVE))
    return total / ORDERS
