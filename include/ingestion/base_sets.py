"""Base sets: where their photos come from, and how they enter the lake."""

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

from include.errors import BaseDataMissing, OtherBaseSet
from include.images.synthetic import draw_sample
from include.lake import layout
from include.lake.base import ObjectStore, create_or_read
from include.lake.formats import to_json
from include.records import SOURCES
from include.settings import SAMPLE, Settings

log = logging.getLogger(__name__)


def claim_lake(store: ObjectStore, settings: Settings) -> dict[str, object]:
    """Write once whose base set the lake holds, and its seed; raises OtherBaseSet where it is another's."""
    mine = {"base_set": settings.base_set, "seed": settings.seed}
    owner: dict[str, object] = json.loads(create_or_read(store, layout.LAKE, to_json(mine)))
    if owner["base_set"] != settings.base_set:
        raise OtherBaseSet(
            f"this lake holds the base set {owner['base_set']!r}, not {settings.base_set!r}: "
            "set CAT_BASE_DATA to what it holds, or CAT_LAKE_URL to a lake of its own"
        )
    return owner


def read_source(base_data: str, source: str, *, seed: int) -> Iterator[bytes]:
    """The original bytes of every photo of one source, in a fixed order; raises BaseDataMissing."""
    if base_data == SAMPLE:
        yield from draw_sample(source, seed=seed)
        return
    for path in _files(Path(base_data) / source):
        yield path.read_bytes()


def ingest_source(store: ObjectStore, source: str, *, base_data: str, seed: int) -> dict[str, int]:
    """Bring what is new of one source into the lake, under the hash of its bytes; twice changes nothing."""
    known = {layout.parse_base(key).sha256 for key in store.keys(layout.base(source, ""))}
    seen = new = 0
    for body in read_source(base_data, source, seed=seed):
        seen += 1
        sha256 = hashlib.sha256(body).hexdigest()
        if sha256 not in known:
            store.write(layout.base(source, sha256), body)
            known.add(sha256)
            new += 1
    log.info("%s: %d photos seen, %d of them new, %d in the lake", source, seen, new, len(known))
    return {"seen": seen, "new": new, "in_lake": len(known)}


def _files(folder: Path) -> list[Path]:
    """Every file below the folder but hidden ones: what is no photo is found by decoding, and said."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise BaseDataMissing(
            f"no photos in {folder}: CAT_BASE_DATA must be 'sample' or a folder with {', '.join(SOURCES)} in it"
        )
    return files
