import pandas as pd
import pytest

from include.dataset import deduplication
from include.dataset.facts import MEASURES
from include.settings import Quality
from include.status import Status

Row = tuple[str, str, str | None, str, str, str]  # COLUMNS
NO_PAIRS = pd.DataFrame({"first": [], "second": []})

NEAR_DUPLICATE, CONFLICT = Status.NEAR_DUPLICATE, Status.CONFLICTING_LABELS
COLUMNS = ["key", "source", "label", "split", "label_origin", "fingerprint"]


def photos(*rows: Row) -> pd.DataFrame:
    """One photo per row; its key is also its name."""
    return exclude_unusable(pd.DataFrame(rows, columns=COLUMNS).assign(review=None, problem=None))


def exclude_unusable(table: pd.DataFrame) -> pd.DataFrame:
    """Photos of good quality, each named by its key."""
    good = {"width": 100, "height": 100} | dict.fromkeys(MEASURES, 0.5) | {"entropy": 7.0, "sharpness": 50.0}
    return deduplication.exclude_unusable(table.assign(sha256=table["key"], **good), Quality())


def drop_near_duplicates(table: pd.DataFrame, pairs: pd.DataFrame = NO_PAIRS, *, max_cluster: int = 20) -> pd.DataFrame:
    return deduplication.drop_near_duplicates(table, pairs, max_cluster=max_cluster)


def statuses(table: pd.DataFrame) -> dict[str, str | None]:
    return {row.key: None if pd.isna(row.status) else row.status for row in drop_near_duplicates(table).itertuples()}


def base(key: str, label: str = "positive", split: str = "train", photo: str = "P") -> Row:
    return (key, "cats" if label == "positive" else "dogs", label, split, "source", photo)


def upload(
    key: str, label: str | None = "positive", split: str = "train", photo: str = "P", origin: str = "user"
) -> Row:
    return (key, "uploads", label, split, origin, photo)


def test_photos_that_differ_stay() -> None:
    assert statuses(photos(base("a", photo="1"), base("b", photo="2"))) == {"a": None, "b": None}


def test_of_equal_photos_the_first_stays_and_names_the_cluster() -> None:
    table = drop_near_duplicates(photos(base("b"), base("a"), base("c")))
    assert dict(zip(table["key"], table["cluster"], strict=True)) == dict.fromkeys("abc", "a")
    assert statuses(photos(base("b"), base("a"), base("c"))) == {"a": None, "b": NEAR_DUPLICATE, "c": NEAR_DUPLICATE}


def test_a_base_photo_stays_before_an_upload() -> None:
    assert statuses(photos(upload("a"), base("b"))) == {"a": NEAR_DUPLICATE, "b": None}


@pytest.mark.parametrize("other", [base("b", "negative"), upload("b", "negative")])
def test_one_train_photo_with_two_labels_leaves_whole(other: Row) -> None:
    assert statuses(photos(base("a"), other)) == {"a": CONFLICT, "b": CONFLICT}


def test_dogs_and_misc_are_no_conflict() -> None:
    misc = ("b", "misc", "negative", "train", "source", "P")
    assert statuses(photos(base("a", "negative"), misc)) == {"a": None, "b": NEAR_DUPLICATE}


@pytest.mark.parametrize("split", ["val", "test"])
def test_users_cannot_empty_val_and_test(split: str) -> None:
    assert statuses(photos(base("a", split=split), upload("b", "negative", split))) == {"a": None, "b": CONFLICT}


def test_base_photos_that_disagree_on_test_all_leave() -> None:
    assert set(statuses(photos(base("a", split="test"), base("b", "negative", "test"))).values()) == {CONFLICT}


def test_a_review_outranks_all_other_labels() -> None:
    table = photos(base("a"), upload("b", "negative", origin="reviewed"), upload("c", "negative"))
    assert statuses(table) == {"a": CONFLICT, "b": None, "c": NEAR_DUPLICATE}


def test_reviews_that_disagree_leave_nothing() -> None:
    table = photos(upload("b", "positive", origin="reviewed"), upload("c", "negative", origin="reviewed"))
    assert set(statuses(table).values()) == {CONFLICT}


def test_an_unusable_photo_is_nobodys_near_duplicate() -> None:
    table = pd.DataFrame([base("a"), upload("b", None), base("c"), upload("d")], columns=COLUMNS)
    table = table.assign(problem=["broken", None, None, None], review=[None, None, None, "drop"])
    expected = {"a": Status.QUARANTINED, "b": Status.UNLABELLED, "c": None, "d": Status.DROPPED_BY_REVIEW}
    assert statuses(exclude_unusable(table)) == expected


def connect(*keys: str) -> pd.DataFrame:
    return pd.DataFrame({"first": keys[:-1], "second": keys[1:]})


def near_statuses(pairs: pd.DataFrame, *rows: Row, **rules: int) -> dict[str, str | None]:
    table = drop_near_duplicates(photos(*rows), pairs, **rules)
    return {row.key: None if pd.isna(row.status) else row.status for row in table.itertuples()}


def test_of_near_duplicates_on_several_splits_the_one_on_test_or_val_stays() -> None:
    rows = [base("a", photo="1"), base("b", split="val", photo="2"), base("c", split="test", photo="3")]
    assert near_statuses(connect("a", "b", "c"), *rows) == {"a": NEAR_DUPLICATE, "b": NEAR_DUPLICATE, "c": None}
    assert near_statuses(connect("a", "b"), *rows) == {"a": NEAR_DUPLICATE, "b": None, "c": None}


def test_near_duplicates_with_two_labels_all_leave() -> None:
    rows = [base("a", photo="1"), base("b", "negative", photo="2")]
    assert near_statuses(connect("a", "b"), *rows) == {"a": CONFLICT, "b": CONFLICT}


def test_a_near_duplicate_on_train_does_not_let_users_empty_val_and_test() -> None:
    rows = [base("a", split="test", photo="1"), upload("b", "negative", photo="2")]
    assert near_statuses(connect("a", "b"), *rows) == {"a": None, "b": CONFLICT}


def test_an_unreviewed_upload_on_test_takes_no_photo_out_of_train() -> None:
    rows = [base("a", photo="1"), upload("b", split="test", photo="2")]
    assert near_statuses(connect("a", "b"), *rows) == {"a": None, "b": NEAR_DUPLICATE}


def star(*keys: str) -> pd.DataFrame:
    """The first photo is paired with each of the others, and they are not with each other."""
    return pd.DataFrame({"first": [keys[0]] * (len(keys) - 1), "second": keys[1:]})


def test_of_a_crowd_that_is_like_one_photo_one_photo_stays() -> None:
    rows = [
        base(key, split=split, photo=key) for key, split in zip("abcd", ["train", "train", "val", "test"], strict=True)
    ]
    assert near_statuses(star(*"abcd"), *rows, max_cluster=3) == dict.fromkeys("abc", NEAR_DUPLICATE) | {"d": None}


def test_what_chance_connected_is_cut_and_stays_on_one_split() -> None:
    """Of equals the photo on test leads first: d takes c and e, f takes g, b takes a, and h takes i."""
    splits = dict.fromkeys("abcdefghi", "train") | {"d": "test", "f": "val"}
    rows = [base(key, split=split, photo=key) for key, split in splits.items()]
    found = near_statuses(connect(*"abcdefghi"), *rows, max_cluster=8)
    stay = [key for key, status in found.items() if status is None]
    apart = [key for key, status in found.items() if status == Status.CROWD_ON_OTHER_SPLIT]
    assert (stay, apart) == (["a", "h"], ["d", "f"])


def test_equal_splits_of_a_crowd_go_to_test_before_val_before_train() -> None:
    for splits, stays in ((["test", "train", "train", "train"], "a"), (["val", "train", "train", "train"], "a")):
        rows = [base(key, split=split, photo=key) for key, split in zip("abcd", splits, strict=True)]
        found = near_statuses(connect(*"abcd"), *rows, max_cluster=3)
        assert [key for key, status in found.items() if status is None] == [stays]
        assert list(found.values()).count(Status.CROWD_ON_OTHER_SPLIT) == 1


def test_photos_that_two_stars_keep_are_not_alike() -> None:
    """b leads a, c and d, and a stays, because it is on test; e leads f and stays beside it, and is paired with a."""
    rows = [base(key, split="test" if key == "a" else "train", photo=key) for key in "abcdef"]
    found = near_statuses(pd.concat([star(*"bacd"), connect(*"aef")]), *rows, max_cluster=5)
    assert found == {"a": None} | dict.fromkeys("bcdef", NEAR_DUPLICATE)


def test_a_crowd_that_is_small_enough_without_its_uploads_is_a_cluster() -> None:
    rows = [base(key, photo=key) for key in "abcd"] + [upload("e", photo="e")]
    found = near_statuses(connect(*"abcde"), *rows, max_cluster=4)
    assert found == {"a": None} | dict.fromkeys("bcd", NEAR_DUPLICATE) | {"e": Status.UPLOAD_IN_CROWD}


def test_equal_bytes_without_a_pair_are_a_crowd_that_counts_as_one() -> None:
    rows = [base(key, photo="1") for key in "abcd"]
    assert near_statuses(NO_PAIRS, *rows, max_cluster=3) == {"a": None} | dict.fromkeys("bcd", NEAR_DUPLICATE)


def test_a_crowd_with_two_labels_leaves() -> None:
    rows = [base(key, label, photo=key) for key, label in zip("abcd", ["positive", "negative"] * 2, strict=True)]
    assert set(near_statuses(star(*"abcd"), *rows, max_cluster=3).values()) == {CONFLICT}


def test_a_photo_beside_a_star_of_a_crowd_that_contradicts_it_leaves_too() -> None:
    """b leads a and c, which leave; d is paired with c alone, whose label is another."""
    rows = [base(key, photo=key) for key in ("a", "b", "d")] + [base("c", "negative", photo="c")]
    assert set(near_statuses(connect(*"abcd"), *rows, max_cluster=3).values()) == {CONFLICT}


def test_a_review_decides_in_a_crowd() -> None:
    rows = [base(key, photo=key) for key in "abc"] + [upload("d", "negative", photo="d", origin="reviewed")]
    found = near_statuses(star(*"dabc"), *rows, max_cluster=3)
    assert found == dict.fromkeys("abc", CONFLICT) | {"d": None}


def test_unreviewed_uploads_of_a_crowd_wait_and_connect_nothing() -> None:
    rows = [base("a", photo="1"), base("b", split="test", photo="2")]
    rows += [upload(key, "negative", photo=key) for key in "cde"]
    pairs = pd.concat([star(*"acde"), star(*"bcde")])
    waits = dict.fromkeys("cde", Status.UPLOAD_IN_CROWD)
    assert near_statuses(pairs, *rows, max_cluster=3) == {"a": None, "b": None} | waits
    assert (
        near_statuses(pd.concat([pairs, connect("a", "b")]), *rows, max_cluster=3)
        == {
            "a": NEAR_DUPLICATE,
            "b": None,
        }
        | waits
    )


def test_what_stays_of_a_crowd_has_one_cluster_name() -> None:
    rows = [base(key, photo=key) for key in "abcd"] + [base("e", photo="e")]
    table = drop_near_duplicates(photos(*rows), connect(*"abcd"), max_cluster=3).set_index("key")
    assert table["cluster"].to_dict() == dict.fromkeys("abcd", "a") | {"e": "e"}
    assert table["crowd"].dropna().to_dict() == dict.fromkeys("abcd", "a")
    assert table["status"].isna().sum() == 3


def test_poor_photos_leave_the_train_split_only_and_never_against_a_review() -> None:
    rows = [base("a"), base("b", split="test"), upload("c", origin="reviewed")]
    table = photos(*rows).assign(review=[None, None, "keep"], sharpness=1.0)
    found = deduplication.exclude_unusable(table, Quality())["status"]
    assert [None if pd.isna(status) else status for status in found] == [Status.POOR_QUALITY, None, None]
