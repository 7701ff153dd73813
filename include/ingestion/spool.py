"""What visitors were told is kept, on this machine's disk until the lake has it: nothing confirmed is ever lost.

A file holds what a visitor wants of one photo, all of it: kept or taken back, and with which answer. A later wish
replaces the file, so that sending one twice, or after a restart, comes to the same. Folder 0700, files 0600.
"""

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from include.errors import BadRecord, NotAPhoto
from include.files import sync
from include.ingestion.answer_counts import save_count
from include.ingestion.tombstones import bring_back
from include.ingestion.uploads import fingerprint, lake_secret, name_photo, save_upload, take_back
from include.lake import layout
from include.lake.base import ObjectStore
from include.records import AnswerCount, Feedback, JsonRecord, UploadRecord

log = logging.getLogger(__name__)

UPLOAD, COUNT, PHOTO, REFUSED = ".upload.json", ".count.json", ".jpg", ".refused"


@dataclass(frozen=True)
class Wish(JsonRecord):
    """What a visitor wants of one photo. ``visitor`` is a random name; the lake gets its keyed hash.

    Times are ISO 8601 in UTC. Without ``kept`` the photo is taken back.
    """

    visitor: str
    photo_sha256: str
    kept: bool
    taken_at: str
    consent_version: int
    model_version: str
    probability: float | None
    answer: str | None = None
    answered_at: str | None = None

    @property
    def name(self) -> str:
        """Of its files: one for one photo of one visitor."""
        return hashlib.sha256(f"{self.visitor}/{self.photo_sha256}".encode()).hexdigest()[:32]


class Spool:
    """A folder of wishes and counts. ``send`` is safe beside writers in other threads of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._changing, self._sending = Lock(), Lock()

    def put(self, wish: Wish, photo: bytes) -> None:
        """Keep the wish, durably: once this returns, it survives a kill. Raises OSError where the disk is full."""
        record, picture = self.folder / f"{wish.name}{UPLOAD}", self.folder / f"{wish.name}{PHOTO}"
        with self._changing:
            if wish.kept:
                self._write(picture, photo)
            self._write(record, wish.to_json())
            if not wish.kept:
                picture.unlink(missing_ok=True)

    def put_count(self, count_id: str, count: AnswerCount | None) -> None:
        """Count an answer, or take it back where it is none; as durable as ``put``."""
        with self._changing:
            self._write(self.folder / f"{count_id}{COUNT}", count.to_json() if count else b"")

    def waiting(self) -> int:
        """How many wishes and counts the lake does not have yet."""
        return sum(1 for _ in self._records())

    def send(self, store: ObjectStore) -> int:
        """Bring the lake up to date; returns how many were sent. Raises the lake's error at the first that fails.

        A file that is damaged is set aside, named in the log, and stops nothing.
        """
        with self._sending:
            return sum(self._send_one(store, path) for path in list(self._records()))

    def _send_one(self, store: ObjectStore, path: Path) -> int:
        body, photo = self._read(path)
        try:
            if path.name.endswith(COUNT):
                save_count(store, path.name.removesuffix(COUNT), AnswerCount.from_json(body) if body else None)
            else:
                grant(store, Wish.from_json(body), photo)
        except (BadRecord, NotAPhoto) as error:
            log.error("%s cannot be sent, and is set aside: %s", path, error)
            path.replace(path.with_name(path.name + REFUSED))
            return 0
        self._forget(path, body)
        return 1

    def _read(self, path: Path) -> tuple[bytes, bytes]:
        """A file, and the photo that it is about, of the same moment; empty where there is none."""
        picture = _picture_of(path)
        with self._changing:
            return path.read_bytes(), picture.read_bytes() if picture.exists() else b""

    def _forget(self, path: Path, sent: bytes) -> None:
        """Remove what was sent, unless the visitor wants something else by now."""
        with self._changing:
            if path.read_bytes() == sent:
                path.unlink()
                _picture_of(path).unlink(missing_ok=True)

    def _records(self) -> Iterator[Path]:
        if self.folder.is_dir():
            yield from sorted(path for path in self.folder.iterdir() if path.name.endswith((UPLOAD, COUNT)))

    def _write(self, path: Path, body: bytes) -> None:
        """Whole, on the disk, and for this user alone."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".draft")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync(self.folder)


def grant(store: ObjectStore, wish: Wish, photo: bytes) -> str:
    """Make the lake what the visitor wants of one photo; safe to repeat. Returns the photo's id.

    Raises NotAPhoto where the photo is missing or damaged.
    """
    secret = lake_secret(store)
    session = fingerprint(secret, wish.visitor)
    photo_id = name_photo(secret, session, wish.photo_sha256)
    if not wish.kept:
        take_back(store, photo_id)
        return photo_id
    about_consent_and_model = (wish.consent_version, wish.model_version, wish.probability)
    save_upload(store, photo, UploadRecord(photo_id, wish.taken_at, session, *about_consent_and_model))
    if wish.answer:
        store.write(layout.feedback(photo_id), Feedback(photo_id, wish.answer, str(wish.answered_at)).to_json())
    else:
        store.delete(layout.feedback(photo_id))
    if store.exists(layout.tombstone(layout.upload_photo(photo_id))):  # it was taken back before
        bring_back(store, layout.upload_photo(photo_id))
    return photo_id


def _picture_of(record: Path) -> Path:
    return record.with_name(record.name.removesuffix(UPLOAD) + PHOTO)
