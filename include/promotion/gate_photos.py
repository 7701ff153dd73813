"""The photos that the gate scores: all test photos of the lake that could be used, not only the sample."""

from dataclasses import dataclass

import pandas as pd

from include.dataset.examples import is_positive
from include.evaluation.metrics import Bools
from include.evaluation.slice_properties import read_slice_properties
from include.evaluation.slices import cut_by_property
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_table
from include.records import UPLOADS
from include.status import Status


@dataclass(frozen=True)
class GatePhotos:
    """Some photos, each array of shape (photos,): their labels, which of them the floors count, and their slices.

    Floors count the base photos of the sample: precision depends on how rare positive photos are, and the sample keeps
    its shares.
    """

    is_positive: Bools
    for_floors: Bools
    slices: dict[str, Bools]


def list_free_photos(store: ObjectStore, run: str) -> pd.DataFrame:
    """The photos of the run's snapshot that nothing excludes, sampled or not, of all splits, in order of their keys."""
    photos = read_table(store, layout.run_page(run, "statuses.parquet"))
    return photos[photos["status"].isin([Status.USED, Status.NOT_SAMPLED])].reset_index(drop=True)


def list_test_photos(store: ObjectStore, run: str) -> pd.DataFrame:
    """Those of the test split."""
    return on_test(list_free_photos(store, run))


def on_test(photos: pd.DataFrame) -> pd.DataFrame:
    return photos[photos["split"] == "test"].reset_index(drop=True)


def describe_photos(store: ObjectStore, test: pd.DataFrame) -> GatePhotos:
    """The photos of ``list_test_photos`` as the gate needs them; a slice is a source, or a third by a property."""
    sampled = (test["status"] == Status.USED) & (test["source"] != UPLOADS)
    names = {source: "users' photos" if source == UPLOADS else source for source in sorted(test["source"].unique())}
    slices = {name: (test["source"] == source).to_numpy(bool) for source, name in names.items()}
    thirds = cut_by_property(test.join(read_slice_properties(store, test)))
    slices |= {about: rows for _, _, about, rows in thirds}
    return GatePhotos(is_positive(test), sampled.to_numpy(bool), slices)
