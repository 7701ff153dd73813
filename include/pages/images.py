"""Pictures inside a page: small photos, never of an upload, and drawings as data URLs."""

import base64
import io
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from PIL import Image

from include.images.decoding import decode
from include.lake import layout
from include.lake.base import ObjectStore, read_many

SIDE = 128  # the longer side of a picture, in pixels


def small_pictures(store: ObjectStore, keys: Iterable[str]) -> dict[str, str]:
    """JPEGs as base64, by the key of the photo; of base photos only, each of which is read once."""
    wanted = sorted({key for key in keys if key.startswith(layout.BASE)})
    return dict(zip(wanted, map(_shrink, read_many(store, wanted)), strict=True))


def add_pictures(photos: pd.DataFrame, pictures: Mapping[str, str]) -> list[dict[str, Any]]:
    """A record of each photo with its ``picture``; an upload has its ``photo_id`` instead, and none as picture."""
    return [photo | _identity(photo["key"], pictures) for photo in photos.to_dict("records")]


def _identity(key: str, pictures: Mapping[str, str]) -> dict[str, str | None]:
    uploaded = key.startswith(layout.UPLOADS)
    return {"photo_id": layout.photo_id_of(key), "picture": None} if uploaded else {"picture": pictures[key]}


def _shrink(body: bytes) -> str:
    image = decode(body, draft=SIDE)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
