"""Features of photos: what a pinned network sees in them, worked out once per photo and kept as facts."""

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.errors import DatasetError
from include.lake import layout
from include.lake.base import ObjectStore, read_many
from include.lake.formats import parse_table, to_parquet, write_table

EXTRACTOR = "scratch-3"  # raise the number when a lake should train another one; the old features are then ignored


def without_features(store: ObjectStore, photos: pd.DataFrame) -> pd.DataFrame:
    """Those of the photos that have no features yet, by key."""
    return photos[~photos["key"].isin(_stored(store, photos)["key"])].sort_values("key", ignore_index=True)


def write_features(store: ObjectStore, photos: pd.DataFrame, features: NDArray[np.float16]) -> None:
    """Keep the features of photos, float16 (photos, features): base photos as one part, each upload in its folder."""
    table = pd.DataFrame({"key": photos["key"].to_numpy(), "features": [row.tobytes() for row in features]})
    of_base = table["key"].str.startswith(layout.BASE)
    if of_base.any():
        members = hashlib.sha256("\n".join(table.loc[of_base, "key"]).encode()).hexdigest()
        write_table(store, layout.base_features(EXTRACTOR, members), table[of_base])
    for place in np.flatnonzero(~of_base):
        one = table.iloc[[place]]
        store.write(layout.upload_features(layout.photo_id_of(one["key"].item()), EXTRACTOR), to_parquet(one))


def read_features(store: ObjectStore, photos: pd.DataFrame) -> NDArray[np.float32]:
    """Features of these photos in their order, each of length 1: float32 (photos, features)."""
    held = _stored(store, photos).set_index("key")["features"]
    if not photos["key"].isin(held.index).all():
        raise DatasetError(f"photos of this run have no features of {EXTRACTOR}: run the task `embed` before")
    rows = [np.frombuffer(held[key], np.float16) for key in photos["key"]]
    features = np.array(rows, np.float32).reshape(len(rows), -1)
    return np.asarray(features / (np.linalg.norm(features, axis=1, keepdims=True) + 1e-6), np.float32)


def _stored(store: ObjectStore, photos: pd.DataFrame) -> pd.DataFrame:
    parts = list(store.keys(layout.base_features(EXTRACTOR)))
    given = [layout.photo_id_of(key) for key in photos["key"] if key.startswith(layout.UPLOADS)]
    wanted = [layout.upload_features(photo_id, EXTRACTOR) for photo_id in given]
    parts += [key for key in wanted if store.exists(key)]
    tables = [pd.DataFrame({"key": [], "features": []}), *map(parse_table, read_many(store, parts))]
    return pd.concat(tables, ignore_index=True).drop_duplicates("key")
