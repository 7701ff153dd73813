"""Lakes to plant errors in, and the tasks of `collect` and `check` one after another, without Airflow.

``prepare`` is how a bench on such a lake begins.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pandas as pd

from bench.document import spell
from bench.machine import describe_machine
from bench.question import QUESTION, SOURCES
from include.dataset import steps
from include.dataset.facts import describe, list_new_images
from include.ingestion.base_sets import claim_lake
from include.ingestion.intake import ingest_source
from include.ingestion.snapshot import snapshot_base, snapshot_uploads
from include.lake import layout
from include.lake.local import LocalStore
from include.settings import SAMPLE, Settings

RUN = "bench"
DECIDING = ("network", "l2_penalty", "epochs", "images_per_source", "seed")  # settings that results depend on
DRAWINGS = "drawings of our own code: these results say nothing about photos"


@contextmanager
def prepare(module: str, options: argparse.Namespace) -> Iterator[tuple[Settings, Path, dict[str, str]]]:
    """Settings whose state lies in a scratch folder, the folder, and what the page tells about the run.

    ``options`` has ``photos``, a folder or none, and under ``all`` the arguments as they were given.
    """
    about = {"date": date.today().isoformat(), "command": f"`{spell(module, options.all)}`"}
    about |= describe_machine() | {"photos": "a folder of photos" if options.photos else DRAWINGS}
    with tempfile.TemporaryDirectory() as scratch:
        base_data = str(options.photos or SAMPLE)
        settings = Settings(base_data=base_data, state_dir=Path(scratch), network="efficientnet_lite0")
        about |= {name.replace("_", " "): str(getattr(settings, name)) for name in DECIDING}
        yield settings, Path(scratch), about


def fill(folder: Path, settings: Settings) -> LocalStore:
    """A lake in ``folder`` with the base photos that the settings name, and their facts and embeddings."""
    store = LocalStore(folder)
    owner = claim_lake(store, settings)
    for source in SOURCES:
        ingest_source(store, RUN, source, owner, base_data=settings.base_data)
    collect(store, settings)
    return store


def copy(store: LocalStore, folder: Path) -> LocalStore:
    """A copy of the lake with its facts and embeddings, to plant other errors in."""
    shutil.copytree(store.root, folder)
    return LocalStore(folder)


def move(store: LocalStore, key: str, source: str) -> str:
    """Move a base photo to another source; returns its new key."""
    body, moved = store.read(key), layout.base(source, layout.parse_base(key).sha256)
    store.delete(key)
    store.write(moved, body)
    return moved


def collect(store: LocalStore, settings: Settings) -> None:
    """The tasks of `collect`: a snapshot of the lake as it is now, and facts and embeddings of what is new."""
    for key in list(store.keys(layout.of_run(RUN))):
        store.delete(key)  # else the run keeps the photos of its first snapshot
    snapshot_base(store, RUN, QUESTION)
    snapshot_uploads(store, RUN)
    for shard in list_new_images(store, RUN, cache=settings.embedding_cache, shard_size=settings.shard_size):
        describe(store, shard)


def intact_keys(store: LocalStore, *wanted: str) -> list[str]:
    """The keys of the photos on the ``wanted`` splits that can be decoded, in order; the lake must be collected."""
    photos = steps.gather(store, RUN)
    return sorted(photos.loc[photos["problem"].isna() & photos["split"].isin(wanted), "key"])


def check(store: LocalStore, settings: Settings) -> pd.DataFrame:
    """All photos of the lake with their statuses, after the tasks of `collect` and `check`."""
    collect(store, settings)
    steps.deduplicate(store, RUN, settings.policy)
    steps.check_labels(store, RUN, settings)
    steps.sample(store, RUN, settings, images_per_source=settings.images_per_source)
    return steps.read_sample(store, RUN, settings, images_per_source=settings.images_per_source)
