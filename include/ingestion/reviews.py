"""Records about photos: users' feedback, and the final decisions of reviewers."""

import json
import logging
from collections.abc import Iterable
from typing import Any, TypeVar

import pandas as pd

from include.errors import BadRecord, ObjectNotFound
from include.lake import layout
from include.lake.base import ObjectStore, read_many
from include.lake.listing import own_keys
from include.records import ANSWERS, LABELS, JsonRecord, Review

log = logging.getLogger(__name__)
Record = TypeVar("Record", bound=JsonRecord)
Row = dict[str, str | None]


def save_review(store: ObjectStore, review: Review) -> None:
    """A person's final decision; a second review of the same photo raises PreconditionFailed."""
    store.create(layout.review(review.photo_id), review.to_json())


def keys_about(store: ObjectStore, prefix: str, photo_ids: Iterable[str]) -> list[str]:
    """The keys below ``prefix`` that belong to these photos."""
    wanted = set(photo_ids)
    return [key for key in own_keys(store, prefix) if layout.photo_id_of(key) in wanted]


def read_records(store: ObjectStore, record_type: type[Record], keys: list[str]) -> dict[str, Record | BadRecord]:
    """The records under these keys by the photo that each is about; a BadRecord where one cannot be read.

    An unreadable record costs its photo, never the run.
    """
    bodies = read_many(store, keys)
    return {layout.photo_id_of(key): _parse(record_type, key, body) for key, body in zip(keys, bodies, strict=True)}


def reviewed_label(label: str | None, origin: str, review: Review | BadRecord | None) -> Row:
    """The label of a photo and who gave it: its ``origin`` (source or user), or the person who reviewed it.

    Keys: label, label_origin, review, problem.
    """
    row = {"label": label, "label_origin": origin, "review": None, "problem": None}
    if isinstance(review, BadRecord):
        return row | {"problem": str(review)}
    if not review:
        return row
    corrected = review.label if review.verdict == "relabel" else label
    return row | {"label": corrected, "label_origin": "reviewed", "review": review.verdict}


def unknown_labels(store: ObjectStore, base: pd.DataFrame, uploads: pd.DataFrame) -> list[dict[str, str]]:
    """The key, field, value and known values of each unknown label in a snapshot's unreadable records.

    ``base`` and ``uploads`` are the snapshot's tables. Records that are broken in another way only cost their photo.
    """
    unread = [*base.loc[base["problem"].notna(), "sha256"], *uploads.loc[uploads["problem"].notna(), "photo_id"]]
    return [unknown for photo_id in unread for unknown in _unknown(store, photo_id)]


def _unknown(store: ObjectStore, photo_id: str) -> list[dict[str, str]]:
    feedback, review = layout.feedback(photo_id), layout.review(photo_id)
    answer, decision = _read(store, feedback), _read(store, review)
    unknown = []
    if "answer" in answer and answer["answer"] not in ANSWERS:
        unknown.append(
            {"key": feedback, "field": "answer", "value": str(answer["answer"]), "known": ", ".join(ANSWERS)}
        )
    if decision.get("verdict") == "relabel" and decision.get("label") not in LABELS:
        value = str(decision.get("label"))
        unknown.append({"key": review, "field": "label", "value": value, "known": ", ".join(LABELS)})
    return unknown


def _read(store: ObjectStore, key: str) -> dict[str, Any]:
    try:
        record = json.loads(store.read(key))
    except (ObjectNotFound, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _parse(record_type: type[Record], key: str, body: bytes) -> Record | BadRecord:
    try:
        return record_type.from_json(body)
    except BadRecord as error:
        log.warning("%s: %s", key, error)
        return error
