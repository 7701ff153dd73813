"""The manifest of a dataset version: one row for each photo that it uses, under the digest of all rows."""

import hashlib
import json

import pandas as pd

from include.dataset import splits
from include.errors import DatasetError, ObjectNotFound
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import parse_table
from include.records import SPLITS, UNKNOWN_CLASS, UPLOADS, label_of

MANIFEST = ["sha256", "key", "source", "label", "class_name", "label_origin", "weight", "cluster", "split"]


def read_manifest(store: ObjectStore, digest: str) -> pd.DataFrame:
    """Raises DatasetError for a version that this lake does not hold."""
    return parse_table(_read(store, digest, layout.manifest(digest)))


def read_report(store: ObjectStore, digest: str) -> dict:
    """Raises DatasetError for a version that this lake does not hold."""
    return dict(json.loads(_read(store, digest, layout.dataset_report(digest))))


def _read(store: ObjectStore, digest: str, key: str) -> bytes:
    try:
        return store.read(key)
    except ObjectNotFound:
        raise DatasetError(f"there is no dataset {digest!r} in this lake; `datasets/` lists them") from None


def to_manifest(photos: pd.DataFrame) -> pd.DataFrame:
    """The used photos, ordered by key, with exactly the columns of the contract."""
    used = photos[photos["status"] == splits.USED].sort_values("key", ignore_index=True)
    known = used["label"] == used["source"].map(label_of)  # else a person said that the source is wrong
    kind = used["source"].where(known & (used["source"] != UPLOADS), UNKNOWN_CLASS)
    table = used.assign(kind=kind, weight=1.0)[MANIFEST]
    return table.astype({name: "string" for name in MANIFEST if name != "weight"})


def digest_of(manifest: pd.DataFrame) -> str:
    """sha256 over the canonical rows: one JSON line each, ordered by key."""
    digest = hashlib.sha256()
    for row in manifest.sort_values("key").to_dict("records"):
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def check_sides(manifest: pd.DataFrame) -> None:
    for split in SPLITS:
        labels = manifest.loc[manifest["split"] == split, "label"]
        if labels.nunique() < 2:
            cure = "raise images_per_source, or ingest more base photos"
            raise DatasetError(f"{split} has {len(labels)} photos and not both labels: {cure}")
