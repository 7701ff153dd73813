"""A manifest as training examples: the classes that each photo may have, its weight, and its embedding."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.dataset.embeddings import read_embeddings
from include.lake.base import ObjectStore
from include.question import POSITIVE, Question
from include.records import UNKNOWN_CLASS


@dataclass(frozen=True)
class Examples:
    """Photos by their embeddings, float16 (n, 1280).

    ``allowed``: the classes that each may have, float32 (n, classes). ``weights``: float32 (n,). ``positive``: bool
    (n,).
    """

    embeddings: NDArray[np.float16]
    allowed: NDArray[np.float32]
    weights: NDArray[np.float32]
    positive: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.embeddings)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Examples":
        return Examples(self.embeddings[rows], self.allowed[rows], self.weights[rows], self.positive[rows])


def load_examples(store: ObjectStore, photos: pd.DataFrame, question: Question, cache: Path) -> Examples:
    """The photos of a manifest in its order; ``cache`` is this machine's folder of embeddings."""
    weights = photos["weight"].to_numpy(np.float32)
    embeddings = read_embeddings(store, photos["key"], cache)
    return Examples(embeddings, allowed_classes(photos, question), weights, is_positive(photos))


def load_train_and_val(
    store: ObjectStore, manifest: pd.DataFrame, question: Question, cache: Path
) -> tuple[Examples, Examples]:
    """The train and val photos of a manifest; each part of the embeddings is read once for both."""
    photos = manifest[manifest["split"] != "test"]
    examples = load_examples(store, photos, question, cache)
    train, val = (examples.take((photos["split"] == split).to_numpy(bool)) for split in ("train", "val"))
    return train, val


def is_positive(photos: pd.DataFrame) -> NDArray[np.bool_]:
    """Which photos have the label positive: bool (photos,)."""
    return np.asarray((photos["label"] == POSITIVE).to_numpy(bool))


def allowed_classes(manifest: pd.DataFrame, question: Question) -> NDArray[np.float32]:
    """The classes that each photo may have, by its label: float32 (photos, classes), see ``partial_label_loss``.

    A photo of an unknown class may have every class on its label's side of the question.
    """
    class_name, positive = manifest["class_name"].to_numpy(str), is_positive(manifest)
    unknown = class_name == UNKNOWN_CLASS
    columns = [
        (class_name == source) | (unknown & (positive == (number in question.positive_classes)))
        for number, source in enumerate(question.sources)
    ]
    return np.stack(columns, axis=1).astype(np.float32)
