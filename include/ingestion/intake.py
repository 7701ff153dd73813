"""How base photos enter the lake."""

import hashlib
import logging
from typing import Any

from include.images.photo_files import Skipped
from include.ingestion.base_photos import read_source
from include.ingestion.base_sets import check_claim
from include.ingestion.tombstones import bring_back, list_taken
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import write_json
from include.lake.listing import own_keys

log = logging.getLogger(__name__)


def ingest_source(
    store: ObjectStore, run: str, source: str, owner: dict[str, Any], *, base_data: str
) -> dict[str, int]:
    """Write what is new of one source into the lake, under the hash of its bytes. Safe to repeat.

    A photo that was taken away and is in the folder again counts again. Leaves what it saw for ``follow_folder``.
    ``owner`` is what ``claim_lake`` returned. Raises OtherLake where the lake was claimed anew since, and
    BaseDataMissing where the source has no photos, InvalidKey for a run id that cannot be a key.
    """
    result = layout.ingested(run, source)
    check_claim(store, owner)
    write_json(store, layout.last_ingest(source), {"run": run})  # first: a lake must not follow what is read anew
    prefix, photos = layout.base(source, ""), 0
    held, taken = set(own_keys(store, prefix)), list_taken(store, prefix)
    seen, new, skipped = dict[str, None](), list[str](), Skipped()
    for body in read_source(base_data, source, seed=owner["seed"], skipped=skipped):
        photos += 1
        key = layout.base(source, hashlib.sha256(body).hexdigest())
        if key not in seen and key not in held:
            store.write(key, body)
            new.append(key)
        if key not in seen and key in taken:
            bring_back(store, key)
        seen[key] = None
    write_json(store, result, {"seen": list(seen), "new": new, "unreadable": skipped.unknown})
    log.info("%s: %d photos read, %d of them new, %d in the lake", source, photos, len(new), len(held) + len(new))
    if skipped.count:
        log.warning("%s: %d left out: %s", source, skipped.count, skipped)
    return {"seen": photos, "new": len(new), "in_lake": len(held) + len(new), "left_out": skipped.count}
