"""What tuning may change of the network and its training, in one record that travels as JSON."""

import hashlib
import json
from dataclasses import dataclass
from typing import Self

from include.lake import layout
from include.lake.base import ObjectStore
from include.records import JsonRecord
from include.settings import Settings


@dataclass(frozen=True)
class Hyperparameters(JsonRecord):
    """``filters`` and ``blocks`` are of the network from scratch; the others are of both networks.

    ``learning_rate`` is the highest one; it is reached after ``warm_up`` of all steps. ``augmentation`` is how far
    photos are changed: 0 leaves them as they are, 1 is the usual strength.
    """

    learning_rate: float
    filters: tuple[int, ...] = (32, 64, 128, 192)
    blocks: tuple[int, ...] = (2, 2, 1, 1)
    dropout: float = 0.3
    weight_decay: float = 0.02
    warm_up: float = 0.08
    augmentation: float = 1.0

    def __post_init__(self) -> None:
        for name in ("filters", "blocks"):  # JSON knows lists only
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those that are used where nothing was tuned."""
        return cls(learning_rate=settings.learning_rate)


def chosen_for(store: ObjectStore, run: str, settings: Settings) -> Hyperparameters:
    """What the task `tune` chose for this run; where it did not run, what the settings say."""
    key = layout.run_json(run, "hyperparameters")
    return Hyperparameters.from_json(store.read(key)) if store.exists(key) else Hyperparameters.of(settings)


def last_best(store: ObjectStore, settings: Settings) -> Hyperparameters:
    """The best values of the last search with these settings; before there was one, what the settings say."""
    key = best_key(settings)
    return Hyperparameters.from_json(store.read(key)) if store.exists(key) else Hyperparameters.of(settings)


def best_key(settings: Settings) -> str:
    """Other settings of what is not tuned ask for other values: each choice of them has a place of its own."""
    names = ("network", "backbone", "image_size", "batch_size", "learning_rate")
    untuned = json.dumps([settings.recipe[name] for name in names])
    return layout.tuned(hashlib.sha256(untuned.encode()).hexdigest()[:16])
