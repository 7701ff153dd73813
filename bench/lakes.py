"""Lakes to spoil on purpose, and the tasks of `collect` and `check` over one, one after another, without Airflow."""

import shutil
from pathlib import Path

import pandas as pd

from include.dataset import steps
from include.dataset.facts import describe, list_new_images
from include.ingestion.base_sets import claim_lake, ingest_source
from include.ingestion.snapshot import snapshot_base, snapshot_uploads
from include.lake import layout
from include.lake.formats import read_table
from include.lake.local import LocalStore
from include.records import SOURCES
from include.settings import Settings

RUN = "bench"


def fill(place: Path, settings: Settings) -> LocalStore:
    """A lake in ``place`` with the base photos that the settings name, described."""
    store = LocalStore(place)
    claim_lake(store, settings)
    for source in SOURCES:
        ingest_source(store, source, base_data=settings.base_data, seed=settings.seed)
    collect(store, settings)
    return store


def copy(store: LocalStore, place: Path) -> LocalStore:
    """The same lake once more, with its facts and features, to be spoiled in another way."""
    shutil.copytree(store.root, place)
    return LocalStore(place)


def move(store: LocalStore, key: str, source: str) -> str:
    """Let another source claim a base photo; returns its new key."""
    body, moved = store.read(key), layout.base(source, layout.parse_base(key).sha256)
    store.delete(key)
    store.write(moved, body)
    return moved


def collect(store: LocalStore, settings: Settings) -> None:
    """The tasks of `collect`: what the lake holds, and facts and features of what is new."""
    snapshot_base(store, RUN)
    snapshot_uploads(store, RUN)
    for shard in list_new_images(store, RUN, cache=settings.embedding_cache, shard_size=settings.shard_size):
        describe(store, shard)


def sound_keys(store: LocalStore, *sides: str) -> list[str]:
    """The photos of these sides that can be decoded, in order; of a lake that `collect` has seen."""
    photos = steps.gather(store, RUN)
    return sorted(photos.loc[photos["problem"].isna() & photos["split"].isin(sides), "key"])


def check(store: LocalStore, settings: Settings) -> pd.DataFrame:
    """All photos of the lake with their fates; the table ``split`` of a run, from which its manifest follows."""
    collect(store, settings)
    steps.deduplicate(store, RUN, settings.policy)
    steps.check_labels(store, RUN, settings.policy, cache=settings.embedding_cache)
    steps.sample_photos(store, RUN, images_per_source=settings.images_per_source)
    return read_table(store, layout.run_table(RUN, "split"))
