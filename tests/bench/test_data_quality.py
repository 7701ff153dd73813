"""What is planted in a lake, and how the results are counted; their values do not matter here."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from bench import flipped_labels, planted_near_duplicates
from bench.data_quality import main
from bench.lakes import collect, copy
from bench.poisoned_uploads import count_used, make_uploads, withdraw_photos
from include.dataset.splits import bucket, split_of_bucket
from include.errors import DatasetError
from include.lake import layout
from include.lake.local import LocalStore
from include.question import NEGATIVE, POSITIVE
from include.settings import Settings
from include.status import Status
from tests.pictures import fill_base


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """The backbone computes the embeddings of the drawings once for all tests."""
    folder = tmp_path_factory.mktemp("described")
    lake = LocalStore(folder / "lake")
    fill_base(lake, per_source=12)
    collect(lake, Settings(state_dir=folder))
    return lake


@pytest.fixture
def filled(described: LocalStore, tmp_path: Path) -> LocalStore:
    return copy(described, tmp_path / "lake")


def test_planted_near_duplicates_of_drawings_are_found(filled: LocalStore) -> None:
    result = planted_near_duplicates.measure_near_duplicates(filled, Settings(), count=4)
    assert result["planted"] == 4 * len(planted_near_duplicates.EDITS)
    assert set(result["recall"]) == set(planted_near_duplicates.EDITS)
    assert result["recall"]["mirrored"] == result["recall"]["half as large"] == 1


def test_a_pair_is_correct_if_both_come_from_one_original_or_from_a_known_pair() -> None:
    planted = pd.DataFrame({"key": ["a1", "b1"], "original": ["a", "b"], "edit": ["small", "grey"]})
    before = pd.DataFrame({"first": ["a"], "second": ["c"]})
    pairs = pd.DataFrame([("a", "a1"), ("a1", "c"), ("a1", "b"), ("a", "c"), ("d", "e")], columns=["first", "second"])
    result = planted_near_duplicates.compare_pairs(planted, pairs, before)
    assert result["recall"] == {"small": 1, "grey": 0}
    assert result["precision"] == pytest.approx(2 / 3), "a1 shows a, and what a shows; not b"


def test_only_labels_of_the_train_split_are_flipped(filled: LocalStore) -> None:
    keys = set(filled.keys(layout.BASE))
    flipped = flipped_labels.flip_labels(filled, share=0.5, seed=1)
    after = set(filled.keys(layout.BASE))
    assert after - keys == flipped
    assert len(after) == len(keys)
    was_cat = {layout.parse_base(key).sha256: layout.parse_base(key).source == "cats" for key in keys - after}
    for source, sha256 in map(layout.parse_base, flipped):
        assert split_of_bucket(bucket(sha256)) == "train"
        assert (source == "cats") != was_cat[sha256]


def test_label_issues_are_counted_by_whether_the_label_was_flipped() -> None:
    train = pd.DataFrame({"key": [f"k{number}" for number in range(20)], "label_quality": [n / 20 for n in range(20)]})
    train["status"] = [Status.LABEL_ISSUE if number in (0, 3) else Status.USED for number in range(20)]
    flipped = {"k0", "k1", "k9", "k10"}
    result = flipped_labels.count_issues(train, flipped, known={"k0", "k3", "k4"})
    assert result == {"flipped": 4, "in_lowest_tenth": 0.5, "issues": 2, "flipped_issues": 1, "known_issues": 1}
    counts = flipped_labels.count_at_threshold(train, flipped, 0.5)
    assert counts == {"threshold": 0.5, "flipped": 4, "issues": 10, "flipped_issues": 3}
    (total,) = flipped_labels.sum_draws([{"thresholds": [counts]}, {"thresholds": [counts]}])
    assert total == {"threshold": 0.5, "flipped": 8, "issues": 20, "flipped_issues": 6}


def test_photos_to_upload_leave_the_lake(filled: LocalStore) -> None:
    filled.write(layout.base("dogs", "0" * 64), b"no photo")
    collect(filled, Settings())
    before = set(filled.keys(layout.BASE))
    photos = withdraw_photos(filled, count=10, seed=1)
    withdrawn = before - set(filled.keys(layout.BASE))
    assert len(photos) == len(withdrawn) == 10
    assert all(split_of_bucket(bucket(layout.parse_base(key).sha256)) == "train" for key in withdrawn)
    with pytest.raises(DatasetError, match="ask for fewer"):
        withdraw_photos(filled, count=1000, seed=1)


def test_visitors_flip_a_share_of_their_labels_and_the_flood_flips_all() -> None:
    photos = [(POSITIVE if number % 4 == 0 else NEGATIVE, bytes([number])) for number in range(30)]
    uploads = make_uploads(photos, flood=10, flipped=0.3, seed=1)
    assert Counter(upload.origin for upload in uploads) == {"correct": 14, "flipped": 6, "flood": 10}
    labels = {photo: label for label, photo in photos}
    assert all((labels.pop(upload.photo) == upload.answer) == (upload.origin == "correct") for upload in uploads)
    assert not labels, "each is uploaded once"
    assert Counter(upload.session for upload in uploads)["flood"] == 10
    assert uploads != make_uploads(photos, flood=10, flipped=0.3, seed=2)


def test_another_threshold_frees_only_uploads_that_disagree_with_the_base_photos() -> None:
    photos = [(POSITIVE, bytes([number])) for number in range(4)]
    uploads = dict(zip("abcd", make_uploads(photos, flood=2, flipped=0.5, seed=1), strict=True))
    checked = pd.DataFrame({"key": [layout.upload_photo(photo_id) for photo_id in uploads]})
    disagrees = Status.DISAGREES_WITH_BASE
    checked["status"] = [Status.USED, disagrees, Status.SESSION_BURST, disagrees]
    checked["label_quality"] = [0.9, 0.2, 0.9, 0.05]
    assert {uploads[photo_id].origin for photo_id in "ab"} == {"correct", "flipped"}
    assert count_used(checked, uploads, 0.1) == {"correct": 1, "flipped": 1, "flood": 0}
    assert sum(count_used(checked, uploads, 0.3).values()) == 1


@pytest.mark.slow
def test_the_bench_writes_all_its_tables(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    sizes = ["--originals", "8", "--uploads", "20", "--flood", "22", "--seeds", "1", "--synthetic", "400"]
    main(["--out", str(page), *sizes])
    text, output = page.read_text(), capfd.readouterr().out
    for start in ("recall, mirrored", "precision", "draw", "1", "**0.15**", "`min_agreement`", "peak memory, GB"):
        assert f"| {start} |" in text
    assert "0 of 22 |" in text, "none of a flood trains"
    assert "## Poisoned uploads" in output
