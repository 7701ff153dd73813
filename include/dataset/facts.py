"""Facts of one photo by itself: computed once, with its embedding, and kept for ever."""

import base64
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from include.backbone import SIZE, VERSION
from include.dataset.embeddings import names_with_embeddings, write_embeddings
from include.dataset.splits import bucket
from include.errors import NotAPhoto, PhotoMissing
from include.images.decoding import decode_twice
from include.images.perceptual_hash import CENTRE_CROPS, ORIENTATIONS, perceptual_hashes
from include.images.properties import image_properties
from include.ingestion.snapshot import read_snapshot
from include.ingestion.uploads import fingerprint, lake_secret
from include.lake import layout
from include.lake.base import ObjectStore, chunks, read_existing, read_many
from include.lake.formats import parse_table, read_json, read_table, to_json, write_json, write_table
from include.lake.listing import own_keys
from include.lake.progress import Progress

log = logging.getLogger(__name__)

TEXT = ["key", "fingerprint", "problem"]
WHOLE = ["bucket", "width", "height"]
MEASURES = ["aspect_ratio", "brightness", "contrast", "darkest", "lightest", "entropy", "sharpness"]
# bytes: uint8 (crops, orientations, 8), and the packed bits of bool (crops, orientations)
HASHES = ["codes", "upright"]
COLUMNS = TEXT + WHOLE + MEASURES + HASHES
THUMBNAIL = 40  # pixels: its smallest centre crop still has the 32 that near-duplicates are compared at


def list_new_images(store: ObjectStore, run: str, *, cache: Path, shard_size: int) -> list[str]:
    """Shards of the run's photos that lack facts or an embedding: the keys of JSON lists, in a fixed order.

    All are of one size, near ``shard_size``. ``cache`` is this machine's folder of embeddings.
    """
    base, uploads = read_snapshot(store, run)
    described, embedded = set(_base_facts(store)["key"]), names_with_embeddings(store, cache)
    known = [key in described and name in embedded for key, name in zip(base["key"], base["sha256"], strict=True)]
    written = set(store.keys(layout.UPLOADS))
    new = [key for key in uploads["key"] if not written.issuperset(_derived(layout.photo_id_of(key)))]
    missing = [*base["key"][~np.array(known, bool)], *new]
    shards = np.array_split(np.array(missing, object), max(1, round(len(missing) / shard_size))) if missing else []
    return [write_json(store, layout.shard(run, number), members.tolist()) for number, members in enumerate(shards)]


def describe(store: ObjectStore, shard: str) -> dict[str, int]:
    """Read each photo of a shard once; store its facts and embedding, and a reason in quarantine if it is broken.

    It reads and writes the lake only, so that any machine can do it. A broken photo has the embedding of a black one.
    Only what the bytes say is stored: raises PhotoMissing where an object is not there, and faults of the machine rise,
    in both cases before anything is stored.
    """
    keys: list[str] = read_json(store, shard)
    progress = Progress(store, layout.shard_progress(shard), total=len(keys), unit="photos described")
    from include.backbone.features import BATCH, features  # TensorFlow: only for those who compute; it takes a while

    photos, facts, vectors = _read(store, keys), list[dict[str, Any]](), list[NDArray[np.float16]]()
    for batch in chunks(photos, BATCH):
        facts += [fact for fact, _ in batch]
        vectors.append(features(np.stack([pixels for _, pixels in batch])))
        progress.advance(len(batch))
    for fact in facts:
        if fact["problem"]:
            write_json(store, layout.quarantine(fact["key"]), {name: fact[name] for name in TEXT})
    write_embeddings(store, keys, np.concatenate(vectors))
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
    """Codes, uint8 (photos, crops, orientations, 8), and bool (photos, crops, orientations): which may be canonical."""
    codes = np.frombuffer(b"".join(facts["codes"]), np.uint8).reshape(-1, len(CENTRE_CROPS), ORIENTATIONS, 8)
    upright = np.frombuffer(b"".join(facts["upright"]), np.uint8)
    return codes, np.unpackbits(upright).astype(bool).reshape(-1, len(CENTRE_CROPS), ORIENTATIONS)


def picture_facts(image: Image.Image) -> dict[str, Any]:
    """All facts that come from the pixels of a photo in RGB, its thumbnail among them."""
    grey = image.convert("L")
    hashes = perceptual_hashes(grey)
    return {
        "width": image.width,
        "height": image.height,
        **image_properties(image, grey),
        "codes": hashes.codes.tobytes(),
        "upright": np.packbits(hashes.upright).tobytes(),
        "thumbnail": grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).tobytes(),
    }


def _derived(photo_id: str) -> tuple[str, str]:
    """What `describe` leaves in an upload's folder."""
    return layout.upload_facts(photo_id), layout.upload_embeddings(photo_id, VERSION)


def _read(store: ObjectStore, keys: list[str]) -> Iterator[tuple[dict[str, Any], NDArray[np.uint8]]]:
    """The facts of each photo, and its pixels for the backbone, uint8 (224, 224, 3): black for a broken one.

    After the first photo that is missing the others are only counted; raises PhotoMissing then.
    """
    secret, missing = lake_secret(store), list[str]()
    for key, body in zip(keys, read_existing(store, keys), strict=True):
        if body is None:
            missing.append(key)
        elif not missing:
            yield _describe_one(secret, key, body)
    if missing:
        raise PhotoMissing(
            f"{len(missing)} of {len(keys)} photos of this run are not in the lake, such as {missing[0]!r}: bring them "
            "back and clear describe, or trigger retrain again, for the photos of then"
        )


def _describe_one(secret: bytes, key: str, body: bytes) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    fact, nothing = partial(_fact, key=key), np.zeros((SIZE, SIZE, 3), np.uint8)
    sha256 = hashlib.sha256(body).hexdigest()
    named = {"fingerprint": fingerprint(secret, sha256), "bucket": bucket(sha256)}
    try:
        whole, pixels = decode_twice(body, SIZE)
    except NotAPhoto as error:
        return fact(**named, problem=f"{error.reason}: {error}"), nothing
    return fact(**named, **picture_facts(whole)), pixels


def _fact(**known: Any) -> dict[str, Any]:
    return dict.fromkeys([*COLUMNS, "thumbnail"]) | known


def _store(store: ObjectStore, facts: list[dict[str, Any]]) -> None:
    """Base facts as one part named by its members, so a repeated shard writes the same object; uploads one by one."""
    base = [fact for fact in facts if fact["key"].startswith(layout.BASE)]
    if base:
        part = layout.base_facts(layout.members_of(fact["key"] for fact in base))
        write_table(store, layout.thumbnails(part), pd.DataFrame(base, columns=["key", "thumbnail"]))
        write_table(store, part, _typed(base))  # last: a part that stands has its thumbnails
    for fact in facts:
        if fact["key"].startswith(layout.UPLOADS):
            store.write(layout.upload_facts(layout.photo_id_of(fact["key"])), _to_json(fact))


def _base_facts(store: ObjectStore) -> pd.DataFrame:
    keys = list(own_keys(store, layout.BASE_FACTS))
    parts = [parse_table(body).assign(part=key) for key, body in zip(keys, read_many(store, keys), strict=True)]
    return pd.concat(parts, ignore_index=True) if parts else _typed([]).assign(part="")


def _typed(facts: Iterable[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(list(facts), columns=COLUMNS)
    dtypes = dict.fromkeys(TEXT, "string") | dict.fromkeys(WHOLE, "Int64") | dict.fromkeys(MEASURES, "float64")
    return table.astype(dtypes)


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
