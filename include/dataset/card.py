"""The pages of a dataset version: its card, and the pictures of its clusters of near-duplicates."""

from pathlib import Path

import pandas as pd

from include.dataset.crowd_report import list_crowds
from include.dataset.nearest_neighbours import with_neighbours
from include.lake.base import ObjectStore
from include.pages.images import add_pictures, small_pictures
from include.pages.rendering import PAGES
from include.question import Question
from include.status import Status

MAX_CLUSTERS = 150
MAX_CROWDS = 20
MAX_CROWD_PHOTOS = 30
MAX_LABEL_ISSUES = 120


def render_card(
    store: ObjectStore, photos: pd.DataFrame, question: Question, *, digest: str, run: str, run_url: str, cache: Path
) -> str:
    """The card as one HTML page: counts, statuses, near-duplicates, crowds, label issues, and uploads that wait.

    ``photos`` has a row for each photo of the snapshot with its status. ``cache`` is this machine's folder of
    embeddings: each label issue stands beside its nearest training photos. Uploads are linked, never drawn.
    """
    used = photos[photos["status"] == Status.USED]
    members = _clustered(photos)
    issues = photos[photos["label_issue"]].sort_values(["label_quality", "key"])
    waits = photos["status"].map(lambda status: Status(status).waits_for_review).astype(bool)
    return PAGES.get_template("card.html.j2").render(
        title=f"Dataset {digest[:12]}",
        question=question,
        digest=digest,
        run=run,
        run_url=run_url,
        photos=len(photos),
        used=len(used),
        splits=_cross(used, "source", "split"),
        origins=_cross(used, "source", "label_origin"),
        statuses=_cross(photos, "status", "source"),
        clusters=members["cluster"].nunique(),
        clustered=len(members),
        largest=int(members["cluster"].value_counts().max()) if len(members) else 0,
        crowds=list_crowds(photos),
        issue_count=len(issues),
        issues=with_neighbours(store, issues.head(MAX_LABEL_ISSUES), used[used["split"] == "train"], cache),
        waiting=photos[waits].sort_values("key").to_dict("records"),
    )


def render_clusters(store: ObjectStore, photos: pd.DataFrame, *, digest: str) -> str:
    """The pictures of each cluster of near-duplicates as one HTML page, the largest first, at most 150 clusters.

    Below them at most 20 crowds, the largest first, each with at most 30 photos, those that are used first.
    """
    members = _clustered(photos)
    order = members["cluster"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    clusters = [members[members["cluster"] == name].sort_values("key") for name in order[:MAX_CLUSTERS]]
    crowds = list_crowds(photos)
    shown = [_photos_of(photos, crowd.name) for crowd in crowds[:MAX_CROWDS]]
    pictures = small_pictures(store, pd.concat([members.iloc[:0], *clusters, *shown])["key"])
    return PAGES.get_template("clusters.html.j2").render(
        title=f"Near-duplicates in dataset {digest[:12]}",
        clusters=[add_pictures(cluster, pictures) for cluster in clusters],
        more=max(0, len(order) - MAX_CLUSTERS),
        crowds=[(crowd, add_pictures(rows, pictures)) for crowd, rows in zip(crowds[:MAX_CROWDS], shown, strict=True)],
        more_crowds=max(0, len(crowds) - MAX_CROWDS),
    )


def _clustered(photos: pd.DataFrame) -> pd.DataFrame:
    """The members of clusters of two and more that are no crowds."""
    return photos[photos.duplicated("cluster", keep=False) & photos["crowd"].isna()]


def _photos_of(photos: pd.DataFrame, crowd: str) -> pd.DataFrame:
    """The first photos of a crowd: those that are used, then base photos before uploads."""
    members = photos[photos["crowd"] == crowd]
    order = members.assign(left=members["status"] != Status.USED).sort_values(["left", "key"])
    return order.drop(columns="left").head(MAX_CROWD_PHOTOS)


def _cross(photos: pd.DataFrame, rows: str, columns: str) -> pd.DataFrame:
    return pd.crosstab(photos[rows], photos[columns], margins=True, margins_name="all")
