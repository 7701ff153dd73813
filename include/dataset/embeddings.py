"""Embeddings of photos by the pinned backbone: stored in the lake as facts, and cached on this machine's disk."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.backbone import FEATURES, VERSION
from include.errors import DatasetError
from include.files import replacing
from include.lake import layout
from include.lake.base import ObjectStore, read_existing
from include.lake.listing import own_keys

ROW = np.dtype([("sha256", "S64"), ("vector", "<f2", (FEATURES,))])  # one photo in a part: 2,624 bytes


def write_embeddings(store: ObjectStore, keys: Sequence[str], embeddings: NDArray[np.float16]) -> None:
    """Keep float16 (photos, 1280): the base photos as one part that is named by its members, each upload in its folder.

    A part written twice is the same object.
    """
    base = [place for place, key in enumerate(keys) if key.startswith(layout.BASE)]
    if base:
        rows = np.empty(len(base), ROW)
        rows["sha256"] = [layout.parse_base(keys[place]).sha256 for place in base]
        rows["vector"] = embeddings[base]
        members = layout.members_of(keys[place] for place in base)
        store.write(layout.base_embeddings(VERSION, members), rows.tobytes())
    for key, vector in zip(keys, embeddings, strict=True):
        if key.startswith(layout.UPLOADS):
            store.write(layout.upload_embeddings(layout.photo_id_of(key), VERSION), vector.astype("<f2").tobytes())


def names_with_embeddings(store: ObjectStore, cache: Path) -> set[str]:
    """The sha256 of every base photo that has an embedding."""
    return {name.decode() for rows in _parts(store, cache) for name in rows["sha256"]}


def read_embeddings(store: ObjectStore, keys: pd.Series, cache: Path) -> NDArray[np.float16]:
    """The embeddings of the photos under ``keys``, in their order: float16 (photos, 1280).

    ``cache`` is this machine's folder for parts: each is fetched from the lake once. Raises DatasetError where a photo
    has none.
    """
    embeddings = np.empty((len(keys), FEATURES), np.float16)
    known_rows = np.zeros(len(keys), bool)
    of_base = keys.str.startswith(layout.BASE).to_numpy(bool)
    names = np.array([layout.parse_base(key).sha256 if base else "" for key, base in zip(keys, of_base, strict=True)])
    for rows in _parts(store, cache):
        order = pd.Series(np.arange(len(rows)), rows["sha256"].astype(str))
        place = pd.Series(names).map(order[~order.index.duplicated()]).to_numpy(float)
        known = ~np.isnan(place)
        embeddings[known], known_rows[known] = rows["vector"][place[known].astype(int)], True
    uploads = [layout.upload_embeddings(layout.photo_id_of(key), VERSION) for key in keys[~of_base]]
    for place, body in zip(np.flatnonzero(~of_base), read_existing(store, uploads), strict=True):
        if body is not None:
            embeddings[place], known_rows[place] = np.frombuffer(body, "<f2"), True
    if not known_rows.all():
        raise DatasetError(
            f"{(~known_rows).sum()} photos of this run have no embedding: clear the task list_new_images"
        )
    return embeddings


def _parts(store: ObjectStore, cache: Path) -> Iterator[NDArray]:
    """The rows of each part, one part at a time; what this machine does not hold yet is fetched before."""
    folder = cache / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    for key in own_keys(store, layout.base_embeddings(VERSION)):
        path = folder / Path(key).name
        if not path.exists():
            with replacing(path) as draft:
                draft.write_bytes(store.read(key))
        yield np.fromfile(path, ROW)
