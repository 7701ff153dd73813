"""When a folder is the base set of a lake: by its photos, and mostly by a few of them."""

import hashlib
import random
from pathlib import Path

import pytest

from include.images.photo_files import Skipped, read_or_skip
from include.ingestion import base_set_contents
from include.ingestion.base_set_contents import ENOUGH, holds_same_photos


def sha256(content: int) -> str:
    return hashlib.sha256(str(content).encode()).hexdigest()


def write(folder: Path, contents: list[int]) -> list[Path]:
    """A file for each content; the same content may be there more than once."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05}.jpg" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(str(content))
    return paths


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read."""
    paths, read_one = list[Path](), read_or_skip

    def remember(folder: Path, path: Path, skipped: Skipped) -> bytes | None:
        paths.append(path)
        return read_one(folder, path, skipped)

    monkeypatch.setattr(base_set_contents, "read_or_skip", remember)
    return paths


def test_random_folders_are_the_same_when_half_of_either_is_shared(tmp_path: Path) -> None:
    """100 folders of up to 60 photos, some of them twice, against lakes of up to 60: decided exactly."""
    verdicts = []
    for seed in range(100):
        rng = random.Random(seed)
        contents = rng.choices(range(80), k=rng.randint(1, 60))
        distinct = sorted(set(contents))
        held = set(rng.sample(distinct, k=rng.randint(0, len(distinct)))) | set(range(100, 101 + rng.randint(0, 60)))
        shared = len(held & set(contents))
        expected = 2 * shared >= len(held) or 2 * shared >= len(set(contents))
        folder = tmp_path / str(seed)
        verdict = holds_same_photos(folder, write(folder, contents), {sha256(content) for content in held})
        assert verdict == expected, seed
        verdicts.append(verdict)
    assert 25 < sum(verdicts) < 75


@pytest.mark.parametrize(
    ("shared", "held", "is_same"), [(1000, 1000, True), (900, 1000, True), (0, 1000, False), (100, 2000, False)]
)
def test_a_clear_case_is_decided_by_the_first_photos(
    tmp_path: Path, read: list[Path], shared: int, held: int, is_same: bool
) -> None:
    files = write(tmp_path, list(range(1000)))
    names = {sha256(content) for content in range(1000 - shared, 1000 - shared + held)}
    assert holds_same_photos(tmp_path, files, names) is is_same
    assert len(read) == ENOUGH


@pytest.mark.parametrize(("shared", "is_same"), [(499, False), (500, True)])
def test_a_close_case_is_decided_by_all(tmp_path: Path, read: list[Path], shared: int, is_same: bool) -> None:
    files = write(tmp_path, list(range(1000)))
    names = {sha256(content) for content in range(1000 - shared, 2000 - shared)}
    assert holds_same_photos(tmp_path, files, names) is is_same
    assert len(read) == 1000


def test_a_few_held_photos_are_looked_for_in_the_whole_folder(tmp_path: Path, read: list[Path]) -> None:
    files = write(tmp_path, list(range(700)))
    assert holds_same_photos(tmp_path, files, {sha256(699), sha256(-1)})
    assert not holds_same_photos(tmp_path, files, {sha256(699), sha256(-1), sha256(-2)})
    assert len(read) == 1400


def test_the_order_does_not_depend_on_where_the_folder_stands(tmp_path: Path, read: list[Path]) -> None:
    orders = []
    for name in ("here", "there/deep below"):
        folder = tmp_path / name
        read.clear()
        holds_same_photos(folder, write(folder, list(range(30))), {sha256(-1)})
        orders.append([path.relative_to(folder) for path in read])
    assert orders[0] == orders[1] != sorted(orders[0])
