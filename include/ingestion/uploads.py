"""Users' photos: the contract that the app writes and the DAG reads."""

import hashlib
import hmac
import logging
import secrets
from datetime import UTC, datetime
from itertools import groupby

from include.errors import BadRecord
from include.images.decoding import decode
from include.ingestion.reviews import Row, keys_about, read_records, reviewed_label
from include.ingestion.tombstones import list_taken, take_away
from include.lake import layout
from include.lake.base import ObjectStore, create_or_read
from include.lake.listing import own_keys
from include.records import LABELS, UPLOADS, Feedback, Review, Tombstone, UploadRecord

log = logging.getLogger(__name__)


def lake_secret(store: ObjectStore) -> bytes:
    """The lake's own key for fingerprints: random, made at its first use, never logged."""
    return create_or_read(store, layout.SECRET, secrets.token_bytes(32))


def fingerprint(secret: bytes, sha256: str) -> str:
    """A name for a photo that only the lake can connect with its bytes: HMAC-SHA256 of its sha256, in hex."""
    return hmac.new(secret, sha256.encode(), hashlib.sha256).hexdigest()


def photo_id_of(store: ObjectStore, session: str, photo: bytes) -> str:
    """One id for one photo of one session, so that sending it twice stores it once."""
    return name_photo(lake_secret(store), session, hashlib.sha256(photo).hexdigest())


def name_photo(secret: bytes, session: str, sha256: str) -> str:
    """The photo id from the photo's sha256 alone: a photo that was taken back has a name without its bytes."""
    return fingerprint(secret, f"{session}/{sha256}")[:32]


def save_upload(store: ObjectStore, photo: bytes, record: UploadRecord) -> None:
    """Store a photo that its user agreed to give. The record comes last: without it the upload does not exist.

    Raises NotAPhoto before anything is stored, and before the photo replaces one that is in order.
    """
    decode(photo)
    store.write(layout.upload_photo(record.photo_id), photo)
    create_or_read(store, layout.upload_record(record.photo_id), record.to_json())


def save_feedback(store: ObjectStore, photo_id: str, answer: str) -> None:
    """A user's answer about a photo; a later answer replaces the earlier one. Raises BadRecord."""
    answered_at = datetime.now(UTC).isoformat(timespec="seconds")
    store.write(layout.feedback(photo_id), Feedback(photo_id, answer, answered_at).to_json())


def take_back(store: ObjectStore, photo_id: str) -> None:
    """Take an upload away, with all that shows or derives from it: a tombstone first, then photo, record and answer.

    Safe to repeat; a photo that is not in the lake leaves nothing.
    """
    folder, photo = layout.upload_folder(photo_id), layout.upload_photo(photo_id)
    keys = [*store.keys(folder), *store.keys(layout.feedback(photo_id)), *store.keys(layout.quarantine(photo))]
    if not keys:
        return
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    take_away(store, Tombstone(photo, "taken back", taken_at))
    for key in keys:
        store.delete(key)


def collect_uploads(store: ObjectStore) -> list[Row]:
    """A row for each complete upload without a tombstone, by photo_id. Complete are those with a record and a photo.

    A photo that is lost costs its upload, never the run, and the upload counts again when it is back.
    Keys: key, photo_id, source, label (positive, negative or none), label_origin (user or reviewed), review (keep,
    relabel, drop or none), problem (why its feedback or review cannot be read, or none), session.
    """
    photo_ids = _list_complete(store, taken=list_taken(store, layout.UPLOADS))
    answers = read_records(store, Feedback, keys_about(store, layout.FEEDBACK, photo_ids))
    reviews = read_records(store, Review, keys_about(store, layout.REVIEWS, photo_ids))
    records = read_records(store, UploadRecord, [layout.upload_record(photo_id) for photo_id in photo_ids])
    return [
        _row(photo_id, answers.get(photo_id), reviews.get(photo_id)) | {"session": _session(records[photo_id])}
        for photo_id in photo_ids
    ]


def _list_complete(store: ObjectStore, *, taken: set[str]) -> list[str]:
    """The photo_ids whose record and photo are both listed; warns of records without photo.

    ``taken`` has the keys of photos with a tombstone: these are neither.
    """
    complete, lost = list[str](), list[str]()
    for photo_id, keys in groupby(own_keys(store, layout.UPLOADS), layout.photo_id_of):  # sorted, so each id comes once
        listed, photo = set(keys), layout.upload_photo(photo_id)
        if layout.upload_record(photo_id) in listed and photo not in taken:
            (complete if photo in listed else lost).append(photo_id)
    if lost:
        log.warning(
            "%d uploads have a record and no photo, such as %s: they do not count until it is back",
            len(lost),
            layout.upload_photo(lost[0]),
        )
    return complete


def _session(record: UploadRecord | BadRecord) -> str | None:
    return record.session if isinstance(record, UploadRecord) else None


def _row(photo_id: str, answer: Feedback | BadRecord | None, review: Review | BadRecord | None) -> Row:
    row = {"key": layout.upload_photo(photo_id), "photo_id": photo_id, "source": UPLOADS}
    if isinstance(answer, BadRecord):  # even under a review: the user's answer is lost
        return row | reviewed_label(None, "user", answer)
    label = answer.answer if answer and answer.answer in LABELS else None
    return row | reviewed_label(None if isinstance(review, BadRecord) else label, "user", review)
