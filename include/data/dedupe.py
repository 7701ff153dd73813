"""One photo counts once, and a photo with two labels not at all."""

import pandas as pd

from include.records import UPLOADS

QUARANTINED = "quarantined"
UNLABELLED = "unlabelled"
DROPPED = "dropped by review"
CONFLICT = "conflict"
COPY = "copy"


def set_aside(photos: pd.DataFrame) -> pd.DataFrame:
    """The fate of photos that no comparison can change: broken, without a label, or dropped by a person."""
    fate = pd.Series(pd.NA, index=photos.index, dtype="string")
    fate = fate.mask(photos["label"].isna(), UNLABELLED)
    fate = fate.mask(photos["review"] == "drop", DROPPED)
    return photos.assign(fate=fate.mask(photos["problem"].notna(), QUARANTINED))


def drop_copies(photos: pd.DataFrame) -> pd.DataFrame:
    """Fates within each cluster of equal photos (same fingerprint), and the cluster's name: the photo that stays.

    Whose label counts: a review, then on val and test the base set (what users say cannot empty the test side),
    then everybody. If those who count disagree, the photo is nobody's; who disagrees with them is a conflict;
    of the rest the first stays, base photos before uploads, and the others are copies.
    """
    photos = photos.assign(cluster=photos["sha256"], rank=[_rank(photo) for photo in photos.itertuples()])
    free = photos[photos["fate"].isna()]
    for _, cluster in free[free.duplicated("fingerprint", keep=False)].groupby("fingerprint"):
        first, fates = _judge(cluster)
        photos.loc[cluster.index, "cluster"] = first
        photos.loc[fates.index, "fate"] = fates
    return photos.drop(columns="rank")


def _rank(photo) -> int:  # type: ignore[no-untyped-def]  # a row of itertuples
    if photo.label_origin == "reviewed":
        return 0
    return 1 if photo.side == "train" or photo.source != UPLOADS else 2


def _judge(cluster: pd.DataFrame) -> tuple[str, pd.Series]:
    """The name of the photo that leads a cluster, and the fates of those that leave."""
    ordered = cluster.assign(given=cluster["source"] == UPLOADS).sort_values(["rank", "given", "sha256", "key"])
    leader = ordered.iloc[0]
    labels = ordered.loc[ordered["rank"] == leader["rank"], "label"]
    if labels.nunique() > 1:
        return leader["sha256"], pd.Series(CONFLICT, index=ordered.index, dtype="string")
    others = ordered.iloc[1:]
    fates = pd.Series(COPY, index=others.index, dtype="string")
    return leader["sha256"], fates.mask(others["label"] != leader["label"], CONFLICT)
