"""The task of `predict_batch`: ask the live server about many photos, and keep the answers in the lake."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from include.ingestion.uploads import collect_uploads
from include.lake import layout
from include.lake.base import ObjectStore, read_existing
from include.serving.predict_folder import Named, predict_all, read_folder, read_photo
from include.settings import Settings


def predict_batch(store: ObjectStore, run: str, folder: str) -> dict[str, str | int]:
    """Task: ask about every photo; returns the key of the answers and their number. Raises ServerError."""
    photos = _from_folder(Path(folder)) if folder else _from_uploads(store)
    rows = list(predict_all(Settings(), photos))
    key = layout.predictions(datetime.now(UTC).date().isoformat(), run)
    store.write(key, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return {"key": key, "photos": len(rows)}


def _from_folder(folder: Path) -> Iterator[Named]:
    for path in read_folder(folder):
        yield str(path.relative_to(folder)), read_photo(path)


def _from_uploads(store: ObjectStore) -> Iterator[Named]:
    """A photo that went missing, by a person's hand or by being forgotten just now, is unreadable like a file."""
    keys = [str(row["key"]) for row in collect_uploads(store)]
    yield from zip(keys, read_existing(store, keys), strict=True)
