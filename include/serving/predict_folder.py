"""Predict every photo of a folder with the live server.

One row per file: file, probability, is_positive, unsure, model_version, error. A file that cannot be read has an error
and stops nothing.
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.progress import track

from include.errors import BaseDataMissing
from include.files import replacing
from include.images.decoding import MAX_BYTES
from include.images.photo_files import Skipped, read_photo, walk
from include.records import Verdict
from include.serving.client import bytes_of_photos, predict
from include.settings import Settings

COLUMNS = ["file", "probability", "is_positive", "unsure", "model_version", "error"]
BATCH = 16
BATCH_BYTES = 8_000_000
Named = tuple[str, bytes | None]  # none: the file cannot be read


def predict_all(settings: Settings, photos: Iterable[Named]) -> Iterator[dict[str, Any]]:
    """A row per photo, in order, in batches that a server with these settings accepts. Raises ServerError."""
    room = bytes_of_photos(settings.max_request_bytes)
    largest = min(MAX_BYTES, room)
    for batch in _batches(photos, most=min(BATCH, settings.max_batch), most_bytes=min(BATCH_BYTES, room)):
        problems = [_problem(body, largest) for _, body in batch]
        sent = [body for (_, body), problem in zip(batch, problems, strict=True) if body is not None and not problem]
        verdicts = iter(predict(settings.live_url, sent, headers=settings.server_headers) if sent else [])
        for (name, _), problem in zip(batch, problems, strict=True):
            yield _unsent(name, problem) if problem else _row(name, next(verdicts))


def read_folder(folder: Path) -> tuple[list[Path], Skipped]:
    """Every file below the folder that may be a photo, in order, and what is left out; raises BaseDataMissing."""
    skipped = Skipped()
    files = walk(folder, skipped) if folder.is_dir() else []
    if not files:
        rest = f"; left out: {skipped}" if skipped.count else ""
        raise BaseDataMissing(f"no files in {folder}: name a folder with photos{rest}")
    return files, skipped


def predict_folder(settings: Settings, folder: Path, out: Path) -> tuple[int, Skipped]:
    """Write the answers as CSV, renamed into place when all are there; returns how many, and what was left out."""
    files, skipped = read_folder(folder)
    photos = ((str(path.relative_to(folder)), read_photo(path)) for path in track(files, "Predicting"))
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as draft, draft.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, COLUMNS)  # a file name may be any bytes
        writer.writeheader()
        writer.writerows(predict_all(settings, photos))
    return len(files), skipped


def _batches(photos: Iterable[Named], *, most: int, most_bytes: int) -> Iterator[list[Named]]:
    """Up to ``most`` photos and ``most_bytes`` together; a large photo goes alone."""
    batch: list[Named] = []
    for photo in photos:
        if batch and (len(batch) == most or sum(len(body or b"") for _, body in (*batch, photo)) > most_bytes):
            yield batch
            batch = []
        batch.append(photo)
    if batch:
        yield batch


def _problem(body: bytes | None, largest: int) -> str | None:
    """Why a file is not sent."""
    if body is None:
        return "unreadable: the file cannot be opened"
    return f"too_many_bytes: at most {largest:,} are sent" if len(body) > largest else None


def _unsent(name: str, problem: str) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {"file": name, "error": problem}


def _row(name: str, verdict: Verdict) -> dict[str, Any]:
    return {"file": name} | {column: getattr(verdict, column) for column in COLUMNS[1:]}
