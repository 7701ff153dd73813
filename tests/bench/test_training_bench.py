"""The photos that the recipes are compared on; and the whole bench on a few drawings: whether it measures all."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from bench import photos
from bench.question import SOURCES
from bench.training import growing_subsets, main, make_held_out_lake, read_options
from include.dataset.manifest import MANIFEST
from include.dataset.splits import bucket, split_of_bucket
from include.errors import BaseDataMissing, DatasetError
from include.lake import layout
from include.lake.local import LocalStore
from include.question import POSITIVE
from tests.pictures import drawing

WANTED = {"train": 12, "val": 2, "test": 2}  # of each source


def fill(folder: Path, *, first: int = 0) -> Path:
    """Drawings of each source on every split, from number ``first`` on."""
    for source in SOURCES:
        (folder / source).mkdir(parents=True)
        room, number = Counter(WANTED), first
        while room.total():
            body = drawing(source, number)
            split, number = split_of_bucket(bucket(hashlib.sha256(body).hexdigest())), number + 1
            if room[split]:
                room[split] -= 1
                (folder / source / f"{number}.jpg").write_bytes(body)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return fill(tmp_path_factory.mktemp("photos"))


def test_a_lake_holds_the_photos_of_the_manifest_by_the_rule_of_the_product(folder: Path, tmp_path: Path) -> None:
    listed = photos.list_photos(folder, per_source=20, seed=1)
    photos.check_splits(listed)
    assert len(listed) == sum(WANTED.values()) * len(SOURCES)
    assert set(MANIFEST) <= set(listed.columns)
    assert list(listed["split"]) == [split_of_bucket(bucket(name)) for name in listed["sha256"]]
    assert set(listed.loc[listed["label"] == POSITIVE, "source"]) == {"cats"}
    store = LocalStore(photos.make_lake(listed, tmp_path / "lake"))
    assert list(store.keys(layout.BASE)) == list(listed["key"])
    assert [hashlib.sha256(store.read(key)).hexdigest() for key in listed["key"]] == list(listed["sha256"])
    assert photos.read_manifest(str(store.root)).equals(listed)


def test_exact_duplicates_and_files_that_are_no_photos_are_left_out(folder: Path, tmp_path: Path) -> None:
    other = fill(tmp_path / "photos")
    original = next((other / "cats").iterdir())
    (other / "cats" / "duplicate.jpg").write_bytes(original.read_bytes())
    (other / "dogs" / "notes.txt").write_text("no photo")
    listed = photos.list_photos(other, per_source=20, seed=1)
    assert list(listed["key"]) == list(photos.list_photos(folder, per_source=20, seed=1)["key"])


def test_growing_subsets_contain_each_other_and_end_with_all_photos(folder: Path) -> None:
    listed = photos.list_photos(folder, per_source=20, seed=1)
    small, whole = growing_subsets(listed, [400, 40, 80])
    assert len(small) < len(whole) == len(listed)
    assert set(small["key"]) < set(whole["key"])


def test_a_folder_without_photos_and_too_few_photos_are_rejected(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BaseDataMissing, match="--photos"):
        photos.list_photos(tmp_path, per_source=20, seed=1)
    listed = photos.list_photos(folder, per_source=20, seed=1)
    options = read_options(["--photos", str(folder), "--held-out", str(folder)])
    with pytest.raises(DatasetError, match="give other photos"):
        make_held_out_lake(options, listed, tmp_path)
    with pytest.raises(DatasetError, match=r"test has \d+ photos"):
        photos.check_splits(listed[(listed["split"] != "test") | (listed["label"] == POSITIVE)])


@pytest.mark.slow
def test_the_bench_writes_all_its_tables(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAT_TUNE_TRIALS", "2")
    page, others = tmp_path / "benchmarks.md", fill(tmp_path / "others", first=1000)
    options = ["--photos-per-source", "20", "--epochs", "1", "--original-epochs", "1", "--growth", "40", "80"]
    main(["--photos", str(folder), "--held-out", str(others), "--out", str(page), *options])
    text, output = page.read_text(), capfd.readouterr().out
    for begin in ("one epoch, s", "tuning, s", "recall, random test split", "the served model", "x "):
        assert f"| {begin}" in text
    for name in ("CPU", "cores", "memory", "Python", "TensorFlow", "command", "photos"):
        assert f"| {name} |" in text
    assert str(folder) not in text
    assert "original: epoch 1 of 1" in output
    assert "scratch: epoch 1 of 1" in output
    assert text in output
