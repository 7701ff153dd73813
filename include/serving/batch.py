"""The task of `predict_batch`: predict many photos with the live server, and store the answers in the lake."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

from include.images.photo_files import read_photo
from include.ingestion.uploads import collect_uploads
from include.lake import layout
from include.lake.base import ObjectStore, read_existing
from include.serving.predict_folder import Named, predict_all, read_folder
from include.settings import Settings

log = logging.getLogger(__name__)


def predict_batch(
    store: ObjectStore, run: str, settings: Settings, *, folder: Path | None, day: str
) -> dict[str, str | int]:
    """Task: predict every photo of ``folder``, or of the uploads where there is none.

    Raises ServerError, BaseDataMissing, and InvalidKey for a run id that cannot be a key.

    ``day`` (ISO 8601) is that of the run, so that a retry after midnight writes the same object. Returns its key and
    the number of photos.
    """
    key = layout.predictions(day, run)
    rows = list(predict_all(settings, _from_folder(folder) if folder else _from_uploads(store)))
    store.write(key, "".join(json.dumps(row) + "\n" for row in rows).encode())
    log.info("%d photos, %d of them without an answer: %s", len(rows), sum(bool(row["error"]) for row in rows), key)
    return {"key": key, "photos": len(rows)}


def _from_folder(folder: Path) -> Iterator[Named]:
    files, skipped = read_folder(folder)
    if skipped.count:
        log.warning("%d left out: %s", skipped.count, skipped)
    for path in files:
        yield str(path.relative_to(folder)), read_photo(path)


def _from_uploads(store: ObjectStore) -> Iterator[Named]:
    """A photo that went missing, or was deleted just now, counts as unreadable."""
    keys = [str(row["key"]) for row in collect_uploads(store)]
    yield from zip(keys, read_existing(store, keys), strict=True)
