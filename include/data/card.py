"""What a person wants to see of a dataset version: its card, and the pictures of its clusters of copies."""

import base64
import io
from typing import Any

import pandas as pd
from PIL import Image

from include.data.pages import PAGES
from include.data.split import USED
from include.images.decoding import decode
from include.lake.base import ObjectStore, read_many
from include.records import UPLOADS

SIDE = 96  # pixels of a picture on a page
MOST_CLUSTERS = 150
MOST_SUSPECTS = 120


def draw_card(store: ObjectStore, photos: pd.DataFrame, *, digest: str, run: str, run_url: str) -> str:
    """The card as one HTML page: counts, fates, copies, doubted labels, and who waits for review.

    ``photos`` has a row for each photo of the snapshot with its fate. Uploads are linked, never drawn.
    """
    used = photos[photos["fate"] == USED]
    copies = _clusters(photos)
    suspects = photos[photos["suspect"]].sort_values(["label_quality", "key"])
    waiting = photos[photos["fate"].str.contains("review$") & (photos["source"] == UPLOADS)]
    return PAGES.get_template("card.html.j2").render(
        title=f"Dataset {digest[:12]}",
        digest=digest,
        run=run,
        run_url=run_url,
        photos=len(photos),
        used=len(used),
        sides=_cross(used, "source", "side"),
        origins=_cross(used, "source", "label_origin"),
        fates=_cross(photos, "fate", "source"),
        clusters=copies["cluster"].nunique(),
        copies=len(copies),
        largest=int(copies["cluster"].value_counts().max()) if len(copies) else 0,
        crowds=int(photos["crowd"].sum()),
        doubted=len(suspects),
        suspects=_with_pictures(store, suspects.head(MOST_SUSPECTS)),
        waiting=waiting.sort_values("key").to_dict("records"),
    )


def draw_clusters(store: ObjectStore, photos: pd.DataFrame, *, digest: str) -> str:
    """The pictures of each cluster of copies as one HTML page, the largest first, at most 150 clusters."""
    copies = _clusters(photos)
    order = copies["cluster"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    shown = copies[copies["cluster"].isin(order[:MOST_CLUSTERS])].sort_values("key")
    drawn = pd.DataFrame(_with_pictures(store, shown), columns=[*shown.columns, "picture"])
    members = dict(iter(drawn.groupby("cluster")))
    return PAGES.get_template("clusters.html.j2").render(
        title=f"Copies in dataset {digest[:12]}",
        clusters=[members[name].to_dict("records") for name in order[:MOST_CLUSTERS]],
        more=max(0, len(order) - MOST_CLUSTERS),
    )


def _clusters(photos: pd.DataFrame) -> pd.DataFrame:
    """The members of clusters of two and more, and of crowds."""
    return photos[photos.duplicated("cluster", keep=False) | photos["crowd"]]


def _cross(photos: pd.DataFrame, rows: str, columns: str) -> pd.DataFrame:
    return pd.crosstab(photos[rows], photos[columns], margins=True, margins_name="all")


def _with_pictures(store: ObjectStore, photos: pd.DataFrame) -> list[dict[str, Any]]:
    of_base = photos[photos["source"] != UPLOADS]["key"]
    pictures = dict(zip(of_base, map(_small, read_many(store, of_base)), strict=True))
    return [photo | {"picture": pictures.get(photo["key"])} for photo in photos.to_dict("records")]


def _small(body: bytes) -> str:
    image = decode(body, draft=SIDE)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
