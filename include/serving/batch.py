"""The live model's answers about a whole folder, or about all uploads, kept in the lake."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from include.data.uploads import collect_uploads
from include.lake import layout
from include.lake.base import ObjectStore, read_present
from include.serving.ask import Named, ask_all, read_folder, read_photo
from include.settings import Settings


def predict(store: ObjectStore, run: str, folder: str) -> dict[str, str | int]:
    """Task: ask about every photo; returns the key of the answers and their number. Raises ServerError."""
    photos = _from_folder(Path(folder)) if folder else _from_uploads(store)
    rows = list(ask_all(Settings(), photos))
    key = layout.predictions(datetime.now(UTC).date().isoformat(), run)
    store.write(key, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return {"key": key, "photos": len(rows)}


def _from_folder(folder: Path) -> Iterator[Named]:
    for path in read_folder(folder):
        yield str(path.relative_to(folder)), read_photo(path)


def _from_uploads(store: ObjectStore) -> Iterator[Named]:
    """A photo that went missing, by a person's hand or by being forgotten just now, is unreadable like a file."""
    keys = [str(row["key"]) for row in collect_uploads(store)]
    yield from zip(keys, read_present(store, keys), strict=True)
