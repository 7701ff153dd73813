"""NearDuplicates of known photos, planted in a lake: how many are found, and how many of those found are right."""

import hashlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageOps

from bench.lakes import RUN, collect, sound_keys
from include.dataset import steps
from include.dataset.duplicate_pairs import find_duplicate_pairs
from include.images.decoding import decode
from include.lake import layout
from include.lake.local import LocalStore
from include.records import SPLITS
from include.settings import Settings

CROP = 0.87  # of each side


def _crop(photo: Image.Image) -> Image.Image:
    across, down = (round(side * (1 - CROP) / 2) for side in photo.size)
    return photo.crop((across, down, photo.width - across, photo.height - down))


# How a photo is changed, and at which JPEG quality it is written.
CLASSES: dict[str, tuple[Callable[[Image.Image], Image.Image], int]] = {
    "half as large": (lambda photo: photo.resize((max(32, photo.width // 2), max(32, photo.height // 2))), 90),
    "JPEG quality 30": (lambda photo: photo, 30),
    "mirrored": (ImageOps.mirror, 90),
    "turned by 90 degrees": (lambda photo: photo.transpose(Image.Transpose.ROTATE_90), 90),
    "grey": (ImageOps.grayscale, 90),
    "brightness x 1.3": (lambda photo: ImageEnhance.Brightness(photo).enhance(1.3), 90),
    f"centre crop of {CROP:.0%}": (_crop, 90),
}


def measure_copies(store: LocalStore, settings: Settings, *, count: int) -> dict[str, Any]:
    """Plant copies of ``count`` photos in all CLASSES and look for them as the task `deduplicate` does.

    Returns how many were ``planted``, how many pairs were ``found`` more than before, and what ``judge`` says of them.
    """
    before = _pairs(store, settings)
    originals = np.random.default_rng(settings.seed).choice(sound_keys(store, *SPLITS), count, replace=False)
    planted = pd.DataFrame([row for original in originals for row in _plant(store, str(original))])
    collect(store, settings)
    pairs = _pairs(store, settings)
    return {"planted": len(planted), "found": len(pairs) - len(before)} | judge(planted, pairs, before)


def judge(planted: pd.DataFrame, pairs: pd.DataFrame, before: pd.DataFrame) -> dict[str, Any]:
    """``planted`` has columns key, original, kind; pairs have columns first and second.

    Returns ``recall`` of each kind, and ``precision``: the share of right ones among all pairs that a planted photo is
    in, 0 where there is none. Right is what goes back to one photo, or to two that were a pair before.
    """
    original = planted.set_index("key")["original"]
    origins = [pairs[side].map(original).fillna(pairs[side]) for side in ("first", "second")]
    known = set(zip(before["first"], before["second"], strict=True))
    with_planted = pairs["first"].isin(original.index) | pairs["second"].isin(original.index)
    right = [one == other or tuple(sorted((one, other))) in known for one, other in zip(*origins, strict=True)]
    together = set(zip(pairs["first"], pairs["second"], strict=True))
    hits = [tuple(sorted(ends)) in together for ends in zip(planted["key"], planted["original"], strict=True)]
    recall = planted.assign(hit=hits).groupby("class_name", sort=False)["hit"].mean()
    precision = (np.array(right, bool) & with_planted).sum() / max(1, with_planted.sum())
    return {"recall": recall.to_dict(), "precision": float(precision)}


def _plant(store: LocalStore, original: str) -> list[dict[str, str]]:
    photo, source = decode(store.read(original)), layout.parse_base(original).source
    rows = []
    for kind, (change, quality) in CLASSES.items():
        buffer = io.BytesIO()
        change(photo).save(buffer, "JPEG", quality=quality)
        key = layout.base(source, hashlib.sha256(buffer.getvalue()).hexdigest())
        store.write(key, buffer.getvalue())
        rows.append({"key": key, "original": original, "class_name": kind})
    return rows


def _pairs(store: LocalStore, settings: Settings) -> pd.DataFrame:
    return find_duplicate_pairs(store, steps.gather(store, RUN), settings.policy.copies)
