"""One picture counts once, and a picture with two labels not at all."""

import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from include.images.properties import quality_issue
from include.records import UPLOADS
from include.settings import Quality

QUARANTINED = "quarantined"
UNLABELLED = "unlabelled"
DROPPED = "dropped by review"
POOR = "poor quality"
CONFLICT = "conflict"
COPY = "copy"
CROWD = "crowd: waiting for review"
SPLIT_PRIORITY = {"test": 0, "val": 1, "train": 2}  # of a picture on several sides the copy that checks stays


def exclude_unusable(photos: pd.DataFrame, quality: Quality) -> pd.DataFrame:
    """The fate of photos that no comparison can change, and ``why``: broken, unlabelled, dropped, or teaching nothing.

    Poor photos leave the train split only, and never against a review: what checks a model must be as users send it.
    """
    status = pd.Series(pd.NA, index=photos.index, dtype="string")
    poor = quality_issue(photos, quality).where((photos["split"] == "train") & photos["review"].isna())
    status = status.mask(poor.notna(), POOR)
    status = status.mask(photos["label"].isna(), UNLABELLED)
    status = status.mask(photos["review"].eq("drop").fillna(False).astype(bool), DROPPED)
    status = status.mask(photos["problem"].notna(), QUARANTINED)
    return photos.assign(status=status, reason=photos["problem"].fillna(poor))


def find_clusters(photos: pd.DataFrame, pairs: pd.DataFrame, *, max_cluster: int) -> pd.DataFrame:
    """Name the cluster of each photo without a fate: the lowest of its members' names. Adds ``cluster``, ``crowd``.

    Equal bytes (``fingerprint``) and ``pairs`` (keys ``first``, ``second``) tie photos together. A cluster of more
    than ``max_cluster`` is a ``crowd``: chance may have tied it, so that only equal bytes count in it.
    """
    free = photos[photos["status"].isna()]
    ties = pairs[pairs["first"].isin(free["key"]) & pairs["second"].isin(free["key"])]
    equal = _equal_bytes(free)
    near = _components(free, pd.concat([equal, ties[["first", "second"]]]))
    oversized = near.map(near.value_counts()) > max_cluster
    number = near.astype(str).mask(oversized, "equal " + _components(free, equal).astype(str))
    cluster = free["sha256"].groupby(number).transform("min")
    return photos.assign(
        cluster=cluster.reindex(photos.index).fillna(photos["sha256"]),
        oversized=oversized.reindex(photos.index, fill_value=False),
    )


def drop_near_duplicates(photos: pd.DataFrame) -> pd.DataFrame:
    """Fates within each cluster. Whose label counts: a review; else base photos where one of them checks (users cannot
    empty val or test); else everybody. If those who count disagree, all leave; whoever disagrees with them leaves.

    Of the rest one stays: on test before val before train, base photos before uploads, the lowest sha256.
    Uploads in a crowd wait for a person.
    """
    photos = photos.assign(status=photos["status"].mask(photos["oversized"] & (photos["source"] == UPLOADS), CROWD))
    free = photos[photos["status"].isna()]
    statuses = [
        _resolve_cluster(members) for _, members in free[free.duplicated("cluster", keep=False)].groupby("cluster")
    ]
    if statuses:
        left = pd.concat(statuses)
        photos.loc[left.index, "status"] = left
    return photos


def _resolve_cluster(cluster: pd.DataFrame) -> pd.Series:
    """The fates of those that leave a cluster."""
    given = (cluster["source"] == UPLOADS).astype(bool)
    reviewed = (cluster["label_origin"] == "reviewed").astype(bool)
    checks = (cluster["split"] != "train").astype(bool)
    unseen = given & ~reviewed & checks
    rank = (1 + (unseen | (given & (~given & checks).any())).astype(int)).mask(reviewed, 0)
    labels = cluster.loc[rank == rank.min(), "label"]
    if labels.nunique() > 1:
        return pd.Series(CONFLICT, index=cluster.index, dtype="string")
    agree = (cluster["label"] == labels.iloc[0]).astype(bool)
    order = cluster.assign(unseen=unseen, given=given, place=cluster["split"].map(SPLIT_PRIORITY))
    stays = order[agree].sort_values(["unseen", "place", "given", "sha256", "key"]).index[0]
    statuses = pd.Series(COPY, index=cluster.index, dtype="string").mask(~agree, CONFLICT)
    return statuses.drop(stays)


def _equal_bytes(photos: pd.DataFrame) -> pd.DataFrame:
    """Each photo tied to the first with the same bytes."""
    first = photos.groupby("fingerprint")["key"].transform("first")
    return pd.DataFrame({"first": first, "second": photos["key"]})


def _components(photos: pd.DataFrame, ties: pd.DataFrame) -> pd.Series:
    """A number per photo, the same for photos that ties connect, however far."""
    place = pd.Series(range(len(photos)), index=photos["key"])
    ends = (place[ties["first"]].to_numpy(), place[ties["second"]].to_numpy())
    graph = coo_array(([True] * len(ties), ends), shape=(len(photos), len(photos)))
    return pd.Series(connected_components(graph, directed=False)[1], index=photos.index)
