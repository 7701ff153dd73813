"""The whole bench, on a few drawings: what it measures here nobody looks at, only that all of it is told."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from bench import photos
from bench.training import main, sizes
from include.data.split import bucket, calibrates, side_of
from include.errors import BaseDataMissing, DatasetError
from include.records import SOURCES
from tests.pictures import drawing

WANTED = {"train": 12, "val True": 1, "val False": 1, "test": 2}  # of each source; both halves of val


def fill(folder: Path) -> Path:
    """Drawings of each source on every part."""
    for source in SOURCES:
        (folder / source).mkdir(parents=True)
        room, number = Counter(WANTED), 0
        while room.total():
            body = drawing(source, number)
            name, number = hashlib.sha256(body).hexdigest(), number + 1
            side = side_of(bucket(name))
            part = f"{side} {calibrates(name)}" if side == "val" else side
            if room[part]:
                room[part] -= 1
                (folder / source / f"{number}.jpg").write_bytes(body)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return fill(tmp_path_factory.mktemp("photos"))


def test_the_manifest_names_photos_where_they_lie_by_the_rule_of_the_product(folder):
    found = photos.list_photos(folder, per_source=20, seed=1)
    photos.check_sides(found)
    assert len(found) == sum(WANTED.values()) * len(SOURCES)
    assert all((folder / key).is_file() for key in found["key"])
    assert list(found["side"]) == [side_of(bucket(name)) for name in found["sha256"]]
    assert set(found.loc[found["label"] == "cat", "source"]) == {"cats"}


def test_copies_and_what_is_no_photo_are_left_out(folder, tmp_path):
    other = fill(tmp_path / "photos")
    copied = next((other / "cats").iterdir())
    (other / "cats" / "copy.jpg").write_bytes(copied.read_bytes())
    (other / "dogs" / "notes.txt").write_text("no photo")
    found = photos.list_photos(other, per_source=20, seed=1)
    assert sorted(found["sha256"]) == sorted(photos.list_photos(folder, per_source=20, seed=1)["sha256"])


def test_growing_parts_contain_each_other_and_end_where_the_photos_do(folder):
    found = photos.list_photos(folder, per_source=20, seed=1)
    small, whole = sizes(found, [400, 40, 80])
    assert len(small) < len(whole) == len(found)
    assert set(small["key"]) < set(whole["key"])


def test_a_folder_without_photos_and_too_few_of_them_are_told(folder, tmp_path):
    with pytest.raises(BaseDataMissing, match="--photos"):
        photos.list_photos(tmp_path, per_source=20, seed=1)
    found = photos.list_photos(folder, per_source=20, seed=1)
    with pytest.raises(DatasetError, match=r"test has \d+ photos"):
        photos.check_sides(found[(found["side"] != "test") | (found["label"] == "cat")])


@pytest.mark.slow
def test_the_bench_writes_all_its_tables(folder, tmp_path, capfd):
    page = tmp_path / "benchmarks.md"
    options = ["--photos-per-source", "20", "--epochs", "1", "--original-epochs", "1", "--growth", "40", "80"]
    main(["--photos", str(folder), "--out", str(page), *options])
    text, told = page.read_text(), capfd.readouterr().out
    for begin in ("one epoch, s", "training until", "the served model", "with an explanation", "x "):
        assert f"| {begin}" in text
    for name in ("CPU", "cores", "memory", "Python", "TensorFlow", "command", "photos"):
        assert f"| {name} |" in text
    assert str(folder) not in text
    assert "original: epoch 1 of 1" in told
    assert "ours: epoch 1 of 1" in told
    assert text in told
