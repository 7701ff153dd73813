"""What is known of one photo by itself, worked out once and kept for ever."""

import hashlib
import json
import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pandas as pd

from include.data.decoding import decode
from include.data.snapshot import read_snapshot
from include.data.split import bucket
from include.data.uploads import fingerprint, lake_secret
from include.errors import NotAPhoto, ObjectNotFound
from include.lake import layout
from include.lake.base import ObjectStore, read_many
from include.lake.formats import read_json, read_table, to_json, write_json, write_table

log = logging.getLogger(__name__)

COLUMNS = ["key", "fingerprint", "bucket", "problem", "width", "height"]


def list_undescribed(store: ObjectStore, run: str, *, shard_size: int) -> list[str]:
    """Shards of the run's photos that have no facts yet: the keys of JSON lists, in a fixed order."""
    base, uploads = read_snapshot(store, run)
    described = set(_base_facts(store)["key"])
    described |= {layout.upload_photo(layout.photo_id_of(key)) for key in store.keys(layout.UPLOAD_FACTS)}
    missing = (key for key in (*base["key"], *uploads["key"]) if key not in described)
    return [
        write_json(store, layout.shard(run, number), members)
        for number, members in enumerate(_chunks(missing, shard_size))
    ]


def describe(store: ObjectStore, shard: str) -> dict[str, int]:
    """Read and decode each photo of a shard once; store its facts, and a reason in quarantine if it is broken."""
    keys: list[str] = read_json(store, shard)
    secret = lake_secret(store)
    facts = [_describe_one(store, secret, key) for key in keys]
    for fact in facts:
        if fact["problem"]:
            write_json(store, layout.quarantine(fact["key"]), fact)
    _store(store, facts)
    broken = sum(1 for fact in facts if fact["problem"])
    log.info("described %d photos, %d of them broken", len(facts), broken)
    return {"described": len(facts), "broken": broken}


def read_facts(store: ObjectStore, uploads: pd.DataFrame) -> pd.DataFrame:
    """Facts of all base photos and of the given uploads: a row per key with the columns of ``COLUMNS``."""
    keys = [layout.upload_facts(photo_id) for photo_id in uploads["photo_id"]]
    of_uploads = pd.DataFrame([json.loads(body) for body in read_many(store, keys)], columns=COLUMNS)
    known = [table for table in (_base_facts(store), of_uploads) if len(table)]
    return pd.concat(known, ignore_index=True).drop_duplicates("key") if known else of_uploads


def _describe_one(store: ObjectStore, secret: bytes, key: str) -> dict[str, Any]:
    try:
        body = store.read(key)
    except ObjectNotFound:
        return _fact(key, None, problem="missing: the record stands without its photo")
    sha256 = hashlib.sha256(body).hexdigest()
    named = {"fingerprint": fingerprint(secret, sha256), "bucket": bucket(sha256)}
    try:
        image = decode(body)
    except NotAPhoto as error:
        return _fact(key, named, problem=f"{error.reason}: {error}")
    return _fact(key, named, width=image.width, height=image.height)


def _fact(key: str, named: dict[str, Any] | None, **known: Any) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {"key": key} | (named or {}) | known


def _store(store: ObjectStore, facts: list[dict[str, Any]]) -> None:
    """Base facts as one part named by its members, so a repeated shard writes the same object; uploads one by one."""
    base = [fact for fact in facts if fact["key"].startswith(layout.BASE)]
    if base:
        members = hashlib.sha256("\n".join(fact["key"] for fact in base).encode()).hexdigest()
        write_table(store, layout.base_facts(members), _typed(base))
    for fact in facts:
        if fact["key"].startswith(layout.UPLOADS):
            store.write(layout.upload_facts(layout.photo_id_of(fact["key"])), to_json(fact))


def _base_facts(store: ObjectStore) -> pd.DataFrame:
    parts = [read_table(store, key) for key in store.keys(layout.BASE_FACTS)]
    return pd.concat(parts, ignore_index=True) if parts else _typed([])


def _typed(facts: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(facts, columns=COLUMNS)
    numbers = dict.fromkeys(("bucket", "width", "height"), "Int64")
    return table.astype(numbers | dict.fromkeys(("key", "fingerprint", "problem"), "string"))


def _chunks(items: Iterator[str], size: int) -> Iterator[list[str]]:
    while some := list(islice(items, size)):
        yield some
