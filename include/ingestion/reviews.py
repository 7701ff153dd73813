"""What people said of photos: reading their records, and the final word of a reviewer.

By hand: ``python -m include.ingestion.reviews PHOTO keep|relabel|drop --by NAME [--label cat|not_cat]``; a photo is
named by its photo_id (an upload) or by its sha256 (a base photo), as a card lists it.
"""

import argparse
import json
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar, get_args

import pandas as pd

from include.errors import BadRecord, CatError, ObjectNotFound, PreconditionFailed
from include.lake import layout
from include.lake.base import ObjectStore, read_many
from include.lake.opening import open_lake
from include.records import LABELS, Answer, JsonRecord, Review, ReviewVerdict

log = logging.getLogger(__name__)
ANSWERS = get_args(Answer)
Record = TypeVar("Record", bound=JsonRecord)


def save_review(store: ObjectStore, review: Review) -> None:
    """A person's final word; a second review of the same photo raises PreconditionFailed."""
    store.create(layout.review(review.photo_id), review.to_json())


def keys_about(store: ObjectStore, prefix: str, names: Iterable[str]) -> list[str]:
    """The keys below ``prefix`` that speak of these photos."""
    wanted = set(names)
    return [key for key in store.keys(prefix) if layout.photo_id_of(key) in wanted]


def read_records(store: ObjectStore, kind: type[Record], keys: list[str]) -> dict[str, Record | BadRecord]:
    """The records under these keys by the photo that each is about; a BadRecord where one cannot be read.

    One unreadable record is the fate of one photo, never of the run.
    """
    bodies = read_many(store, keys)
    return {layout.photo_id_of(key): _parse(kind, key, body) for key, body in zip(keys, bodies, strict=True)}


def label_said(label: str | None, origin: str, review: Review | BadRecord | None) -> dict[str, str | None]:
    """The label of a photo and who gave it: its ``origin`` (source or user), or the person who reviewed it."""
    said = {"label": label, "label_origin": origin, "review": None, "problem": None}
    if isinstance(review, BadRecord):
        return said | {"problem": str(review)}
    if not review:
        return said
    corrected = review.label if review.verdict == "relabel" else label
    return said | {"label": corrected, "label_origin": "reviewed", "review": review.verdict}


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


def _parse(kind: type[Record], key: str, body: bytes) -> Record | BadRecord:
    try:
        return kind.from_json(body)
    except BadRecord as error:
        log.warning("%s: %s", key, error)
        return error


def main() -> int:
    """Write one review into the lake; 1 when that is impossible."""
    parser = argparse.ArgumentParser(prog="python -m include.ingestion.reviews", description=__doc__.splitlines()[0])
    parser.add_argument("photo", help="photo_id of an upload, or sha256 of a base photo")
    parser.add_argument("verdict", choices=get_args(ReviewVerdict))
    parser.add_argument("--by", required=True, help="who says so")
    parser.add_argument("--label", choices=LABELS, help="the right label, with relabel")
    given = parser.parse_args()
    at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        save_review(open_lake(), Review(given.photo, given.verdict, given.by, at, given.label))
    except PreconditionFailed:
        parser.exit(1, f"photo {given.photo} was reviewed before, and a review is final\n")
    except CatError as error:
        parser.exit(1, f"{error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
