"""What became of the crowds of a dataset, for the log, the report, the pages and the gate."""

import logging
from dataclasses import dataclass
from typing import Any

import pandas as pd

from include.dataset.clusters import SPLIT_PRIORITY
from include.status import Status

log = logging.getLogger(__name__)

MAX_LINES = 10


@dataclass(frozen=True)
class Crowd:
    """What became of one crowd."""

    name: str  # the lowest sha256 of its photos
    photos: int  # before any of them left, uploads that wait for review among them
    stay: int
    split: str | None  # of those that stay, or None; several, such as "test, val", where only uploads connected them
    example: str  # the key of one photo, of one that stays if there is one


def list_crowds(photos: pd.DataFrame) -> list[Crowd]:
    """The crowds among ``photos`` (by ``crowd``), the largest first.

    Photos stay that have no status yet, or are used.
    """
    stays = photos["status"].isna() | (photos["status"] == Status.USED).fillna(False).astype(bool)
    members = photos.assign(stays=stays).sort_values(["stays", "key"], ascending=[False, True])
    crowds = [_describe(crowd) for _, crowd in members.groupby("crowd")]
    return sorted(crowds, key=lambda crowd: (-crowd.photos, crowd.example))


def log_crowds(crowds: list[Crowd]) -> None:
    """A warning for each of the first ten crowds, and one that counts the rest."""
    for crowd in crowds[:MAX_LINES]:
        stay = f"{crowd.stay}, on {crowd.split}" if crowd.stay else "none"
        log.warning("crowd of %d near-duplicates, such as %s; photos that stay: %s", crowd.photos, crowd.example, stay)
    rest = crowds[MAX_LINES:]
    if rest:
        photos, kept = (sum(getattr(crowd, name) for crowd in rest) for name in ("photos", "stay"))
        log.warning("%d more crowds of %d near-duplicates; photos that stay: %d", len(rest), photos, kept)


def splits_apart(manifest: pd.DataFrame, report: dict[str, Any]) -> tuple[bool, str]:
    """True if each cluster of a manifest is on one split; and a sentence that says so, and what the crowds count as.

    ``report`` is what the run published; where it has no ``crowds``, the sentence is silent about them.
    """
    splits = manifest.groupby("cluster")["split"]
    torn = splits.nunique().loc[lambda count: count > 1].index
    if len(torn):
        first = f"the first, {torn[0]}, is on {' and '.join(_in_order(splits.get_group(torn[0])))}"
        return False, f"clusters of near-duplicates on more than one split: {len(torn)}; {first}"
    crowds = report.get("crowds", [])
    photos, stay = (sum(crowd[name] for crowd in crowds) for name in ("photos", "stay"))
    counted = f"; crowds: {len(crowds)}, their {photos} photos count as {stay}" if crowds else ""
    return True, f"every cluster of near-duplicates is on one split{counted}"


def _describe(crowd: pd.DataFrame) -> Crowd:
    """``crowd`` has the photos that stay first."""
    stays = crowd[crowd["stays"]]
    split = ", ".join(_in_order(stays["split"])) or None
    first = crowd.iloc[0]
    return Crowd(name=first["crowd"], photos=len(crowd), stay=len(stays), split=split, example=first["key"])


def _in_order(splits: pd.Series) -> list[str]:
    return sorted(set(splits), key=SPLIT_PRIORITY.__getitem__)
