"""What the test split is sliced by, besides the sources: read from the facts of its photos."""

import numpy as np
import pandas as pd

from include.dataset.facts import read_facts
from include.lake import layout
from include.lake.base import ObjectStore
from include.records import SLICE_PROPERTIES, UPLOADS


def read_slice_properties(store: ObjectStore, photos: pd.DataFrame) -> pd.DataFrame:
    """The properties that slices are cut by; ``size`` is the edge of a square with as many pixels."""
    keys = photos.loc[photos["source"] == UPLOADS, "key"]
    facts = read_facts(store, pd.DataFrame({"photo_id": [layout.photo_id_of(key) for key in keys]}))
    table = facts.set_index("key").loc[photos["key"], ["width", "height", "brightness", "sharpness"]].astype("float64")
    table["size"] = np.sqrt(table["width"] * table["height"])
    return table[list(SLICE_PROPERTIES)].reset_index(drop=True)
