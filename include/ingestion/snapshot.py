"""What the lake holds at the start of a run, frozen; and whether any of it is new."""

import hashlib
import json
import logging
from typing import Any

import pandas as pd

from include.backbone import VERSION
from include.errors import DatasetError
from include.ingestion.base_sets import read_lake
from include.ingestion.reviews import keys_about, read_records, reviewed_label
from include.ingestion.tombstones import list_taken
from include.ingestion.uploads import collect_uploads
from include.lake import layout
from include.lake.base import ObjectStore, create_or_read
from include.lake.formats import parse_table, read_json, read_table, to_parquet, write_json
from include.lake.listing import own_keys
from include.params import RetrainParams
from include.question import Question
from include.records import CONTRACT, Review
from include.settings import Settings

log = logging.getLogger(__name__)

POLICY_VERSION = 7  # raise it when the same photos and params should give another dataset or model
LABEL_COLUMNS = ["label", "label_origin", "review", "problem"]  # by a source, a user or a reviewer
BASE_COLUMNS = ["key", "source", "sha256", *LABEL_COLUMNS]
UPLOAD_COLUMNS = ["key", "photo_id", "source", *LABEL_COLUMNS, "session"]


def snapshot_base(store: ObjectStore, run: str, question: Question) -> str:
    """Freeze the list of base photos; returns the key of its table. A run that is cleared keeps its first list.

    Raises DatasetError for an empty lake, or where photos of the run are gone; OtherLake for a lake of another
    question; InvalidKey for a run id that cannot be a key.
    """
    key = layout.run_base(run)
    photos = [(key, layout.parse_base(key)) for key in own_keys(store, layout.BASE)]
    taken = list_taken(store, layout.BASE)
    photos = [(key, photo) for key, photo in photos if photo.source in question.sources and key not in taken]
    if not photos:
        raise DatasetError("the lake holds no base photos: run the DAG ingest_base_datasets first")
    read_lake(store, question)
    reviews = read_records(store, Review, keys_about(store, layout.REVIEWS, (photo.sha256 for _, photo in photos)))
    labels = [
        reviewed_label(question.label_of(photo.source), "source", reviews.get(photo.sha256)) for _, photo in photos
    ]
    rows = [{"key": key, **photo._asdict(), **label} for (key, photo), label in zip(photos, labels, strict=True)]
    return _freeze(store, key, _table(rows, BASE_COLUMNS), run)


def snapshot_uploads(store: ObjectStore, run: str) -> str:
    """Freeze the uploads and their labels; returns the key of their table. A run that is cleared keeps its first one.

    Raises DatasetError where uploads of the run are gone, InvalidKey for a run id that cannot be a key.
    """
    return _freeze(store, layout.run_uploads(run), _table(collect_uploads(store), UPLOAD_COLUMNS), run)


def _freeze(store: ObjectStore, key: str, photos: pd.DataFrame, run: str) -> str:
    frozen = parse_table(create_or_read(store, key, to_parquet(photos)))
    gone = frozen.loc[~frozen["key"].isin(photos["key"]), "key"]
    if len(gone):
        problem = f"{len(gone)} photos of the run {run!r} are gone from the lake, for example {gone.iloc[0]}"
        raise DatasetError(f"{problem}: it cannot be repeated. Trigger retrain again, for the photos of now")
    if later := len(photos) - len(frozen):
        log.info("%d photos came after the first try of this run: they count from the next run on", later)
    return key


def read_snapshot(store: ObjectStore, run: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The base photos and the uploads as they were when ``run`` began."""
    return read_table(store, layout.run_base(run)), read_table(store, layout.run_uploads(run))


def anything_new(store: ObjectStore, run: str, params: RetrainParams, settings: Settings) -> bool:
    """False when this run would repeat the last decided one: same photos, labels, reviews, params, policy, settings
    of the gate, backbone and contract of model versions.
    """
    effective = effective_inputs(params, settings)
    digest = input_digest(*read_snapshot(store, run), effective=effective)
    write_json(store, layout.run_inputs(run), {"input_digest": digest, "effective": effective})
    last = read_json(store, layout.LATEST_RUN) if store.exists(layout.LATEST_RUN) else {}
    repeats = last.get("input_digest") == digest and last.get("run") != run
    if repeats and not params.force:
        log.info("nothing is new since run %s; set the param `force` to train anyway", last["run"])
        return False
    return True


def effective_inputs(params: RetrainParams, settings: Settings) -> dict[str, Any]:
    """All besides the photos that a run's result depends on."""
    gate = settings.gate.model_dump(exclude={"answer_hours"})
    effective = params.effective() | settings.recipe | settings.policy.model_dump() | gate
    return effective | {"contract": CONTRACT, "backbone": VERSION}


def input_digest(base: pd.DataFrame, uploads: pd.DataFrame, *, effective: dict[str, Any]) -> str:
    """sha256 over all that a run's result depends on; what has a tombstone is not in the tables."""
    digest = hashlib.sha256(json.dumps([POLICY_VERSION, effective], sort_keys=True).encode())
    for table in (base, uploads):
        table = table[["key", "label", "label_origin", "review"]]
        digest.update(table.to_csv(index=False).encode())
    return digest.hexdigest()


def mark_decided(store: ObjectStore, run: str, params: RetrainParams, settings: Settings) -> None:
    """The gate has decided the photos of this run, with these params and settings: from now on a run with the same has
    nothing to do.
    """
    digest = input_digest(*read_snapshot(store, run), effective=effective_inputs(params, settings))
    write_json(store, layout.LATEST_RUN, {"run": run, "input_digest": digest})


def _table(rows: list, columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns, dtype="string")
