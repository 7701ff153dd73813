"""The manifest of a dataset version: one row for each photo that it uses, under the digest of all rows."""

import hashlib
import json
from typing import Any

import pandas as pd

from include.errors import DatasetError, ObjectNotFound
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import parse_table
from include.question import Question
from include.records import SPLITS, UNKNOWN_CLASS, UPLOADS
from include.status import Status

MANIFEST = ["sha256", "key", "source", "label", "class_name", "label_origin", "weight", "cluster", "split"]


def to_manifest(photos: pd.DataFrame, question: Question) -> pd.DataFrame:
    """The used photos, ordered by key, with exactly the columns of MANIFEST.

    ``class_name`` is the source, or "unknown" for uploads and for base photos whose label a reviewer corrected.
    """
    used = photos[photos["status"] == Status.USED].sort_values("key", ignore_index=True)
    as_source = used["label"] == used["source"].map(question.label_of)
    class_name = used["source"].where(as_source & (used["source"] != UPLOADS), UNKNOWN_CLASS)
    table = used.assign(class_name=class_name, weight=1.0)[MANIFEST]
    return table.astype({name: "string" for name in MANIFEST if name != "weight"})


def digest_of(manifest: pd.DataFrame) -> str:
    """sha256 over the canonical rows: one JSON line each, ordered by key."""
    digest = hashlib.sha256()
    for row in manifest.sort_values("key").to_dict("records"):
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def check_splits(manifest: pd.DataFrame) -> None:
    """Raises DatasetError where a split lacks positive or negative photos: it can neither train nor measure."""
    for split in SPLITS:
        labels = manifest.loc[manifest["split"] == split, "label"]
        if labels.nunique() < 2:
            cure = "raise images_per_source, or ingest more base photos"
            raise DatasetError(f"{split} has {len(labels)} photos and not both labels: {cure}")


def read_manifest(store: ObjectStore, digest: str) -> pd.DataFrame:
    """Raises DatasetError for a version that this lake does not hold, or that an older code made."""
    manifest = parse_table(_read(store, digest, layout.manifest(digest)))
    if set(manifest.columns) != set(MANIFEST):
        raise DatasetError(f"dataset {digest} was made by an older version of this code: run retrain once")
    return manifest


def read_report(store: ObjectStore, digest: str) -> dict[str, Any]:
    """Raises DatasetError for a version that this lake does not hold."""
    return dict(json.loads(_read(store, digest, layout.dataset_report(digest))))


def _read(store: ObjectStore, digest: str, key: str) -> bytes:
    try:
        return store.read(key)
    except ObjectNotFound:
        raise DatasetError(f"there is no dataset {digest!r} in this lake; `datasets/` lists them") from None
