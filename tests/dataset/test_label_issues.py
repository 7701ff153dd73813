"""Wrong labels are found among features that tell the sources apart."""

import numpy as np
import pandas as pd
import pytest

from include.dataset.label_issues import find_label_issues
from include.records import SOURCES, label_of
from include.settings import Labels

PER_SOURCE = 100
WIDTH = 128


def world(per_source: int = PER_SOURCE) -> tuple[pd.DataFrame, np.ndarray]:
    """Base photos whose features stand around one centre per source."""
    draw = np.random.default_rng(7)
    source = np.repeat(SOURCES, per_source)
    centre = np.repeat(draw.normal(0, 1, (len(SOURCES), WIDTH)), per_source, axis=0)
    features = centre + draw.normal(0, 2, centre.shape)
    photos = pd.DataFrame({"source": source, "key": [f"base/{place}" for place in range(len(source))]})
    photos = photos.assign(
        sha256=photos["key"], label=photos["source"].map(label_of), label_origin="source", split="train", session=None
    )
    return photos.assign(status=pd.Series(pd.NA, index=photos.index, dtype="string")), features.astype(np.float16)


def with_uploads(labels: list[str], shown: str = "cats", **said) -> tuple[pd.DataFrame, np.ndarray]:
    """The world, and uploads that show one source and are called something."""
    photos, features = world()
    uploads = pd.DataFrame({"label": labels, "key": [f"uploads/{place}" for place in range(len(labels))]}).assign(
        source="uploads",
        label_origin="user",
        split="train",
        status=pd.NA,
        session=[f"s{n}" for n in range(len(labels))],
    )
    uploads = uploads.assign(sha256=uploads["key"], **said)
    looks = np.flatnonzero(photos["source"] == shown)[: len(labels)]
    return pd.concat([photos, uploads], ignore_index=True), np.concatenate([features, features[looks]])


def statuses(photos: pd.DataFrame, features: np.ndarray, **rules) -> list[str | None]:
    checked = find_label_issues(photos, features, Labels(**rules))
    return [None if pd.isna(status) else str(status).partition(":")[0] for status in checked["status"]]


def test_photos_of_the_wrong_source_are_doubted_and_the_rest_is_not():
    photos, features = world()
    wrong = [3, 150, 250]  # a cat, a dog and a selfie change places with others
    features[wrong] = features[[150, 250, 7]]
    checked = find_label_issues(photos, features, Labels(max_quality=0.5))
    worst = checked["label_quality"].sort_values().index[:3]
    assert {3, 250} <= set(worst), "a cat that is none, and a selfie that is one"
    assert checked.loc[[3, 250], "status"].tolist() == ["label doubted"] * 2
    assert checked["label_issue"].sum() <= 3


def test_on_val_and_test_a_suspect_stays_until_a_person_says_so():
    photos, features = world()
    photos.loc[3, "split"] = "test"
    features[3] = features[150]
    checked = find_label_issues(photos, features, Labels(max_quality=0.5))
    assert pd.isna(checked.loc[3, "status"])
    assert checked.loc[3, "label_issue"]


def test_what_a_person_reviewed_is_believed():
    photos, features = world()
    photos.loc[3, "label_origin"] = "reviewed"
    features[3] = features[150]
    checked = find_label_issues(photos, features, Labels(max_quality=0.5))
    assert pd.isna(checked.loc[3, "status"])
    assert not checked.loc[3, "label_issue"]


def test_the_same_photos_are_judged_alike_bit_by_bit():
    photos, features = with_uploads(["cat", "not_cat"])
    first, again = (find_label_issues(photos, features.copy(), Labels())["label_quality"] for _ in range(2))
    assert first.notna().all()
    assert first.to_numpy().tobytes() == again.to_numpy().tobytes()


def quality_of(photos: pd.DataFrame, features: np.ndarray) -> pd.Series:
    return find_label_issues(photos, features, Labels(max_quality=0.5))["label_quality"]


def test_a_base_photo_with_a_corrected_label_teaches_nothing():
    """Nobody knows its true source, so it makes no difference from which one it came."""
    photos, features = world()
    corrected = photos.index[110:130]
    photos.loc[corrected, ["label", "label_origin"]] = ["cat", "reviewed"]
    others = photos.index.difference(corrected)
    dogs = quality_of(photos, features)[others]
    photos.loc[corrected, "source"] = "misc"
    assert quality_of(photos, features)[others].equals(dogs)
    photos.loc[corrected, "label"] = "not_cat"  # so it was misc indeed
    assert not quality_of(photos, features)[others].equals(dogs)


@pytest.mark.parametrize("teaches", [False, True], ids=["label_issue", "believed"])
def test_an_upload_is_judged_by_photos_of_the_train_side_that_are_no_suspects(teaches):
    photos, features = with_uploads(["cat"], shown="dogs")
    wrong = photos.index[:20]  # cats by their source, dogs by their looks
    features[wrong] = features[120:140]
    photos.loc[wrong, "label_origin"] = "reviewed" if teaches else "source"
    quality = quality_of(photos, features)
    photos.loc[wrong, "split"] = "val"
    on_val = quality_of(photos, features)
    assert (quality.iloc[-1] != on_val.iloc[-1]) == teaches
    assert quality[:-1].equals(on_val[:-1]), "base photos are judged by those of all sides"


def test_too_few_photos_are_not_judged():
    photos, features = world(per_source=5)
    checked = find_label_issues(photos, features, Labels())
    assert checked["label_quality"].isna().all()
    assert checked["status"].isna().all()


def test_an_upload_that_the_base_photos_contradict_waits():
    photos, features = with_uploads(["cat", "not_cat"])
    assert statuses(photos, features)[-2:] == [None, "label disagrees with the base photos"]
    photos["label_origin"] = photos["label_origin"].where(photos["source"] != "uploads", "reviewed")
    assert statuses(photos, features)[-2:] == [None, None]


def test_a_burst_from_one_session_waits():
    photos, features = with_uploads(["cat"] * 6, session=["a"] * 5 + ["b"])
    assert statuses(photos, features, max_per_session=5)[-6:] == [None] * 6
    assert statuses(photos, features, max_per_session=4)[-6:] == ["burst from one session"] * 5 + [None]


def test_uploads_make_at_most_a_share_of_a_class():
    photos, features = with_uploads(["cat"] * 30)
    told = statuses(photos, features, min_allowance_per_class=10, max_share_of_class=0.2)[-30:]
    assert told.count(None) == 20, "a fifth of a hundred cats"
    assert told.count("too large a share of its class") == 10
    assert statuses(photos, features, min_allowance_per_class=40)[-30:] == [None] * 30


def test_photos_with_a_fate_keep_it_and_are_not_judged():
    photos, features = world()
    photos.loc[0, "status"] = "copy"
    checked = find_label_issues(photos, features[1:], Labels())
    assert checked.loc[0, "status"] == "copy"
    assert np.isnan(checked.loc[0, "label_quality"])
