"""The card of a dataset version, from a few photos whose fates are given."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.backbone import FEATURES
from include.dataset import card
from include.dataset.card import render_card, render_clusters
from include.dataset.deduplication import COPY, CROWD, DROPPED
from include.dataset.embeddings import write_embeddings
from include.dataset.label_issues import DOUBTED
from include.dataset.splits import USED, WAITING
from include.lake import layout
from include.lake.base import ObjectStore
from include.records import UPLOADS
from tests.pictures import add_base, plain

REDS = ("#ff0000", "#ee0000", "#dd0000", "#cc0000", "#bb0000", "#aa0000", "#990000")


@pytest.fixture
def photos(lake) -> pd.DataFrame:
    """Seven cats that train, the last ones most like a doubted dog on val; and uploads, of which one trains."""
    rows = [row(add_base(lake, "cats", plain(red)), "cats", "cat") for red in REDS]
    rows.append(
        row(add_base(lake, "dogs", plain("maroon")), "dogs", "not_cat", split="val", label_issue=True, quality=0.02)
    )
    rows.append(upload(lake, "trains", label="not_cat"))
    rows.append(upload(lake, "dropped", status=DROPPED))
    rows.append(upload(lake, "crowded", status=CROWD, oversized=True))
    rows.append(upload(lake, "unseen", status=WAITING, split="test"))
    table = pd.DataFrame(rows)
    features = np.zeros((len(table), FEATURES), np.float16)
    features[:7, 0], features[:7, 1], features[7:9, 0] = np.arange(1, 8), 3, (9, 10)
    write_embeddings(lake, list(table["key"]), features)
    return table


def row(key: str, source: str, label: str, *, split: str = "train", **known) -> dict:
    given = {"source": source, "label": label, "split": split, "label_origin": "source", "status": USED, "reason": None}
    given |= {"cluster": key, "oversized": False, "label_issue": False, "label_quality": known.pop("quality", 0.9)}
    return {"key": key, "photo_id": None, **given, **known}


def upload(store: ObjectStore, photo_id: str, *, label: str = "cat", **known) -> dict:
    key = layout.upload_photo(photo_id)
    store.write(key, plain("silver"))
    return row(key, UPLOADS, label, label_origin="user", **known) | {"photo_id": photo_id}


def drawn(store: ObjectStore, photos: pd.DataFrame, cache: Path) -> str:
    return render_card(store, photos, digest="d" * 64, run="r", run_url="http://run", cache=cache)


def after(page: str, heading: str) -> str:
    """The section under a heading, its white space made even."""
    return re.sub(r"\s+", " ", page.partition(f"<h2>{heading}</h2>")[2].partition("<h2>")[0])


def test_a_doubted_photo_stands_beside_the_most_similar_photos_that_train(lake, photos, tmp_path):
    section = after(drawn(lake, photos, tmp_path), "Labels that are probably wrong")
    shown = re.findall(r'<span title="([^"]+)">', section)
    assert shown[:5] == list(photos["key"].iloc[[7, 8, 6, 5, 4]])
    assert len(shown) == 6
    assert "dogs, val, believed 0.02" in section
    assert section.count("cats: cat<") == 4
    assert section.count("data:image/jpeg") == 5, "the doubted photo and four cats"


def test_an_upload_that_is_a_neighbour_is_linked_and_not_drawn(lake, photos, tmp_path):
    section = after(drawn(lake, photos, tmp_path), "Labels that are probably wrong")
    assert '<a href="../../uploads/trains/photo.jpg">trains</a>' in section
    assert "uploads: not cat" in section


def test_only_the_doubted_photos_that_are_shown_ask_for_neighbours(lake, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(card, "MOST_SUSPECTS", 1)
    photos.loc[0, ["label_issue", "label_quality", "status"]] = (True, 0.01, DOUBTED)
    section = after(drawn(lake, photos, tmp_path), "Labels that are probably wrong")
    assert "2 base photos" in section
    assert "The 1 least believed" in section
    assert section.count("<section>") == 1
    assert f'title="{photos["key"][0]}">cats, train, believed 0.01' in section


def test_without_doubt_no_features_are_read(lake, photos, tmp_path):
    photos["label_issue"] = False
    assert "0 base photos" in after(drawn(lake, photos, tmp_path / "none"), "Labels that are probably wrong")
    assert not (tmp_path / "none").exists()


def test_an_upload_that_a_person_dropped_waits_for_nobody(lake, photos, tmp_path):
    section = after(drawn(lake, photos, tmp_path), "Waiting for review")
    assert re.findall(r"<a href=[^>]+>(\w+)</a>", section) == ["crowded", "unseen"]


def test_a_photo_in_a_crowd_is_no_cluster_of_its_own(lake, photos, tmp_path):
    photos.loc[[0, 1, 2], "oversized"] = True
    photos.loc[[3, 4], ["cluster", "status"]] = [["pair", USED], ["pair", COPY]]
    section = after(drawn(lake, photos, tmp_path), "NearDuplicates")
    assert "1 clusters of copies with 2 photos, the largest of 2. 4 photos are in crowds" in section
    page = render_clusters(lake, photos, digest="d" * 64)
    assert "1 clusters" in page
    clusters, _, oversized = page.partition("<h2>Crowds</h2>")
    assert clusters.count("data:image/jpeg") == 2
    assert oversized.count("data:image/jpeg") == 3
    assert ">crowded</a>" in oversized
