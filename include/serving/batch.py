"""The task of `predict_batch`: predict many photos with the live server, and store the answers in the lake."""

import json
from collections.abc import Iterator
from pathlib import Path

from include.ingestion.uploads import collect_uploads
from include.lake import layout
from include.lake.base import ObjectStore, read_existing
from include.serving.predict_folder import Named, predict_all, read_folder, read_photo
from include.settings import Settings


def predict_batch(store: ObjectStore, run: str, settings: Settings, *, folder: str, day: str) -> dict[str, str | int]:
    """Task: predict every photo of ``folder``, or of the uploads when it is empty. Raises ServerError, and InvalidKey
    for a run id that cannot be a key.

    ``day`` (ISO 8601) is that of the run, so that a retry after midnight writes the same object. Returns its key and
    the number of photos.
    """
    key = layout.predictions(day, run)
    photos = _from_folder(Path(folder)) if folder else _from_uploads(store)
    rows = list(predict_all(settings, photos))
    store.write(key, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return {"key": key, "photos": len(rows)}


def _from_folder(folder: Path) -> Iterator[Named]:
    for path in read_folder(folder):
        yield str(path.relative_to(folder)), read_photo(path)


def _from_uploads(store: ObjectStore) -> Iterator[Named]:
    """A photo that went missing, or was deleted just now, counts as unreadable."""
    keys = [str(row["key"]) for row in collect_uploads(store)]
    yield from zip(keys, read_existing(store, keys), strict=True)
