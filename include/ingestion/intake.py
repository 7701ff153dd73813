"""How base photos enter the lake."""

import hashlib
import logging
from typing import Any

from include.ingestion.base_photos import read_source
from include.ingestion.base_sets import check_claim
from include.lake import layout
from include.lake.base import ObjectStore

log = logging.getLogger(__name__)


def ingest_source(store: ObjectStore, source: str, owner: dict[str, Any], *, base_data: str) -> dict[str, int]:
    """Write what is new of one source into the lake, under the hash of its bytes. Safe to repeat.

    ``owner`` is what ``claim_lake`` returned. Raises OtherLake where the lake was claimed anew since, and
    BaseDataMissing where the source has no photos.
    """
    check_claim(store, owner)
    known = {layout.parse_base(key).sha256 for key in store.keys(layout.base(source, ""))}
    seen = new = 0
    for body in read_source(base_data, source, seed=owner["seed"]):
        seen += 1
        sha256 = hashlib.sha256(body).hexdigest()
        if sha256 not in known:
            store.write(layout.base(source, sha256), body)
            known.add(sha256)
            new += 1
    log.info("%s: %d photos read, %d of them new, %d in the lake", source, seen, new, len(known))
    return {"seen": seen, "new": new, "in_lake": len(known)}
