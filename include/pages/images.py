"""Pictures in HTML pages: data URLs, and thumbnails of base photos, never of uploads."""

import base64
import io
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from PIL import Image

from include.images.decoding import decode
from include.lake import layout
from include.lake.base import ObjectStore, read_many

SIDE = 128  # pixels of the longer side, at most


def small_pictures(store: ObjectStore, keys: Iterable[str]) -> dict[str, str]:
    """Thumbnails of the base photos among ``keys``, by key, as data URLs. Raises ObjectNotFound or NotAPhoto."""
    base = sorted({key for key in keys if key.startswith(layout.BASE)})
    return dict(zip(base, map(_thumbnail, read_many(store, base)), strict=True))


def add_pictures(photos: pd.DataFrame, pictures: Mapping[str, str]) -> list[dict[str, Any]]:
    """A dict for each photo, with its ``picture``; for an upload that is None, and its ``photo_id`` is added."""
    return [photo | _picture_or_id(photo["key"], pictures) for photo in photos.to_dict("records")]


def _picture_or_id(key: str, pictures: Mapping[str, str]) -> dict[str, str | None]:
    uploaded = key.startswith(layout.UPLOADS)
    return {"photo_id": layout.photo_id_of(key), "picture": None} if uploaded else {"picture": pictures[key]}


def _thumbnail(body: bytes) -> str:
    image = decode(body, draft=SIDE)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return data_url(buffer.getvalue(), "image/jpeg")


def data_url(body: bytes, media_type: str) -> str:
    """A picture that a page carries in itself."""
    return f"data:{media_type};base64,{base64.b64encode(body).decode()}"
