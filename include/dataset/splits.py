"""The side of a photo, fixed for ever by its own bytes; and which photos a run uses."""

import hashlib

import pandas as pd

from include.records import UPLOADS

BUCKETS = 100
FOLDS = 5  # of the fits that tell what a model says of photos that it did not learn from
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
USED = "used"
WAITING = "waiting for review"
NOT_SAMPLED = "not sampled"


def bucket(sha256: str) -> int:
    """0 to 99, evenly spread: a hash of the photo's own hash, so that it depends on nothing else."""
    return int(_hash("split", sha256)[:15], 16) % BUCKETS


def split_of(number: int) -> str:
    """Of 100 buckets 80 train, 10 are val, 10 test."""
    return "train" if number < 80 else "val" if number < 90 else "test"


def fold_of(name: str) -> int:
    """0 to 4, evenly spread and fixed for ever by the name."""
    return int(_hash("fold", name)[:8], 16) % FOLDS


def hold_for_review(photos: pd.DataFrame) -> pd.DataFrame:
    """Uploads on val or test judge models: they wait until a person has confirmed their label."""
    unseen = (photos["source"] == UPLOADS) & (photos["label_origin"] != "reviewed") & (photos["split"] != "train")
    return photos.assign(status=photos["status"].mask(unseen & photos["status"].isna(), WAITING))


def sample(photos: pd.DataFrame, *, images_per_source: int, seed: int) -> pd.DataFrame:
    """Give every photo without a fate one: the first n per base source and side by hash(seed, sha256), and all uploads.

    n is the side's share of ``images_per_source``. A larger number is a superset; a photo that leaves lets exactly
    one neighbour in.
    """
    free = photos[photos["status"].isna()]
    base = free[free["source"] != UPLOADS]
    order = base.assign(turn=[_hash(str(seed), name) for name in base["sha256"]]).sort_values("turn")
    place = order.groupby(["source", "split"]).cumcount()
    room = order["split"].map({split: round(share * images_per_source) for split, share in SHARES.items()}).astype(int)
    crowded_out = order.index[place >= room]
    status = photos["status"].fillna(USED)
    status.loc[crowded_out] = NOT_SAMPLED
    return photos.assign(status=status)


def _hash(salt: str, text: str) -> str:
    return hashlib.sha256(f"{salt}:{text}".encode()).hexdigest()
