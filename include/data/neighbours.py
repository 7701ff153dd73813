"""Which known photos look most like a photo: how a person finds out why a model is wrong, or a label is doubted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.data.features import read_features
from include.data.pages import add_pictures, small_pictures
from include.lake.base import ObjectStore

ROWS = 2048  # of either side at a time: memory stays flat however many photos are known
DIGITS = 9  # of a cosine: below them is the order of summing, and equal photos must tie


def add_neighbours(store: ObjectStore, photos: pd.DataFrame, known: pd.DataFrame, cache: Path) -> list[dict[str, Any]]:
    """A record of each photo with its picture and, as ``neighbours``, such records of the nearest known photos.

    Both tables have a column ``key``; ``cache`` is this machine's folder of features.
    """
    if photos.empty:
        return []
    keys = pd.concat([photos["key"], known["key"]], ignore_index=True)
    features = read_features(store, keys, cache)
    rows = nearest(features[: len(photos)], features[len(photos) :])
    pictures = small_pictures(store, [*photos["key"], *known["key"].iloc[rows.ravel()]])
    neighbours = [add_pictures(known.iloc[places], pictures) for places in rows]
    return [
        photo | {"neighbours": near} for photo, near in zip(add_pictures(photos, pictures), neighbours, strict=True)
    ]


def nearest(features: NDArray[np.float16], known: NDArray[np.float16], *, count: int = 5) -> NDArray[np.int64]:
    """The rows of the ``count`` most similar known photos, the nearest first: int64, shape (photos, count).

    Of (photos, channels) and (known photos, channels); similar by the cosine about the mean of all known ones. Of
    equally similar ones the first is nearer. With fewer known photos than ``count`` all of them are returned.
    """
    centre = sum((chunk.sum(axis=0, dtype=np.float64) for _, chunk in _chunks(known)), np.zeros(known.shape[1]))
    centre /= max(1, len(known))
    rows = [_nearest(_directions(chunk, centre), known, centre, count) for _, chunk in _chunks(features)]
    return np.concatenate([np.empty((0, min(count, len(known))), np.int64), *rows])


def _nearest(
    wanted: NDArray[np.float64], known: NDArray[np.float16], centre: NDArray[np.float64], count: int
) -> NDArray[np.int64]:
    rows, cosines = np.empty((len(wanted), 0), np.int64), np.empty((len(wanted), 0))
    for start, chunk in _chunks(known):
        found = np.round(wanted @ _directions(chunk, centre).T, DIGITS)
        places = np.broadcast_to(np.arange(start, start + len(chunk)), found.shape)
        rows, cosines = _best(np.hstack([rows, places]), np.hstack([cosines, found]), count)
    return rows


def _best(
    rows: NDArray[np.int64], cosines: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The columns with the highest cosines, the highest first; of equal ones the first."""
    left, columns = cosines.copy(), []
    for _ in range(min(count, cosines.shape[1])):
        columns.append(left.argmax(axis=1, keepdims=True))
        np.put_along_axis(left, columns[-1], -np.inf, axis=1)
    order = np.hstack(columns)
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(cosines, order, axis=1)


def _directions(features: NDArray[np.float16], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the centre to each row, with length one."""
    offsets = features - centre
    return np.asarray(offsets / np.maximum(np.linalg.norm(offsets, axis=1, keepdims=True), 1e-12))


def _chunks(features: NDArray[np.float16]) -> Iterator[tuple[int, NDArray[np.float16]]]:
    """Some rows at a time, with the place of the first."""
    return ((start, features[start : start + ROWS]) for start in range(0, len(features), ROWS))
