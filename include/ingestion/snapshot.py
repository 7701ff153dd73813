"""What the lake holds at the start of a run, frozen; and whether any of it is new."""

import hashlib
import json
import logging
from typing import Any

import pandas as pd

from include.backbone import VERSION
from include.errors import DatasetError
from include.ingestion.reviews import keys_about, label_said, read_records
from include.ingestion.uploads import collect_uploads
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json, read_table, write_json, write_table
from include.records import CONTRACT, UPLOADS, RetrainParams, Review, label_of

log = logging.getLogger(__name__)

POLICY_VERSION = 4  # raise it when the same photos and params should give another dataset or model
SAID = ["label", "label_origin", "review", "problem"]  # by a source, a user or a reviewer
BASE_COLUMNS = ["key", "source", "sha256", *SAID]
UPLOAD_COLUMNS = ["key", "photo_id", "source", *SAID, "session"]


def snapshot_base(store: ObjectStore, run: str) -> str:
    """Freeze the list of base photos; returns the key of its table. Raises DatasetError for an empty lake."""
    photos = [(key, layout.parse_base(key)) for key in store.keys(layout.BASE)]
    if not photos:
        raise DatasetError("the lake holds no base photos: run the DAG ingest_base_datasets first")
    reviews = read_records(store, Review, keys_about(store, layout.REVIEWS, (photo.sha256 for _, photo in photos)))
    said = [label_said(label_of(photo.source), "source", reviews.get(photo.sha256)) for _, photo in photos]
    rows = [{"key": key, **photo._asdict(), **row} for (key, photo), row in zip(photos, said, strict=True)]
    return write_table(store, layout.run_table(run, "base"), _table(rows, BASE_COLUMNS))


def snapshot_uploads(store: ObjectStore, run: str) -> str:
    """Freeze the uploads and what was said of them; returns the key of their table."""
    return write_table(store, layout.run_table(run, UPLOADS), _table(collect_uploads(store), UPLOAD_COLUMNS))


def read_snapshot(store: ObjectStore, run: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The base photos and the uploads as they were when ``run`` began."""
    base, uploads = (read_table(store, layout.run_table(run, name)) for name in ("base", UPLOADS))
    return base, uploads


def anything_new(store: ObjectStore, run: str, params: RetrainParams, recipe: dict[str, Any]) -> bool:
    """False when this run would repeat the last finished one: same photos, labels, reviews, params, policy, backbone
    and contract of model versions.

    ``recipe`` holds the settings that change what the same photos give.
    """
    effective = params.effective() | recipe | {"contract": CONTRACT, "backbone": VERSION}
    digest = input_digest(*read_snapshot(store, run), effective=effective)
    write_json(store, layout.run_json(run, "inputs"), {"input_digest": digest, "effective": effective})
    last = read_json(store, layout.LATEST_RUN) if store.exists(layout.LATEST_RUN) else {}
    repeats = last.get("input_digest") == digest and last.get("run") != layout.run_name(run)
    if repeats and not params.force:
        log.info("nothing is new since run %s; set the param `force` to train all the same", last["run"])
        return False
    return True


def input_digest(base: pd.DataFrame, uploads: pd.DataFrame, *, effective: dict[str, Any]) -> str:
    """sha256 over everything that a run's result depends on; tombstoned uploads are not in the tables."""
    digest = hashlib.sha256(json.dumps([POLICY_VERSION, effective], sort_keys=True).encode())
    for table in (base, uploads):
        table = table[["key", "label", "label_origin", "review"]]
        digest.update(table.to_csv(index=False).encode())
    return digest.hexdigest()


def finish_run(store: ObjectStore, run: str) -> None:
    """From now on a run with the same inputs has nothing to do."""
    inputs = read_json(store, layout.run_json(run, "inputs"))
    write_json(store, layout.LATEST_RUN, {"run": layout.run_name(run), "input_digest": inputs["input_digest"]})


def _table(rows: list, columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns, dtype="string")
