"""Near-duplicates planted in a lake: the recall and precision with which the product finds them."""

import hashlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageOps

from bench.lakes import RUN, collect, intact_keys
from include.dataset import steps
from include.dataset.duplicate_pairs import update_pairs
from include.images.decoding import decode
from include.lake import layout
from include.lake.local import LocalStore
from include.records import SPLITS
from include.settings import Settings

CROP = 0.87  # of each side


def _crop(photo: Image.Image) -> Image.Image:
    across, down = (round(side * (1 - CROP) / 2) for side in photo.size)
    return photo.crop((across, down, photo.width - across, photo.height - down))


# How a photo is edited, and at which JPEG quality it is then saved.
EDITS: dict[str, tuple[Callable[[Image.Image], Image.Image], int]] = {
    "half as large": (lambda photo: photo.resize((max(32, photo.width // 2), max(32, photo.height // 2))), 90),
    "JPEG quality 30": (lambda photo: photo, 30),
    "mirrored": (ImageOps.mirror, 90),
    "rotated by 90 degrees": (lambda photo: photo.transpose(Image.Transpose.ROTATE_90), 90),
    "grey": (ImageOps.grayscale, 90),
    "brightness x 1.3": (lambda photo: ImageEnhance.Brightness(photo).enhance(1.3), 90),
    f"centre crop of {CROP:.0%}": (_crop, 90),
}


def measure_near_duplicates(store: LocalStore, settings: Settings, *, count: int) -> dict[str, Any]:
    """Plant a near-duplicate by each of EDITS for ``count`` photos, and search as the task `deduplicate` does.

    Returns the number of photos ``planted``, the number of ``new_pairs``, and the results of ``compare_pairs``.
    """
    pairs_before = _find_pairs(store, settings)
    originals = np.random.default_rng(settings.seed).choice(intact_keys(store, *SPLITS), count, replace=False)
    planted = pd.DataFrame([row for original in originals for row in _plant(store, str(original))])
    collect(store, settings)
    pairs = _find_pairs(store, settings)
    counts = {"planted": len(planted), "new_pairs": len(pairs) - len(pairs_before)}
    return counts | compare_pairs(planted, pairs, pairs_before)


def compare_pairs(planted: pd.DataFrame, pairs: pd.DataFrame, pairs_before: pd.DataFrame) -> dict[str, Any]:
    """``planted`` has the columns key, original and edit; pairs have the columns first and second.

    Returns the ``recall`` for each edit, and the ``precision``: the share of correct pairs among those with a planted
    photo, 0 if there are none. A pair is correct if both photos come from one original, or from two that were a pair
    before.
    """
    original = planted.set_index("key")["original"]
    origins = [pairs[column].map(original).fillna(pairs[column]) for column in ("first", "second")]
    known = set(zip(pairs_before["first"], pairs_before["second"], strict=True))
    with_planted = pairs["first"].isin(original.index) | pairs["second"].isin(original.index)
    correct = [
        first == second or tuple(sorted((first, second))) in known for first, second in zip(*origins, strict=True)
    ]
    paired = set(zip(pairs["first"], pairs["second"], strict=True))
    hits = [tuple(sorted(pair)) in paired for pair in zip(planted["key"], planted["original"], strict=True)]
    recall = planted.assign(hit=hits).groupby("edit", sort=False)["hit"].mean()
    precision = (np.array(correct, bool) & with_planted).sum() / max(1, with_planted.sum())
    return {"recall": recall.to_dict(), "precision": float(precision)}


def _plant(store: LocalStore, original: str) -> list[dict[str, str]]:
    photo, source = decode(store.read(original)), layout.parse_base(original).source
    rows = []
    for name, (edit, quality) in EDITS.items():
        buffer = io.BytesIO()
        edit(photo).save(buffer, "JPEG", quality=quality)
        key = layout.base(source, hashlib.sha256(buffer.getvalue()).hexdigest())
        store.write(key, buffer.getvalue())
        rows.append({"key": key, "original": original, "edit": name})
    return rows


def _find_pairs(store: LocalStore, settings: Settings) -> pd.DataFrame:
    return update_pairs(store, steps.gather(store, RUN), settings.policy.near_duplicates)
