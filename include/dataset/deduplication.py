"""Each picture counts once, and a picture with two labels not at all."""

import pandas as pd

from include.dataset.clusters import SPLIT_PRIORITY, cut_into_stars, name_clusters
from include.dataset.crowds import find_crowds, thin_out
from include.images.properties import quality_issue
from include.records import UPLOADS
from include.settings import Quality
from include.status import Status


def exclude_unusable(photos: pd.DataFrame, quality: Quality) -> pd.DataFrame:
    """The ``status`` and ``reason`` of photos that are broken, unlabelled, dropped by review, or of poor quality.

    Poor photos leave the train split only, and never against a review: models are measured on photos as users send
    them.
    """
    poor = quality_issue(photos, quality).where((photos["split"] == "train") & photos["review"].isna())
    rules = {  # the first that holds counts
        Status.QUARANTINED: photos["problem"].notna(),
        Status.DROPPED_BY_REVIEW: photos["review"].eq("drop").fillna(False).astype(bool),
        Status.UNLABELLED: photos["label"].isna(),
        Status.POOR_QUALITY: poor.notna(),
    }
    status = pd.Series(pd.NA, index=photos.index, dtype="string")
    for name, holds in rules.items():
        status = status.mask(status.isna() & holds, name)
    reason = photos["problem"].fillna(poor.where(status == Status.POOR_QUALITY))
    return photos.assign(status=status, reason=reason.astype("string"))


def drop_near_duplicates(photos: pd.DataFrame, pairs: pd.DataFrame, *, max_cluster: int) -> pd.DataFrame:
    """The status of photos that leave a cluster; the rest of it is one photo with a trusted label.

    Photos that have a status take no part. ``pairs`` has the keys ``first`` and ``second`` of near-duplicates. Adds
    ``cluster``, the lowest sha256 of the photo's cluster, and ``crowd``, the same of a cluster of more than
    ``max_cluster`` photos, uploads among them; else it is missing. Unreviewed uploads of a crowd wait for review. If
    what is left is still too large, chance may have connected it: it is cut into stars, each star is resolved like a
    cluster, and what stays of them is thinned out and on one split.

    Trusted labels: those of reviews; else of base photos where one of them is on val or test (users cannot empty these
    splits); else of all but unreviewed uploads on val or test. If the trusted labels conflict, the whole cluster
    leaves; else the members that disagree leave. Of the others one stays: on test before val before train, base photos
    before uploads, the lowest sha256.
    """
    photos = find_crowds(photos, pairs, max_cluster=max_cluster)
    free = photos[photos["status"].isna()]
    free = free.assign(cluster=name_clusters(free, pairs), leader="")
    large = free["cluster"].map(free["cluster"].value_counts()) > max_cluster
    free.loc[large, "leader"] = cut_into_stars(free[large], pairs)
    free["status"] = _resolve_clusters(free)
    free.loc[large, "status"] = thin_out(free[large], pairs)
    return photos.assign(
        status=photos["status"].fillna(free["status"]),
        cluster=free["cluster"].reindex(photos.index).fillna(photos["sha256"]),
    )


def _resolve_clusters(photos: pd.DataFrame) -> pd.Series:
    """The status of each photo that leaves its cluster, or the star of its ``leader`` in the cluster."""
    by = ["cluster", "leader"]
    groups = photos[photos.duplicated(by, keep=False)].groupby(by)
    leaving = [_resolve_cluster(members) for _, members in groups]
    return pd.concat([photos["status"].iloc[:0], *leaving]).reindex(photos.index)


def _resolve_cluster(cluster: pd.DataFrame) -> pd.Series:
    """The statuses of the photos that leave a cluster."""
    uploaded = (cluster["source"] == UPLOADS).astype(bool)
    reviewed = (cluster["label_origin"] == "reviewed").astype(bool)
    holdout = (cluster["split"] != "train").astype(bool)
    unreviewed = uploaded & ~reviewed & holdout
    rank = (1 + (unreviewed | (uploaded & (~uploaded & holdout).any())).astype(int)).mask(reviewed, 0)
    trusted = cluster.loc[rank == rank.min(), "label"]
    if trusted.nunique() > 1:
        return pd.Series(Status.CONFLICTING_LABELS, index=cluster.index, dtype="string")
    agree = (cluster["label"] == trusted.iloc[0]).astype(bool)
    order = cluster.assign(unreviewed=unreviewed, uploaded=uploaded, priority=cluster["split"].map(SPLIT_PRIORITY))
    stays = order[agree].sort_values(["unreviewed", "priority", "uploaded", "sha256", "key"]).index[0]
    status = pd.Series(Status.NEAR_DUPLICATE, index=cluster.index, dtype="string")
    return status.mask(~agree, Status.CONFLICTING_LABELS).drop(stays)
