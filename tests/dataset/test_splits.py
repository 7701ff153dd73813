import hashlib

import pandas as pd

from include.dataset.splits import bucket, hold_for_review, sample, split_of_bucket


def names(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


def photos(count: int, source: str = "cats", origin: str = "source") -> pd.DataFrame:
    table = pd.DataFrame({"sha256": names(count), "source": source, "label_origin": origin})
    table["split"] = table["sha256"].map(bucket).map(split_of_bucket)
    return table.assign(status=pd.array([pd.NA] * count, dtype="string"))


def used(table: pd.DataFrame) -> set[str]:
    return set(table.loc[table["status"] == "used", "sha256"])


def test_splits_are_80_10_10() -> None:
    splits = pd.Series(names(20_000)).map(bucket).map(split_of_bucket).value_counts(normalize=True)
    assert splits.round(2).to_dict() == {"train": 0.8, "val": 0.1, "test": 0.1}


def test_the_split_of_a_photo_is_fixed_for_ever() -> None:
    """Written down once: a lake in use must never see other numbers."""
    assert [bucket(name) for name in names(5)] == [61, 52, 67, 90, 83]
    assert [split_of_bucket(number) for number in (0, 79, 80, 89, 90, 99)] == [
        "train",
        "train",
        "val",
        "val",
        "test",
        "test",
    ]


def test_a_larger_sample_is_a_superset() -> None:
    small, large = (sample(photos(600), images_per_source=n, seed=1) for n in (100, 300))
    assert used(small) < used(large)
    assert small[small["status"] == "used"].groupby("split").size().to_dict() == {"test": 10, "train": 80, "val": 10}


def test_removing_one_photo_adds_exactly_one_other() -> None:
    table = photos(600)
    before = used(sample(table, images_per_source=100, seed=1))
    removed = sorted(before)[0]
    table.loc[table["sha256"] == removed, "status"] = "near-duplicate"
    after = used(sample(table, images_per_source=100, seed=1))
    assert before - after == {removed}
    assert len(after - before) == 1


def test_another_seed_gives_another_sample() -> None:
    assert used(sample(photos(600), images_per_source=100, seed=1)) != used(
        sample(photos(600), images_per_source=100, seed=2)
    )


def test_uploads_are_never_sampled_away() -> None:
    assert set(sample(photos(300, "uploads"), images_per_source=10, seed=1)["status"]) == {"used"}


def test_unreviewed_uploads_wait_on_val_and_test() -> None:
    held = hold_for_review(photos(300, "uploads", "user"))
    waiting = (held["status"] == "unreviewed on val or test").fillna(False)
    assert set(held.loc[waiting, "split"]) == {"val", "test"}
    assert set(held.loc[~waiting, "split"]) == {"train"}
    assert hold_for_review(photos(300, "uploads", "reviewed"))["status"].isna().all()
    assert hold_for_review(photos(300))["status"].isna().all()
