"""What a training begins with: weights that were learned before, so that it need not learn to see anew."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras

from include.data.features import EXTRACTOR
from include.lake import layout
from include.lake.base import ObjectStore
from include.model.backbone import load_backbone
from include.model.extractor import load_extractor
from include.model.hyperparameters import Hyperparameters
from include.model.network import build_network
from include.settings import Settings


@dataclass(frozen=True)
class Start:
    """``load`` gives a network its first weights, all but the head; ``name`` differs where they differ."""

    name: str
    load: Callable[[keras.Model], None] | None


RANDOM = Start("random", None)


def starting_point(store: ObjectStore, settings: Settings) -> Start:
    """ImageNet's weights for ``mobilenet``; for ``scratch`` those of the lake's own extractor, where it has one.

    The extractor never changes, so that a training is a function of its dataset and lake, whoever is champion.
    """
    if settings.network == "mobilenet":
        return Start(str(settings.backbone), partial(load_backbone, weights=settings.backbone_weights))
    extractor = load_extractor(store)
    if extractor is None:
        return RANDOM
    return begin_with(extractor, name=hashlib.sha256(store.read(layout.extractor(EXTRACTOR))).hexdigest())


def begin_with(extractor: keras.Model, *, name: str) -> Start:
    return Start(name, partial(_copy, extractor.get_weights()))


def build(settings: Settings, chosen: Hyperparameters, *, size: int | None = None) -> keras.Model:
    """The network that the settings and hyperparameters ask for, its weights random; those fit any ``size``."""
    return build_network(
        image_size=size or settings.image_size,
        network=settings.network,
        filters=chosen.filters,
        blocks=chosen.blocks,
        dropout=chosen.dropout,
    )


def _copy(learned: list, network: keras.Model) -> None:
    """A network of another shape keeps its random weights."""
    own = network.get_weights()
    fits = [weight.shape for weight in own[: len(learned)]] == [weight.shape for weight in learned]
    if fits:
        network.set_weights([*learned, *own[len(learned) :]])
