"""One walk reads folders as people have them, and says what it leaves out."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.images.decoding import MAX_BYTES
from include.images.photo_files import (
    BROKEN,
    HIDDEN,
    SPECIAL,
    TOO_LARGE,
    TWICE,
    UNREADABLE,
    Skipped,
    printable,
    read_or_skip,
    read_photo,
    walk,
)


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def found(folder: Path) -> tuple[list[str], dict[str, list[str]]]:
    skipped = Skipped()
    return [str(path.relative_to(folder)) for path in walk(folder, skipped)], skipped.names


def test_files_of_all_folders_come_in_order(tmp_path: Path) -> None:
    fill(tmp_path, "b.jpg", "a/c.png", "a/no ending", "a/readme.txt", "Ünï cöde/ö.jpg")
    assert found(tmp_path) == (["a/c.png", "a/no ending", "a/readme.txt", "b.jpg", "Ünï cöde/ö.jpg"], {})
    assert walk(tmp_path / "nothing here", Skipped()) == []


@pytest.mark.parametrize(
    "name",
    [
        *(".Trash-1000/files/a.jpg", ".ipynb_checkpoints/a.jpg", "@eaDir/a.jpg", "#recycle/a.jpg", "__MACOSX/._a.jpg"),
        *("lost+found/a.jpg", "$RECYCLE.BIN/a.jpg", "System Volume Information/a.jpg", ".DS_Store", "Thumbs.db"),
        *("desktop.ini", "._a.jpg", ".hidden.jpg"),
    ],
)
def test_what_systems_leave_is_no_photo(tmp_path: Path, name: str) -> None:
    fill(tmp_path, "a.jpg", name, f"deeper/{name}")
    files, skipped = found(tmp_path)
    assert files == ["a.jpg"]
    assert sorted(skipped) == [HIDDEN]
    assert len(skipped[HIDDEN]) == 2


def test_the_folder_itself_may_be_hidden(tmp_path: Path) -> None:
    fill(tmp_path, ".photos/cats/a.jpg")
    assert found(tmp_path / ".photos")[0] == ["cats/a.jpg"]


def test_links_are_followed_and_no_folder_is_read_twice(tmp_path: Path) -> None:
    fill(tmp_path, "elsewhere/a.jpg", "photos/b.jpg", "photos/real/c.jpg", "single.jpg")
    photos = tmp_path / "photos"
    (photos / "linked").symlink_to(tmp_path / "elsewhere")
    (photos / "around").symlink_to(photos)
    (photos / "again").symlink_to(photos / "real")
    (photos / "one.jpg").symlink_to(tmp_path / "single.jpg")
    files, skipped = found(photos)
    assert files == ["b.jpg", "linked/a.jpg", "one.jpg", "real/c.jpg"]
    assert skipped == {TWICE: ["again", "around"]}


def test_what_cannot_be_read_is_named_and_the_rest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, who may read all: a folder that refuses is played, the rest is real."""
    fill(tmp_path, "a.jpg", "locked/b.jpg")
    (tmp_path / "to nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "to itself").symlink_to(tmp_path / "to itself")
    (tmp_path / "memory.jpg").symlink_to("/proc/self/mem")  # it opens, and reading it fails
    os.mkfifo(tmp_path / "pipe.jpg")
    scandir = os.scandir

    def refuse(place: Path) -> object:
        if place.name == "locked":
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    skipped = Skipped()
    bodies = [read_or_skip(tmp_path, path, skipped) for path in walk(tmp_path, skipped)]
    assert bodies == [b"a.jpg", None]
    assert skipped.names == {
        SPECIAL: ["pipe.jpg"],
        BROKEN: ["to itself", "to nowhere"],
        UNREADABLE: ["locked", "memory.jpg"],
    }
    assert (skipped.count, skipped.unknown) == (5, 4)
    assert "cannot be read: 2 (locked, memory.jpg)" in str(skipped)


def test_a_file_that_no_photo_can_be_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "film.mp4").open("wb") as file:
        file.truncate(10 * MAX_BYTES)
    skipped = Skipped()
    assert read_or_skip(tmp_path, tmp_path / "film.mp4", skipped) is None
    assert skipped.names == {TOO_LARGE: ["film.mp4"]}
    assert len(read_photo(tmp_path / "film.mp4") or b"") == MAX_BYTES + 1


@pytest.mark.parametrize("number", ["EMFILE", "ESTALE", "ENOMEM"])
def test_faults_of_the_machine_rise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    fill(tmp_path, "a.jpg")

    def fail(*_: object, **__: object) -> None:
        raise OSError(getattr(errno, number), number)

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(OSError, match=number):
        read_photo(tmp_path / "a.jpg")
    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(OSError, match=number):
        walk(tmp_path, Skipped())


file_names = st.binary(min_size=1, max_size=60).filter(
    lambda name: not (set(name) & {0, ord("/")}) and not name.startswith(b".") and name.lower() != b"icon\r"
)


@given(st.sets(file_names, min_size=1, max_size=5))
def test_every_name_that_the_system_allows_is_read_and_can_be_shown(
    tmp_path_factory: pytest.TempPathFactory, names: set[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(name)
    files = walk(folder, Skipped())
    assert {read_photo(path) for path in files} == names
    for path in files:
        shown = printable(path.relative_to(folder))
        assert shown.isprintable()
        assert shown.encode()
