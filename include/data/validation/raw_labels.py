"""Labels in the raw records that nobody knows: a sign that the app and this code no longer agree."""

import json
from typing import Any, get_args

import pandas as pd

from include.errors import ObjectNotFound
from include.lake import layout
from include.lake.base import ObjectStore
from include.records import LABELS, Answer

ANSWERS = get_args(Answer)


def unknown_labels(store: ObjectStore, base: pd.DataFrame, uploads: pd.DataFrame) -> list[dict[str, str]]:
    """The key, field and value of each unknown label in the records of a snapshot that could not be read.

    ``base`` and ``uploads`` are the snapshot's tables. What is wrong in another way stays what it was: one photo in
    quarantine.
    """
    unread = [*base.loc[base["problem"].notna(), "sha256"], *uploads.loc[uploads["problem"].notna(), "photo_id"]]
    return [found for photo_id in unread for found in _unknown(store, photo_id)]


def _unknown(store: ObjectStore, photo_id: str) -> list[dict[str, str]]:
    feedback, review = layout.feedback(photo_id), layout.review(photo_id)
    said, judged = _read(store, feedback), _read(store, review)
    found = []
    if "answer" in said and said["answer"] not in ANSWERS:
        found.append({"key": feedback, "field": "answer", "value": str(said["answer"]), "known": ", ".join(ANSWERS)})
    if judged.get("verdict") == "relabel" and judged.get("label") not in LABELS:
        found.append({"key": review, "field": "label", "value": str(judged.get("label")), "known": ", ".join(LABELS)})
    return found


def _read(store: ObjectStore, key: str) -> dict[str, Any]:
    try:
        record = json.loads(store.read(key))
    except (ObjectNotFound, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
