"""The train/val/test split of a photo, fixed for ever by its own bytes; and which photos a run samples."""

import hashlib
from itertools import accumulate

import pandas as pd

from include.records import UPLOADS
from include.status import Status

BUCKETS = 100
FOLDS = 5  # of out-of-fold scores
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
EDGES = dict(zip(SHARES, (round(BUCKETS * total) for total in accumulate(SHARES.values())), strict=True))


def bucket(sha256: str) -> int:
    """0 to 99, evenly spread: a hash of the photo's own hash, so that it depends on nothing else."""
    return int(_hash("side", sha256)[:15], 16) % BUCKETS


def split_of_bucket(number: int) -> str:
    """The split of a bucket: of 100 buckets 80 are train, 10 val and 10 test."""
    return next(split for split, edge in EDGES.items() if number < edge)


def fold_of(name: str) -> int:
    """0 to 4, evenly spread and fixed for ever by the name."""
    return int(_hash("fold", name)[:8], 16) % FOLDS


def hold_for_review(photos: pd.DataFrame) -> pd.DataFrame:
    """Uploads on val or test measure models, so they wait until a person has confirmed their label."""
    holdout = (photos["source"] == UPLOADS) & (photos["label_origin"] != "reviewed") & (photos["split"] != "train")
    return photos.assign(status=photos["status"].mask(holdout & photos["status"].isna(), Status.UNREVIEWED_HOLDOUT))


def sample(photos: pd.DataFrame, *, images_per_source: int, seed: int) -> pd.DataFrame:
    """Mark as used all free uploads, and the first n free base photos per source and split by hash(seed, sha256).

    n is the split's share of ``images_per_source``. A larger number gives a superset. Removing a used photo adds
    the next one, if there is one.
    """
    free = photos[photos["status"].isna()]
    base = free[free["source"] != UPLOADS]
    order = base.assign(rank=[_hash(str(seed), name) for name in base["sha256"]]).sort_values("rank")
    place = order.groupby(["source", "split"]).cumcount()
    room = order["split"].map({split: round(share * images_per_source) for split, share in SHARES.items()}).astype(int)
    status = photos["status"].fillna(Status.USED)
    status.loc[order.index[place >= room]] = Status.NOT_SAMPLED
    return photos.assign(status=status)


def _hash(salt: str, text: str) -> str:
    return hashlib.sha256(f"{salt}:{text}".encode()).hexdigest()
