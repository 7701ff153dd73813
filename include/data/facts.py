"""What is known of one photo by itself, worked out once and kept for ever."""

import base64
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from include.data.snapshot import read_snapshot
from include.data.split import bucket
from include.data.uploads import fingerprint, lake_secret
from include.errors import NotAPhoto, ObjectNotFound
from include.images.decoding import decode
from include.images.perceptual_hash import MIDDLES, TURNS, perceptual_hashes
from include.images.properties import measure
from include.lake import layout
from include.lake.base import ObjectStore, read_many
from include.lake.formats import parse_table, read_json, read_table, to_json, write_json, write_table

log = logging.getLogger(__name__)

TEXT = ["key", "fingerprint", "problem"]
WHOLE = ["bucket", "width", "height"]
MEASURES = ["aspect_ratio", "brightness", "contrast", "darkest", "lightest", "entropy", "sharpness"]
HASHES = ["codes", "upright"]  # bytes: uint8 (middles, turns, 8), and the packed bits of bool (middles, turns)
COLUMNS = TEXT + WHOLE + MEASURES + HASHES
THUMBNAIL = 40  # pixels: of its middle 0.84 still has the 32 that copies are compared at


def list_undescribed(store: ObjectStore, run: str, *, shard_size: int) -> list[str]:
    """Shards of the run's photos that have no facts yet: the keys of JSON lists, in a fixed order."""
    base, uploads = read_snapshot(store, run)
    described = set(_base_facts(store)["key"])
    written = set(store.keys(layout.UPLOADS))
    new = [key for key in uploads["key"] if layout.upload_facts(layout.photo_id_of(key)) not in written]
    missing = (key for key in (*base["key"], *new) if key not in described)
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
            write_json(store, layout.quarantine(fact["key"]), {name: fact[name] for name in TEXT})
    _store(store, facts)
    broken = sum(1 for fact in facts if fact["problem"])
    log.info("described %d photos, %d of them broken", len(facts), broken)
    return {"described": len(facts), "broken": broken}


def read_facts(store: ObjectStore, uploads: pd.DataFrame) -> pd.DataFrame:
    """Facts of all base photos and of the given uploads: a row per key, with ``COLUMNS`` and ``part``.

    ``part`` is the key of the object that holds the photo's facts; ``read_thumbnails`` needs it.
    """
    keys = [layout.upload_facts(photo_id) for photo_id in uploads["photo_id"]]
    of_uploads = _typed([_from_json(body) for body in read_many(store, keys)]).assign(part=keys)
    return pd.concat([_base_facts(store), of_uploads], ignore_index=True).drop_duplicates("key")


def read_thumbnails(store: ObjectStore, facts: pd.DataFrame) -> NDArray[np.uint8]:
    """The small grey pictures of these photos, in their order: uint8 (photos, 40, 40)."""
    pictures = np.zeros((len(facts), THUMBNAIL * THUMBNAIL), np.uint8)
    for part, rows in facts.groupby("part").indices.items():
        wanted = facts["key"].to_numpy()[rows]
        held = _thumbnails_of(store, str(part))
        pictures[rows] = [np.frombuffer(held[key], np.uint8) for key in wanted]
    return pictures.reshape(-1, THUMBNAIL, THUMBNAIL)


def unpack_hashes(facts: pd.DataFrame) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Codes, uint8 (photos, middles, turns, 8), and what may be upright, bool (photos, middles, turns)."""
    codes = np.frombuffer(b"".join(facts["codes"]), np.uint8).reshape(-1, len(MIDDLES), TURNS, 8)
    upright = np.frombuffer(b"".join(facts["upright"]), np.uint8)
    return codes, np.unpackbits(upright).astype(bool).reshape(-1, len(MIDDLES), TURNS)


def picture_facts(image: Image.Image) -> dict[str, Any]:
    """All facts that come from the pixels of a photo in RGB, its thumbnail among them."""
    grey = image.convert("L")
    hashes = perceptual_hashes(grey)
    return {
        "width": image.width,
        "height": image.height,
        **measure(image, grey),
        "codes": hashes.codes.tobytes(),
        "upright": np.packbits(hashes.upright).tobytes(),
        "thumbnail": grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).tobytes(),
    }


def _describe_one(store: ObjectStore, secret: bytes, key: str) -> dict[str, Any]:
    fact = partial(_fact, key=key)
    try:
        body = store.read(key)
    except ObjectNotFound:
        return fact(problem="missing: the record stands without its photo")
    sha256 = hashlib.sha256(body).hexdigest()
    named = {"fingerprint": fingerprint(secret, sha256), "bucket": bucket(sha256)}
    try:
        return fact(**named, **picture_facts(decode(body)))
    except NotAPhoto as error:
        return fact(**named, problem=f"{error.reason}: {error}")


def _fact(**known: Any) -> dict[str, Any]:
    return dict.fromkeys([*COLUMNS, "thumbnail"]) | known


def _store(store: ObjectStore, facts: list[dict[str, Any]]) -> None:
    """Base facts as one part named by its members, so a repeated shard writes the same object; uploads one by one."""
    base = [fact for fact in facts if fact["key"].startswith(layout.BASE)]
    if base:
        part = layout.base_facts(hashlib.sha256("\n".join(fact["key"] for fact in base).encode()).hexdigest())
        write_table(store, layout.thumbnails(part), pd.DataFrame(base, columns=["key", "thumbnail"]))
        write_table(store, part, _typed(base))  # last: a part that stands has its thumbnails
    for fact in facts:
        if fact["key"].startswith(layout.UPLOADS):
            store.write(layout.upload_facts(layout.photo_id_of(fact["key"])), _to_json(fact))


def _base_facts(store: ObjectStore) -> pd.DataFrame:
    keys = list(store.keys(layout.BASE_FACTS))
    parts = [parse_table(body).assign(part=key) for key, body in zip(keys, read_many(store, keys), strict=True)]
    return pd.concat(parts, ignore_index=True) if parts else _typed([]).assign(part="")


def _typed(facts: Iterable[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(list(facts), columns=COLUMNS)
    kinds = dict.fromkeys(TEXT, "string") | dict.fromkeys(WHOLE, "Int64") | dict.fromkeys(MEASURES, "float64")
    return table.astype(kinds)


def _thumbnails_of(store: ObjectStore, part: str) -> dict[str, bytes]:
    if part.startswith(layout.UPLOADS):
        fact = _from_json(store.read(part))
        return {fact["key"]: fact["thumbnail"]}
    table = read_table(store, layout.thumbnails(part))
    return dict(zip(table["key"], table["thumbnail"], strict=True))


def _to_json(fact: dict[str, Any]) -> bytes:
    encoded = {name: base64.b64encode(fact[name]).decode() for name in (*HASHES, "thumbnail") if fact[name]}
    return to_json(fact | encoded)


def _from_json(body: bytes) -> dict[str, Any]:
    fact: dict[str, Any] = json.loads(body)
    return fact | {name: base64.b64decode(fact[name]) for name in (*HASHES, "thumbnail") if fact[name]}


def _chunks(items: Iterator[str], size: int) -> Iterator[list[str]]:
    while some := list(islice(items, size)):
        yield some
