"""The nearest neighbours of a photo among known photos: they may show why a model is wrong, or a label an issue."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.dataset.embeddings import read_embeddings
from include.lake.base import ObjectStore
from include.pages.images import add_pictures, small_pictures

ROWS = 2048  # known photos at a time
DIGITS = 9  # of a cosine: below them is the order of summing, and equal photos must tie


def with_neighbours(store: ObjectStore, photos: pd.DataFrame, known: pd.DataFrame, cache: Path) -> list[dict[str, Any]]:
    """A record of each photo with its picture and, as ``neighbours``, such records of the nearest known photos.

    Both tables have a column ``key``; ``cache`` is this machine's folder of embeddings.
    """
    if photos.empty:
        return []
    keys = pd.concat([photos["key"], known["key"]], ignore_index=True)
    embeddings = read_embeddings(store, keys, cache)
    rows = nearest(embeddings[: len(photos)], embeddings[len(photos) :])
    pictures = small_pictures(store, [*photos["key"], *known["key"].iloc[rows.ravel()]])
    neighbours = [add_pictures(known.iloc[places], pictures) for places in rows]
    shown = zip(add_pictures(photos, pictures), neighbours, strict=True)
    return [photo | {"neighbours": near} for photo, near in shown]


def nearest(embeddings: NDArray[np.float16], known: NDArray[np.float16], *, count: int = 5) -> NDArray[np.int64]:
    """The rows of the ``count`` most similar known photos, the nearest first: int64, shape (photos, count).

    Of (photos, channels) and (known photos, channels); similar by the cosine about the mean of all known ones. Of
    equally similar ones the first is nearer. With fewer known photos than ``count`` all of them are returned.
    """
    chunks = np.array_split(known, len(known) // ROWS + 1)  # memory stays flat however many are known
    sums = np.stack([chunk.sum(axis=0, dtype=np.float64) for chunk in chunks])
    centre: NDArray[np.float64] = np.asarray(sums.sum(axis=0) / max(1, len(known)))
    wanted = _directions(embeddings, centre)
    cosines = np.hstack([np.round(wanted @ _directions(chunk, centre).T, DIGITS) for chunk in chunks])
    return np.argsort(-cosines, axis=1, kind="stable")[:, :count]


def _directions(embeddings: NDArray[np.float16], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the centre to each row, with length one."""
    offsets = embeddings - centre
    return np.asarray(offsets / np.maximum(np.linalg.norm(offsets, axis=1, keepdims=True), 1e-12))
