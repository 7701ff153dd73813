"""Wrong labels are found among embeddings that tell the sources apart."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.dataset.label_issues import find_label_issues
from include.settings import Labels
from include.status import Status
from tests.pictures import QUESTION

PER_SOURCE = 100
WIDTH = 128


def world(per_source: int = PER_SOURCE) -> tuple[pd.DataFrame, np.ndarray]:
    """Base photos whose embeddings stand around one centre per source."""
    draw = np.random.default_rng(7)
    source = np.repeat(QUESTION.sources, per_source)
    centre = np.repeat(draw.normal(0, 1, (len(QUESTION.sources), WIDTH)), per_source, axis=0)
    embeddings = centre + draw.normal(0, 2, centre.shape)
    photos = pd.DataFrame({"source": source, "key": [f"base/{place}" for place in range(len(source))]})
    photos = photos.assign(sha256=photos["key"], label=photos["source"].map(QUESTION.label_of))
    photos = photos.assign(label_origin="source", split="train", session=None)
    nothing = pd.Series(pd.NA, index=photos.index, dtype="string")
    return photos.assign(status=nothing, reason=nothing), embeddings.astype(np.float16)


def with_uploads(labels: list[str], shown: str = "cats", **known: Any) -> tuple[pd.DataFrame, np.ndarray]:
    """The world, and uploads that show one source, with the given labels."""
    photos, embeddings = world()
    uploads = pd.DataFrame({"label": labels, "key": [f"uploads/{place}" for place in range(len(labels))]}).assign(
        source="uploads",
        label_origin="user",
        split="train",
        status=pd.NA,
        reason=pd.NA,
        session=[f"s{n}" for n in range(len(labels))],
    )
    uploads = uploads.assign(sha256=uploads["key"], **known)
    places = np.flatnonzero(photos["source"] == shown)[: len(labels)]
    return pd.concat([photos, uploads], ignore_index=True), np.concatenate([embeddings, embeddings[places]])


def statuses(photos: pd.DataFrame, embeddings: np.ndarray, **rules: Any) -> list[str | None]:
    checked = find_label_issues(photos, embeddings, Labels(**rules), QUESTION)
    return [None if pd.isna(status) else str(status) for status in checked["status"]]


def test_photos_of_the_wrong_source_are_label_issues_and_the_rest_is_not() -> None:
    photos, embeddings = world()
    wrong = [3, 150, 250]  # a cat, a dog and a selfie change places with others
    embeddings[wrong] = embeddings[[150, 250, 7]]
    checked = find_label_issues(photos, embeddings, Labels(max_quality=0.5), QUESTION)
    worst = checked["label_quality"].sort_values().index[:3]
    assert {3, 250} <= set(worst), "a cat that is none, and a selfie that is one"
    assert checked.loc[[3, 250], "status"].tolist() == [Status.LABEL_ISSUE] * 2
    assert checked["label_issue"].sum() <= 3


def test_the_reason_is_the_probability_of_the_label() -> None:
    photos, embeddings = with_uploads(["negative"])
    embeddings[3] = embeddings[150]  # a cat that looks like a dog
    checked = find_label_issues(photos, embeddings, Labels(max_quality=0.5), QUESTION)
    by_model = checked[checked["status"].isin([Status.LABEL_ISSUE, Status.DISAGREES_WITH_BASE])]
    assert {3, len(photos) - 1} <= set(by_model.index)
    assert by_model["reason"].tolist() == [f"P(label) is {quality:.3f}" for quality in by_model["label_quality"]]
    assert checked.drop(index=by_model.index)["reason"].isna().all()


def test_on_val_and_test_a_label_issue_stays_until_a_person_reviews_it() -> None:
    photos, embeddings = world()
    photos.loc[3, "split"] = "test"
    embeddings[3] = embeddings[150]
    checked = find_label_issues(photos, embeddings, Labels(max_quality=0.5), QUESTION)
    assert pd.isna(checked.loc[3, "status"])
    assert checked.loc[3, "label_issue"]


def test_a_reviewed_label_is_no_issue() -> None:
    photos, embeddings = world()
    photos.loc[3, "label_origin"] = "reviewed"
    embeddings[3] = embeddings[150]
    checked = find_label_issues(photos, embeddings, Labels(max_quality=0.5), QUESTION)
    assert pd.isna(checked.loc[3, "status"])
    assert not checked.loc[3, "label_issue"]


def test_the_same_photos_have_the_same_quality_bit_by_bit() -> None:
    photos, embeddings = with_uploads(["positive", "negative"])
    first, again = (find_label_issues(photos, embeddings.copy(), Labels(), QUESTION)["label_quality"] for _ in range(2))
    assert first.notna().all()
    assert first.to_numpy().tobytes() == again.to_numpy().tobytes()


def quality_of(photos: pd.DataFrame, embeddings: np.ndarray) -> pd.Series:
    return find_label_issues(photos, embeddings, Labels(max_quality=0.5), QUESTION)["label_quality"]


def test_a_base_photo_with_a_corrected_label_teaches_nothing() -> None:
    """Nobody knows its true source, so it makes no difference from which one it came."""
    photos, embeddings = world()
    corrected = photos.index[110:130]
    photos.loc[corrected, ["label", "label_origin"]] = ["positive", "reviewed"]
    others = photos.index.difference(corrected)
    dogs = quality_of(photos, embeddings)[others]
    photos.loc[corrected, "source"] = "misc"
    assert quality_of(photos, embeddings)[others].equals(dogs)
    photos.loc[corrected, "label"] = "negative"  # so it was misc indeed
    assert not quality_of(photos, embeddings)[others].equals(dogs)


@pytest.mark.parametrize("teaches", [False, True], ids=["label issue", "reviewed"])
def test_an_upload_is_checked_by_photos_of_the_train_split_without_label_issues(teaches: bool) -> None:
    photos, embeddings = with_uploads(["positive"], shown="dogs")
    wrong = photos.index[:20]  # cats by their source, dogs by their looks
    embeddings[wrong] = embeddings[120:140]
    photos.loc[wrong, "label_origin"] = "reviewed" if teaches else "source"
    quality = quality_of(photos, embeddings)
    photos.loc[wrong, "split"] = "val"
    on_val = quality_of(photos, embeddings)
    assert (quality.iloc[-1] != on_val.iloc[-1]) == teaches
    assert quality[:-1].equals(on_val[:-1]), "base photos are checked by those of all splits"


def test_too_few_photos_are_not_checked() -> None:
    photos, embeddings = world(per_source=5)
    checked = find_label_issues(photos, embeddings, Labels(), QUESTION)
    assert checked["label_quality"].isna().all()
    assert checked["status"].isna().all()


def test_an_upload_that_the_base_photos_contradict_waits() -> None:
    photos, embeddings = with_uploads(["positive", "negative"])
    assert statuses(photos, embeddings)[-2:] == [None, Status.DISAGREES_WITH_BASE]
    photos["label_origin"] = photos["label_origin"].where(photos["source"] != "uploads", "reviewed")
    assert statuses(photos, embeddings)[-2:] == [None, None]


def test_a_burst_from_one_session_waits() -> None:
    photos, embeddings = with_uploads(["positive"] * 6, session=["a"] * 5 + ["b"])
    assert statuses(photos, embeddings, max_per_session=5)[-6:] == [None] * 6
    assert statuses(photos, embeddings, max_per_session=4)[-6:] == [Status.SESSION_BURST] * 5 + [None]


def test_uploads_make_at_most_a_share_of_a_class() -> None:
    photos, embeddings = with_uploads(["positive"] * 30)
    found = statuses(photos, embeddings, min_allowance_per_class=10, max_share_of_class=0.2)[-30:]
    assert found.count(None) == 20, "a fifth of a hundred cats"
    assert found.count(Status.TOO_LARGE_A_SHARE) == 10
    assert statuses(photos, embeddings, min_allowance_per_class=40)[-30:] == [None] * 30


def test_photos_with_a_status_keep_it_and_are_not_checked() -> None:
    photos, embeddings = world()
    photos.loc[0, "status"] = Status.NEAR_DUPLICATE
    checked = find_label_issues(photos, embeddings[1:], Labels(), QUESTION)
    assert checked.loc[0, "status"] == Status.NEAR_DUPLICATE
    assert np.isnan(checked.loc[0, "label_quality"])
