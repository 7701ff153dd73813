"""Crowds: more photos in one cluster than an ordinary one has. What stays of a crowd is on one split."""

import pandas as pd

from include.dataset.clusters import SPLIT_PRIORITY, cut_into_stars, name_clusters
from include.records import UPLOADS
from include.status import Status


def find_crowds(photos: pd.DataFrame, pairs: pd.DataFrame, *, max_cluster: int) -> pd.DataFrame:
    """Adds ``crowd``: the name of the cluster of each photo without a status, if it has more than ``max_cluster``.

    The unreviewed uploads of a crowd wait for review: a few visitors could otherwise connect base photos that differ,
    and take them out of test. ``pairs`` as for ``name_clusters``.
    """
    cluster = name_clusters(photos[photos["status"].isna()], pairs)
    crowd = cluster.where(cluster.map(cluster.value_counts()) > max_cluster).reindex(photos.index).astype("string")
    waits = crowd.notna() & (photos["source"] == UPLOADS) & (photos["label_origin"] != "reviewed")
    return photos.assign(crowd=crowd, status=photos["status"].mask(waits.astype(bool), Status.UPLOAD_IN_CROWD))


def thin_out(members: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """The statuses of the members of crowds, of which each star kept one photo or none.

    ``members`` has the name of the crowd as ``cluster``; ``pairs`` as for ``name_clusters``. Of the photos that stay
    leave, in this order: those paired with a photo of another label, unless only theirs is reviewed; those paired with
    another one that stays; those that are not on the split where most of their crowd stay, of equal splits test before
    val before train. The last are copies that only other copies connect, such as a lighter one and a cropped one.
    """
    undisputed = members[members["status"].isna() & ~_contradicted(members, pairs)]
    unpaired = undisputed[cut_into_stars(undisputed, pairs) == undisputed["key"]]
    stay = unpaired[unpaired["split"] == unpaired["cluster"].map(_fullest_splits(unpaired))]
    status = pd.Series(Status.CONFLICTING_LABELS, index=members.index, dtype="string")
    status[undisputed.index] = Status.NEAR_DUPLICATE
    status[unpaired.index] = Status.CROWD_ON_OTHER_SPLIT
    status[stay.index] = pd.NA
    return members["status"].fillna(status)


def _contradicted(members: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """Which members are paired with one of another label that counts at least as much as theirs, by reviews."""
    known = members.assign(reviewed=members["label_origin"] == "reviewed").set_index("key")[["label", "reviewed"]]
    one_way = pairs[["first", "second"]]
    both_ways = pd.concat([one_way, one_way[["second", "first"]].set_axis(one_way.columns, axis=1)])
    here = both_ways[both_ways.isin(known.index).all(axis=1)]
    mine, other = (known.loc[here[end]].reset_index(drop=True) for end in here)
    outweighed = (mine["label"] != other["label"]) & (other["reviewed"] >= mine["reviewed"])
    return members["key"].isin(here["first"][outweighed.to_numpy(bool)])


def _fullest_splits(photos: pd.DataFrame) -> pd.Series:
    """The split with the most photos of each cluster, by cluster."""
    counts = photos.groupby(["cluster", "split"]).size().rename("photos").reset_index()
    counts = counts.assign(priority=counts["split"].map(SPLIT_PRIORITY))
    counts = counts.sort_values(["photos", "priority"], ascending=[False, True])
    return counts.drop_duplicates("cluster").set_index("cluster")["split"]
