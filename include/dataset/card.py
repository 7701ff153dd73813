"""What a person wants to see of a dataset version: its card, and the pictures of its clusters of copies."""

from pathlib import Path

import pandas as pd

from include.dataset.nearest_neighbours import with_neighbours
from include.dataset.splits import USED, WAITING
from include.lake.base import ObjectStore
from include.pages.images import add_pictures, small_pictures
from include.pages.rendering import PAGES
from include.records import UPLOADS

MOST_CLUSTERS = 150
MOST_SUSPECTS = 120


def render_card(store: ObjectStore, photos: pd.DataFrame, *, digest: str, run: str, run_url: str, cache: Path) -> str:
    """The card as one HTML page: counts, fates, copies, doubted labels, and who waits for review.

    ``photos`` has a row for each photo of the snapshot with its fate. ``cache`` is this machine's folder of features:
    each doubted photo stands beside those most like it that train. Uploads are linked, never drawn.
    """
    used = photos[photos["status"] == USED]
    copies = _copies(photos)
    label_issues = photos[photos["label_issue"]].sort_values(["label_quality", "key"])
    return PAGES.get_template("card.html.j2").render(
        title=f"Dataset {digest[:12]}",
        digest=digest,
        run=run,
        run_url=run_url,
        photos=len(photos),
        used=len(used),
        splits=_cross(used, "source", "split"),
        origins=_cross(used, "source", "label_origin"),
        statuses=_cross(photos, "status", "source"),
        clusters=copies["cluster"].nunique(),
        copies=len(copies),
        largest=int(copies["cluster"].value_counts().max()) if len(copies) else 0,
        crowds=int(photos["oversized"].sum()),
        doubted=len(label_issues),
        label_issues=with_neighbours(store, label_issues.head(MOST_SUSPECTS), used[used["split"] == "train"], cache),
        waiting=_waiting(photos).to_dict("records"),
    )


def render_clusters(store: ObjectStore, photos: pd.DataFrame, *, digest: str) -> str:
    """The pictures of each cluster of copies as one HTML page, the largest first, at most 150 clusters.

    Below them as many photos of crowds, which chance may have tied together.
    """
    copies = _copies(photos)
    order = copies["cluster"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    members = [copies[copies["cluster"] == name].sort_values("key") for name in order[:MOST_CLUSTERS]]
    oversized = photos[photos["oversized"]].sort_values("key").head(MOST_CLUSTERS)
    pictures = small_pictures(store, pd.concat([oversized, *members])["key"])
    return PAGES.get_template("clusters.html.j2").render(
        title=f"NearDuplicates in dataset {digest[:12]}",
        clusters=[add_pictures(cluster, pictures) for cluster in members],
        more=max(0, len(order) - MOST_CLUSTERS),
        oversized=add_pictures(oversized, pictures),
        crowds=int(photos["oversized"].sum()),
    )


def _copies(photos: pd.DataFrame) -> pd.DataFrame:
    """The members of clusters of two and more: of a crowd only those with equal bytes."""
    return photos[photos.duplicated("cluster", keep=False)]


def _waiting(photos: pd.DataFrame) -> pd.DataFrame:
    """The uploads that a person must look at, for whatever reason."""
    waits = photos["status"].str.endswith(WAITING).astype(bool) & (photos["source"] == UPLOADS)
    return photos[waits].sort_values("key")


def _cross(photos: pd.DataFrame, rows: str, columns: str) -> pd.DataFrame:
    return pd.crosstab(photos[rows], photos[columns], margins=True, margins_name="all")
