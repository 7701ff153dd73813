"""The card of a dataset version, from a few photos whose statuses are given."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.backbone import FEATURES
from include.dataset import card
from include.dataset.card import render_card, render_clusters
from include.dataset.embeddings import write_embeddings
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.records import UPLOADS
from include.status import Status
from tests.pictures import QUESTION, add_base, plain

REDS = ("#ff0000", "#ee0000", "#dd0000", "#cc0000", "#bb0000", "#aa0000", "#990000")


@pytest.fixture
def photos(lake: LocalStore) -> pd.DataFrame:
    """Seven cats that train, the last ones most like a dog with a label issue; and uploads, of which one trains."""
    rows = [row(add_base(lake, "cats", plain(red)), "cats", "positive") for red in REDS]
    rows.append(
        row(add_base(lake, "dogs", plain("maroon")), "dogs", "negative", split="val", label_issue=True, quality=0.02)
    )
    rows.append(upload(lake, "trains", label="negative"))
    rows.append(upload(lake, "dropped", status=Status.DROPPED_BY_REVIEW))
    rows.append(upload(lake, "crowded", status=Status.UPLOAD_IN_CROWD, crowd="crowd"))
    rows.append(upload(lake, "unreviewed", status=Status.UNREVIEWED_HOLDOUT, split="test"))
    table = pd.DataFrame(rows)
    embeddings = np.zeros((len(table), FEATURES), np.float16)
    embeddings[:7, 0], embeddings[:7, 1], embeddings[7:9, 0] = np.arange(1, 8), 3, (9, 10)
    write_embeddings(lake, list(table["key"]), embeddings)
    return table


def row(key: str, source: str, label: str, *, split: str = "train", **known: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"source": source, "label": label, "split": split, "label_origin": "source", "reason": None}
    given |= {"status": Status.USED, "cluster": key, "crowd": None}
    given |= {"label_issue": False, "label_quality": known.pop("quality", 0.9)}
    return {"key": key, "photo_id": None, **given, **known}


def upload(store: ObjectStore, photo_id: str, *, label: str = "positive", **known: Any) -> dict[str, Any]:
    key = layout.upload_photo(photo_id)
    store.write(key, plain("silver"))
    return row(key, UPLOADS, label, label_origin="user", **known) | {"photo_id": photo_id}


def render(store: ObjectStore, photos: pd.DataFrame, cache: Path) -> str:
    return render_card(store, photos, QUESTION, digest="d" * 64, run="r", run_url="http://run", cache=cache)


def section_of(page: str, heading: str) -> str:
    """The section under a heading, its white space made even."""
    return re.sub(r"\s+", " ", page.partition(f"<h2>{heading}</h2>")[2].partition("<h2>")[0])


def test_a_label_issue_stands_beside_the_most_similar_photos_that_train(
    lake: LocalStore, photos: pd.DataFrame, tmp_path: Path
) -> None:
    section = section_of(render(lake, photos, tmp_path), "Label issues")
    shown = re.findall(r'<span title="([^"]+)">', section)
    assert shown[:5] == list(photos["key"].iloc[[7, 8, 6, 5, 4]])
    assert len(shown) == 6
    assert "dogs, val, P(label) 0.02" in section
    assert section.count("cats: a cat<") == 4
    assert section.count("data:image/jpeg") == 5, "the label issue and four cats"


def test_an_upload_that_is_a_neighbour_is_linked_and_not_drawn(
    lake: LocalStore, photos: pd.DataFrame, tmp_path: Path
) -> None:
    section = section_of(render(lake, photos, tmp_path), "Label issues")
    assert '<a href="../../uploads/trains/photo.jpg">trains</a>' in section
    assert "uploads: not a cat" in section


def test_only_the_label_issues_that_are_shown_ask_for_neighbours(
    lake: LocalStore, photos: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "MAX_LABEL_ISSUES", 1)
    photos.loc[0, ["label_issue", "label_quality", "status"]] = (True, 0.01, Status.LABEL_ISSUE)
    section = section_of(render(lake, photos, tmp_path), "Label issues")
    assert "2 base photos" in section
    assert "The 1 least probable labels" in section
    assert section.count("<section>") == 1
    assert f'title="{photos["key"][0]}">cats, train, P(label) 0.01' in section


def test_without_label_issues_no_embeddings_are_read(lake: LocalStore, photos: pd.DataFrame, tmp_path: Path) -> None:
    photos["label_issue"] = False
    assert "0 base photos" in section_of(render(lake, photos, tmp_path / "none"), "Label issues")
    assert not (tmp_path / "none").exists()


def test_an_upload_that_a_person_dropped_waits_for_nobody(
    lake: LocalStore, photos: pd.DataFrame, tmp_path: Path
) -> None:
    section = section_of(render(lake, photos, tmp_path), "Waiting for review")
    assert re.findall(r"<a href=[^>]+>(\w+)</a>", section) == ["crowded", "unreviewed"]


def test_a_crowd_is_counted_and_shown_apart_from_clusters(
    lake: LocalStore, photos: pd.DataFrame, tmp_path: Path
) -> None:
    photos.loc[[0, 1, 2], ["crowd", "cluster"]] = "crowd"
    photos.loc[[0, 1], "status"] = Status.NEAR_DUPLICATE
    photos.loc[[3, 4], ["cluster", "status"]] = [["pair", Status.USED], ["pair", Status.NEAR_DUPLICATE]]
    section = section_of(render(lake, photos, tmp_path), "Near-duplicates")
    assert "1 clusters of near-duplicates with 2 photos; the largest has 2." in section
    assert "Crowds, which are larger clusters: 1. Their 4 photos count as 1." in section
    clusters, _, crowds = render_clusters(lake, photos, digest="d" * 64).partition("<h2>Crowds</h2>")
    assert "1 clusters" in clusters
    assert clusters.count("data:image/jpeg") == 2
    assert "4 photos; used: 1, on train</p>" in crowds
    shown = re.findall(r'<span title="([^"]+)">', crowds)
    assert shown == [photos["key"][2], *sorted(photos["key"][:2]), layout.upload_photo("crowded")]
    assert crowds.count("data:image/jpeg") == 3, "the upload is linked, not drawn"
    assert ">crowded</a>" in crowds


def test_a_long_list_of_crowds_and_a_large_crowd_are_cut(
    lake: LocalStore, photos: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "MAX_CROWDS", 1)
    monkeypatch.setattr(card, "MAX_CROWD_PHOTOS", 2)
    photos.loc[[0, 1, 2], "crowd"] = "crowd"
    photos.loc[[3, 4], "crowd"] = "other"
    crowds = render_clusters(lake, photos, digest="d" * 64).partition("<h2>Crowds</h2>")[2]
    assert "Crowds: 1, and 1 more that are not shown." in crowds
    assert "4 photos; used: 3, on train. The first 2:</p>" in crowds
    assert crowds.count("<figure>") == 2


def test_without_crowds_the_pages_do_not_speak_of_them(lake: LocalStore, photos: pd.DataFrame, tmp_path: Path) -> None:
    photos["crowd"] = None
    assert "rowd" not in section_of(render(lake, photos, tmp_path), "Near-duplicates")
    assert "rowd" not in render_clusters(lake, photos, digest="d" * 64)
