"""What is planted, and how it is judged; the numbers themselves do not matter here."""

from collections import Counter

import pandas as pd
import pytest

from bench import planted_copies, turned_labels
from bench.data_quality import main
from bench.lakes import collect, copy
from bench.poisoned_uploads import count_used, gifts, hold_out
from include.dataset.label_issues import BURST, DISAGREES, DOUBTED
from include.dataset.splits import USED, bucket, split_of
from include.errors import DatasetError
from include.lake import layout
from include.lake.local import LocalStore
from include.settings import Settings
from tests.pictures import fill_base


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """The backbone looks at the drawings once for all tests."""
    place = tmp_path_factory.mktemp("described")
    lake = LocalStore(place / "lake")
    fill_base(lake, per_source=12)
    collect(lake, Settings(state_dir=place))
    return lake


@pytest.fixture
def filled(described, tmp_path):
    return copy(described, tmp_path / "lake")


def test_planted_copies_of_drawings_are_found(filled):
    result = planted_copies.measure_copies(filled, Settings(), count=4)
    assert result["planted"] == 4 * len(planted_copies.CLASSES)
    assert set(result["recall"]) == set(planted_copies.CLASSES)
    assert result["recall"]["mirrored"] == result["recall"]["half as large"] == 1


def test_a_pair_is_right_where_both_go_back_to_one_photo_or_to_known_twins():
    planted = pd.DataFrame({"key": ["a1", "b1"], "original": ["a", "b"], "class_name": ["small", "grey"]})
    before = pd.DataFrame({"first": ["a"], "second": ["c"]})
    pairs = pd.DataFrame([("a", "a1"), ("a1", "c"), ("a1", "b"), ("a", "c"), ("d", "e")], columns=["first", "second"])
    result = planted_copies.judge(planted, pairs, before)
    assert result["recall"] == {"small": 1, "grey": 0}
    assert result["precision"] == pytest.approx(2 / 3), "a1 shows a, and what a shows; not b"


def test_labels_are_turned_on_the_train_side_only(filled):
    keys = set(filled.keys(layout.BASE))
    turned = turned_labels.turn(filled, share=0.5, seed=1)
    after = set(filled.keys(layout.BASE))
    assert after - keys == turned
    assert len(after) == len(keys)
    was_cat = {layout.parse_base(key).sha256: layout.parse_base(key).source == "cats" for key in keys - after}
    for source, sha256 in map(layout.parse_base, turned):
        assert split_of(bucket(sha256)) == "train"
        assert (source == "cats") != was_cat[sha256]


def test_of_turned_labels_it_is_counted_how_many_are_left_out_and_what_else_is():
    train = pd.DataFrame({"key": [f"k{number}" for number in range(20)], "label_quality": [n / 20 for n in range(20)]})
    train["status"] = [DOUBTED if number in (0, 3) else "used" for number in range(20)]
    turned = {"k0", "k1", "k9", "k10"}
    result = turned_labels.judge(train, turned, known={"k0", "k3", "k4"})
    assert result == {"turned": 4, "in_worst_tenth": 0.5, "left_out": 2, "really_turned": 1, "known": 1}
    wider = turned_labels.judge_threshold(train, turned, 0.5)
    assert wider == {"threshold": 0.5, "turned": 4, "left_out": 10, "really_turned": 3}
    (pooled,) = turned_labels.pool([{"thresholds": [wider]}, {"thresholds": [wider]}])
    assert pooled == {"threshold": 0.5, "turned": 8, "left_out": 20, "really_turned": 6}


def test_held_out_photos_leave_the_lake(filled):
    filled.write(layout.base("dogs", "0" * 64), b"no photo")
    collect(filled, Settings())
    before = set(filled.keys(layout.BASE))
    photos = hold_out(filled, count=10, seed=1)
    taken = before - set(filled.keys(layout.BASE))
    assert len(photos) == len(taken) == 10
    assert all(split_of(bucket(layout.parse_base(key).sha256)) == "train" for key in taken)
    with pytest.raises(DatasetError, match="too few"):
        hold_out(filled, count=1000, seed=1)


def test_a_share_of_the_visitors_lies_and_all_of_the_flood_does():
    photos = [("cat" if number % 4 == 0 else "not_cat", bytes([number])) for number in range(30)]
    made = gifts(photos, flood=10, turned=0.3, seed=1)
    assert Counter(gift.kind for gift in made) == {"right": 14, "turned": 6, "flood": 10}
    truth = {photo: label for label, photo in photos}
    assert all((truth.pop(gift.photo) == gift.answer) == (gift.kind == "right") for gift in made)
    assert not truth, "each is given once"
    assert Counter(gift.session for gift in made)["flood"] == 10
    assert made != gifts(photos, flood=10, turned=0.3, seed=2)


def test_another_threshold_frees_only_what_the_agreement_left_out():
    photos = [("cat", bytes([number])) for number in range(4)]
    given = dict(zip("abcd", gifts(photos, flood=2, turned=0.5, seed=1), strict=True))
    uploads = pd.DataFrame({"key": [layout.upload_photo(photo_id) for photo_id in given]})
    uploads["status"], uploads["label_quality"] = [USED, DISAGREES, BURST, DISAGREES], [0.9, 0.2, 0.9, 0.05]
    visitors = {given[photo_id].kind for photo_id in "ab"}
    assert visitors == {"right", "turned"}
    assert count_used(uploads, given, 0.1) == {"right": 1, "turned": 1, "flood": 0}
    assert sum(count_used(uploads, given, 0.3).values()) == 1


@pytest.mark.slow
def test_the_bench_writes_all_its_tables(tmp_path, capfd):
    page = tmp_path / "page.md"
    sizes = ["--copied", "8", "--uploads", "20", "--flood", "22", "--seeds", "1", "--synthetic", "400"]
    main(["--out", str(page), *sizes])
    text, output = page.read_text(), capfd.readouterr().out
    for begin in ("recall, mirrored", "precision", "draw", "1", "**0.15**", "`min_agreement`", "peak memory, GB"):
        assert f"| {begin} |" in text
    assert "0 of 22 |" in text, "none of a flood trains"
    assert "## Poisoned uploads" in output
