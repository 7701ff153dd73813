"""Groups of photos -> the folder that the Deepchecks process reads: `pixels.npy` and `request.json`."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.errors import ObjectNotFound
from include.images.decoding import decode_pixels
from include.lake.base import ObjectStore, map_many
from include.records import LABELS

SIZE = 64  # pixels; the checks measure means over whole pictures
Groups = dict[str, pd.DataFrame]


def sample_rows(rows: pd.DataFrame, *, photos: int) -> pd.DataFrame:
    """At most about ``photos`` rows, each source with its share: those with the lowest sha256, so always the same."""
    if len(rows) <= photos:
        return rows
    place = rows.sort_values("sha256").groupby("source").cumcount()
    room = rows.groupby("source")["sha256"].transform("size") * photos / len(rows)
    return rows[place.sort_index() < room.round()]


def write_pixels(store: ObjectStore, groups: Groups, folder: Path) -> Groups:
    """Decode each photo of the groups once into uint8 (photos, SIZE, SIZE, 3), a few at a time.

    Returns the groups with the column `row`, without photos that the lake no longer holds.
    """
    keys = pd.concat([rows["key"] for rows in groups.values()]).drop_duplicates()
    shape = (len(keys), SIZE, SIZE, 3)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, shape)
    row_of: dict[str, int] = {}
    for row, (key, picture) in enumerate(zip(keys, map_many(partial(_fetch, store), keys, threads=4), strict=True)):
        if picture is not None:
            pixels[row], row_of[key] = picture, row
    pixels.flush()
    numbered = {name: rows.assign(row=rows["key"].map(row_of)) for name, rows in groups.items()}
    return {name: rows.dropna(subset="row").astype({"row": int}) for name, rows in numbered.items()}


def write_request(
    folder: Path, groups: Groups, comparisons: dict[str, tuple[str, str]], limits: dict[str, float]
) -> None:
    """What to compare; labels travel as their numbers in LABELS."""
    pairs = [{"name": name, "reference": reference, "new": new} for name, (reference, new) in comparisons.items()]
    request: dict[str, Any] = {"labels": LABELS, "comparisons": pairs, "limits": limits}
    request["groups"] = {
        name: {"rows": rows["row"].tolist(), "labels": [LABELS.index(label) for label in rows["label"]]}
        for name, rows in groups.items()
    }
    (folder / "request.json").write_text(json.dumps(request))


def _fetch(store: ObjectStore, key: str) -> NDArray[np.uint8] | None:
    """None for a photo of an older version that was deleted since."""
    try:
        return decode_pixels(store.read(key), SIZE)
    except ObjectNotFound:
        return None
