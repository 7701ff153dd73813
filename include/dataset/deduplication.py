"""Each picture counts once, and a picture with two labels not at all."""

import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from include.images.properties import quality_issue
from include.records import UPLOADS
from include.settings import Quality
from include.status import Status

SPLIT_PRIORITY = {"test": 0, "val": 1, "train": 2}  # where a picture is on several splits, its test photo stays


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


def find_clusters(photos: pd.DataFrame, pairs: pd.DataFrame, *, max_cluster: int) -> pd.DataFrame:
    """Name the cluster of each photo without a status: the lowest sha256 of its members.

    Adds ``cluster`` and ``oversized``. Equal bytes (``fingerprint``) and ``pairs`` (keys ``first``, ``second``) connect
    photos. A cluster of more than ``max_cluster`` photos is oversized: chance may have connected it, so only equal
    bytes count in it.
    """
    free = photos[photos["status"].isna()]
    edges = pairs[pairs["first"].isin(free["key"]) & pairs["second"].isin(free["key"])]
    equal = _equal_bytes(free)
    near = _components(free, pd.concat([equal, edges[["first", "second"]]]))
    oversized = near.map(near.value_counts()) > max_cluster
    number = near.astype(str).mask(oversized, "equal " + _components(free, equal).astype(str))
    cluster = free["sha256"].groupby(number).transform("min")
    return photos.assign(
        cluster=cluster.reindex(photos.index).fillna(photos["sha256"]),
        oversized=oversized.reindex(photos.index, fill_value=False),
    )


def drop_near_duplicates(photos: pd.DataFrame) -> pd.DataFrame:
    """The status of photos that leave a cluster; the rest of it is one photo with a trusted label.

    Trusted labels: those of reviews; else of base photos where one of them is on val or test (users cannot empty these
    splits); else of all but unreviewed uploads on val or test. If the trusted labels conflict, the whole cluster
    leaves; else the members that disagree leave. Of the others one stays: on test before val before train, base photos
    before uploads, the lowest sha256. Unreviewed uploads in an oversized cluster wait for review.
    """
    waits = photos["oversized"] & (photos["source"] == UPLOADS) & (photos["label_origin"] != "reviewed")
    photos = photos.assign(status=photos["status"].mask(waits & photos["status"].isna(), Status.OVERSIZED_CLUSTER))
    free = photos[photos["status"].isna()]
    clusters = free[free.duplicated("cluster", keep=False)].groupby("cluster")
    leaving = [_resolve_cluster(members) for _, members in clusters]
    if leaving:
        statuses = pd.concat(leaving)
        photos.loc[statuses.index, "status"] = statuses
    return photos


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


def _equal_bytes(photos: pd.DataFrame) -> pd.DataFrame:
    """Each photo paired with the first one that has the same bytes."""
    first = photos.groupby("fingerprint")["key"].transform("first")
    return pd.DataFrame({"first": first, "second": photos["key"]})


def _components(photos: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """A number per photo, the same for photos that pairs connect, however far."""
    place = pd.Series(range(len(photos)), index=photos["key"])
    ends = (place[pairs["first"]].to_numpy(), place[pairs["second"]].to_numpy())
    graph = coo_array(([True] * len(pairs), ends), shape=(len(photos), len(photos)))
    return pd.Series(connected_components(graph, directed=False)[1], index=photos.index)
