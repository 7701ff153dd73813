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
from include.dataset.deduplication import drop_near_duplicates, find_clusters
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
    rows.append(upload(lake, "oversized", status=Status.OVERSIZED_CLUSTER, oversized=True))
    rows.append(upload(lake, "unreviewed", status=Status.UNREVIEWED_HOLDOUT, split="test"))
    table = pd.DataFrame(rows)
    embeddings = np.zeros((len(table), FEATURES), np.float16)
    embeddings[:7, 0], embeddings[:7, 1], embeddings[7:9, 0] = np.arange(1, 8), 3, (9, 10)
    write_embeddings(lake, list(table["key"]), embeddings)
    return table


def row(key: str, source: str, label: str, *, split: str = "train", **known: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"source": source, "label": label, "split": split, "label_origin": "source", "reason": None}
    given |= {"status": Status.USED, "cluster": key, "oversized": False}
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
    assert re.findall(r"<a href=[^>]+>(\w+)</a>", section) == ["oversized", "unreviewed"]


def test_a_photo_of_an_oversized_cluster_is_no_cluster_of_its_own(
    lake: LocalStore, photos: pd.DataFrame, tmp_path: Path
) -> None:
    photos.loc[[0, 1, 2], "oversized"] = True
    photos.loc[[3, 4], ["cluster", "status"]] = [["pair", Status.USED], ["pair", Status.NEAR_DUPLICATE]]
    section = section_of(render(lake, photos, tmp_path), "Near-duplicates")
    assert "1 clusters of near-duplicates with 2 photos; the largest has 2. 4 photos are in oversized" in section
    page = render_clusters(lake, photos, digest="d" * 64)
    assert "1 clusters" in page
    clusters, _, oversized = page.partition("<h2>Oversized clusters</h2>")
    assert clusters.count("data:image/jpeg") == 2
    assert oversized.count("data:image/jpeg") == 3
    assert ">oversized</a>" in oversized


def test_look_alikes_and_one_true_pair_are_one_cluster(lake: LocalStore, tmp_path: Path) -> None:
    """25 photos are connected in a chain, which chance may have made; two others are one picture."""
    keys = [layout.base("cats", f"{number:064x}") for number in range(27)]
    rows = [row(key, "cats", "positive") | {"sha256": key, "fingerprint": key, "status": None} for key in keys]
    pairs = pd.DataFrame({"first": [*keys[:24], keys[25]], "second": [*keys[1:25], keys[26]]})
    clustered = find_clusters(pd.DataFrame(rows), pairs, max_cluster=20)
    photos = drop_near_duplicates(clustered).assign(label_issue=False)
    photos["status"] = photos["status"].fillna(Status.USED)
    section = section_of(render(lake, photos, tmp_path), "Near-duplicates")
    assert "1 clusters of near-duplicates with 2 photos; the largest has 2. 25 photos are in oversized" in section
