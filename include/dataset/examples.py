"""Manifest -> what a network learns from: which kinds each photo may be, what it weighs, and its features."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.dataset.embeddings import read_embeddings
from include.lake.base import ObjectStore
from include.records import CAT, CLASSES, SOURCES, UNKNOWN_CLASS


@dataclass(frozen=True)
class Examples:
    """Photos by their features, float16 (n, 1280); the kinds that each may be, float32 (n, 4); weights, float32."""

    features: NDArray[np.float16]
    allowed: NDArray[np.float32]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Examples":
        return Examples(self.features[rows], self.allowed[rows], self.weights[rows])


def load_examples(store: ObjectStore, photos: pd.DataFrame, cache: Path) -> Examples:
    """The photos of a manifest in its order; ``cache`` is this machine's folder of features."""
    weights = photos["weight"].to_numpy(np.float32)
    return Examples(read_embeddings(store, photos["key"], cache), allowed_classes(photos), weights)


def load_train_and_val(store: ObjectStore, manifest: pd.DataFrame, cache: Path) -> list[Examples]:
    """The photos that train, and those that stop training early; each part of the features is read once for both."""
    photos = manifest[manifest["split"] != "test"]
    examples = load_examples(store, photos, cache)
    return [examples.take((photos["split"] == side).to_numpy(bool)) for side in ("train", "val")]


def allowed_classes(manifest: pd.DataFrame) -> NDArray[np.float32]:
    """Which kinds each photo may be, by its label: float32 (photos, kinds), see ``network.partial_label_loss``."""
    allowed = np.zeros((len(manifest), CLASSES), np.float32)
    for place, kind in enumerate(SOURCES):
        allowed[(manifest["class_name"] == kind).to_numpy(bool), place] = 1
    unknown = (manifest["class_name"] == UNKNOWN_CLASS).to_numpy(bool)
    cat = (manifest["label"] == "cat").to_numpy(bool)
    allowed[unknown & cat, CAT] = 1
    allowed[np.ix_(unknown & ~cat, [kind for kind in range(CLASSES) if kind != CAT])] = 1
    return allowed
