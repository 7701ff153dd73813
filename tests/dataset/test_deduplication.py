import pandas as pd
import pytest

from include.dataset import deduplication
from include.dataset.facts import MEASURES
from include.settings import Quality

NO_PAIRS = pd.DataFrame({"first": [], "second": []})

COLUMNS = ["key", "source", "label", "split", "label_origin", "fingerprint"]


def photos(*rows: tuple) -> pd.DataFrame:
    """One photo per row; its key is also its name."""
    return set_aside(pd.DataFrame(rows, columns=COLUMNS).assign(review=None, problem=None))


def set_aside(table: pd.DataFrame) -> pd.DataFrame:
    """Photos of good quality, each named by its key."""
    good = {"width": 100, "height": 100} | dict.fromkeys(MEASURES, 0.5) | {"entropy": 7.0, "sharpness": 50.0}
    return deduplication.exclude_unusable(table.assign(sha256=table["key"], **good), Quality())


def drop_near_duplicates(table: pd.DataFrame, pairs: pd.DataFrame = NO_PAIRS, *, max_cluster: int = 20) -> pd.DataFrame:
    return deduplication.drop_near_duplicates(deduplication.find_clusters(table, pairs, max_cluster=max_cluster))


def statuses(table: pd.DataFrame) -> dict[str, str | None]:
    return {row.key: None if pd.isna(row.status) else row.status for row in drop_near_duplicates(table).itertuples()}


def base(key: str, label: str = "cat", split: str = "train", photo: str = "P") -> tuple:
    return (key, "cats" if label == "cat" else "dogs", label, split, "source", photo)


def upload(key: str, label: str | None = "cat", split: str = "train", photo: str = "P", origin: str = "user") -> tuple:
    return (key, "uploads", label, split, origin, photo)


def test_photos_that_differ_stay():
    assert statuses(photos(base("a", photo="1"), base("b", photo="2"))) == {"a": None, "b": None}


def test_of_equal_photos_the_first_stays_and_names_the_cluster():
    table = drop_near_duplicates(photos(base("b"), base("a"), base("c")))
    assert dict(zip(table["key"], table["cluster"], strict=True)) == dict.fromkeys("abc", "a")
    assert statuses(photos(base("b"), base("a"), base("c"))) == {"a": None, "b": "copy", "c": "copy"}


def test_a_base_photo_stays_before_an_upload():
    assert statuses(photos(upload("a"), base("b"))) == {"a": "copy", "b": None}


@pytest.mark.parametrize("other", [base("b", "not_cat"), upload("b", "not_cat")])
def test_one_train_photo_with_two_labels_is_nobodys(other):
    assert statuses(photos(base("a"), other)) == {"a": "conflict", "b": "conflict"}


def test_dogs_and_misc_are_no_conflict():
    misc = ("b", "misc", "not_cat", "train", "source", "P")
    assert statuses(photos(base("a", "not_cat"), misc)) == {"a": None, "b": "copy"}


@pytest.mark.parametrize("split", ["val", "test"])
def test_users_cannot_empty_the_sides_that_judge(split):
    assert statuses(photos(base("a", split=split), upload("b", "not_cat", split))) == {"a": None, "b": "conflict"}


def test_base_photos_that_disagree_on_test_are_nobodys():
    assert set(statuses(photos(base("a", split="test"), base("b", "not_cat", "test"))).values()) == {"conflict"}


def test_a_review_outranks_everybody():
    table = photos(base("a"), upload("b", "not_cat", origin="reviewed"), upload("c", "not_cat"))
    assert statuses(table) == {"a": "conflict", "b": None, "c": "copy"}


def test_reviews_that_disagree_leave_nothing():
    table = photos(upload("b", "cat", origin="reviewed"), upload("c", "not_cat", origin="reviewed"))
    assert set(statuses(table).values()) == {"conflict"}


def test_what_was_set_aside_is_nobodys_copy():
    table = pd.DataFrame([base("a"), upload("b", None), base("c"), upload("d")], columns=COLUMNS)
    table = table.assign(problem=["broken", None, None, None], review=[None, None, None, "drop"])
    assert statuses(set_aside(table)) == {"a": "quarantined", "b": "unlabelled", "c": None, "d": "dropped by review"}


def tie(*keys: str) -> pd.DataFrame:
    return pd.DataFrame({"first": keys[:-1], "second": keys[1:]})


def near_fates(pairs: pd.DataFrame, *rows: tuple, **rules: int) -> dict[str, str | None]:
    table = drop_near_duplicates(photos(*rows), pairs, **rules)
    return {row.key: None if pd.isna(row.status) else row.status for row in table.itertuples()}


def test_of_near_copies_on_several_sides_the_one_that_judges_stays():
    rows = [base("a", photo="1"), base("b", split="val", photo="2"), base("c", split="test", photo="3")]
    assert near_fates(tie("a", "b", "c"), *rows) == {"a": "copy", "b": "copy", "c": None}
    assert near_fates(tie("a", "b"), *rows) == {"a": "copy", "b": None, "c": None}


def test_near_copies_with_two_labels_are_nobodys():
    rows = [base("a", photo="1"), base("b", "not_cat", photo="2")]
    assert near_fates(tie("a", "b"), *rows) == {"a": "conflict", "b": "conflict"}


def test_a_near_copy_on_train_does_not_let_users_empty_the_sides_that_judge():
    rows = [base("a", split="test", photo="1"), upload("b", "not_cat", photo="2")]
    assert near_fates(tie("a", "b"), *rows) == {"a": None, "b": "conflict"}


def test_an_unseen_upload_on_test_takes_no_photo_out_of_train():
    rows = [base("a", photo="1"), upload("b", split="test", photo="2")]
    assert near_fates(tie("a", "b"), *rows) == {"a": None, "b": "copy"}


def test_a_crowd_is_reported_never_applied_and_its_uploads_wait():
    rows = [base("a", photo="1"), base("b", photo="2"), base("c", photo="2"), upload("d", photo="3")]
    crowded = near_fates(tie("a", "b", "c", "d"), *rows, max_cluster=3)
    assert crowded == {"a": None, "b": None, "c": "copy", "d": "crowd: waiting for review"}


def test_poor_photos_leave_the_train_side_only_and_never_against_a_review():
    rows = [base("a"), base("b", split="test"), upload("c", origin="reviewed")]
    table = photos(*rows).assign(review=[None, None, "keep"], sharpness=1.0)
    fates_of = deduplication.exclude_unusable(table, Quality())["status"]
    assert [None if pd.isna(status) else status for status in fates_of] == ["poor quality", None, None]
