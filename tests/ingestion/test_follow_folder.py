"""The lake follows the folder: by a param, never by accident, and whatever is killed in between."""

import hashlib
import logging
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from include.errors import BadRecord, CannotFollow
from include.ingestion import snapshot
from include.ingestion.base_sets import claim_lake
from include.ingestion.follow_folder import Changes, compare, follow_folder, too_much_gone
from include.ingestion.intake import ingest_source
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_table
from include.lake.local import LocalStore
from include.records import Tombstone
from include.settings import Settings
from tests.pictures import QUESTION

SOURCES = QUESTION.sources
Folder = dict[str, set[str]]  # the contents of the files of each source


def key_of(source: str, content: str) -> str:
    return layout.base(source, hashlib.sha256(content.encode()).hexdigest())


def keys_of(folder: Folder) -> set[str]:
    return {key_of(source, content) for source, contents in folder.items() for content in contents}


def write_folder(path: Path, folder: Folder) -> Settings:
    """Exactly these photos; the settings that name the folder."""
    shutil.rmtree(path, ignore_errors=True)
    for source in SOURCES:
        (path / source).mkdir(parents=True)
        for content in folder[source]:
            (path / source / f"{content}.jpg").write_text(content)
    return Settings(base_data=str(path))


def ingest(store: ObjectStore, run: str, settings: Settings) -> None:
    owner = claim_lake(store, settings)
    for source in SOURCES:
        ingest_source(store, run, source, owner, base_data=settings.base_data)


def run_dag(store: ObjectStore, run: str, settings: Settings, *, follow: bool) -> dict[str, Any]:
    ingest(store, run, settings)
    return follow_folder(store, run, SOURCES, follow=follow)


def base_keys(store: ObjectStore) -> set[str]:
    return set(store.keys(layout.BASE))


def tombstones(store: ObjectStore) -> dict[str, Tombstone]:
    stones = {key: Tombstone.from_json(store.read(key)) for key in store.keys(layout.TOMBSTONES)}
    assert all(key == layout.tombstone(stone.key) for key, stone in stones.items())
    return {stone.key: stone for stone in stones.values()}


@pytest.fixture
def folder() -> Folder:
    return {source: {f"{source} {number}" for number in range(6)} for source in SOURCES}


def change(folder: Folder) -> tuple[str, str, str]:
    """A photo is relabelled, one is deleted, one is added: the keys that are moved, gone and new."""
    folder["cats"] -= {"cats 1", "cats 2"}
    folder["dogs"] |= {"cats 1", "dogs new"}
    return key_of("cats", "cats 1"), key_of("cats", "cats 2"), key_of("dogs", "dogs new")


def test_without_the_param_changes_are_told_and_nothing_is_taken_away(
    lake: LocalStore, tmp_path: Path, folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "include")
    first = run_dag(lake, "r1", write_folder(tmp_path / "photos", folder), follow=False)
    assert (first["new"], first["moved"], first["gone"], first["taken_away"]) == (24, 0, 0, 0)
    assert len(first["such_as"]["new"]) == 3
    assert "nothing is taken away" not in caplog.text
    before = base_keys(lake)
    moved, gone, new = change(folder)
    told = run_dag(lake, "r2", write_folder(tmp_path / "photos", folder), follow=False)
    assert told == {
        "new": 1,
        "moved": 1,
        "gone": 1,
        "taken_away": 0,
        "such_as": {"new": [new], "moved": [f"{moved} -> {key_of('dogs', 'cats 1')}"], "gone": [gone]},
    }
    assert base_keys(lake) == before | {new, key_of("dogs", "cats 1")}
    assert f"moved: 1, such as {moved} -> " in caplog.text
    assert f"gone: 1, such as {gone}" in caplog.text
    assert "is not used where their labels differ" in caplog.text
    assert "With the param `follow` this run would take 1 moved and 1 gone photos away" in caplog.text
    assert not tombstones(lake)


def test_with_the_param_the_lake_is_the_folder(store: ObjectStore, tmp_path: Path, folder: Folder) -> None:
    run_dag(store, "r1", write_folder(tmp_path / "photos", folder), follow=True)
    moved, gone, _ = change(folder)
    told = run_dag(store, "r2", write_folder(tmp_path / "photos", folder), follow=True)
    assert told["taken_away"] == 2
    assert base_keys(store) == keys_of(folder)
    stones = tombstones(store)
    assert (stones[moved].reason, stones[moved].moved_to) == ("moved", key_of("dogs", "cats 1"))
    assert (stones[gone].reason, stones[gone].moved_to) == ("gone", None)
    assert stones[gone].taken_at.endswith("+00:00")
    again = run_dag(store, "r3", write_folder(tmp_path / "photos", folder), follow=True)
    assert (again["new"], again["moved"], again["gone"], again["taken_away"]) == (0, 0, 0, 0)
    assert tombstones(store) == stones


@pytest.mark.parametrize("follow", [False, True])
def test_a_photo_that_comes_back_lives_again(lake: LocalStore, tmp_path: Path, folder: Folder, follow: bool) -> None:
    run_dag(lake, "r1", write_folder(tmp_path / "photos", folder), follow=True)
    moved, gone, _ = change(folder)
    run_dag(lake, "r2", write_folder(tmp_path / "photos", folder), follow=True)
    folder["cats"] |= {"cats 1", "cats 2"}
    run_dag(lake, "r3", write_folder(tmp_path / "photos", folder), follow=follow)
    assert {moved, gone} <= base_keys(lake) == keys_of(folder)
    assert not tombstones(lake)


def test_what_was_told_can_be_taken_over_later(lake: LocalStore, tmp_path: Path, folder: Folder) -> None:
    run_dag(lake, "r1", write_folder(tmp_path / "photos", folder), follow=False)
    change(folder)
    settings = write_folder(tmp_path / "photos", folder)
    run_dag(lake, "r2", settings, follow=False)
    assert run_dag(lake, "r3", settings, follow=True)["taken_away"] == 2
    assert base_keys(lake) == keys_of(folder)


def test_a_folder_that_lost_more_than_half_of_a_source_is_not_followed(
    lake: LocalStore, tmp_path: Path, folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    run_dag(lake, "r1", write_folder(tmp_path / "photos", folder), follow=True)
    folder["cats"] = {"cats 1", "cats 2"}
    folder["dogs"] = {"dogs 1", "dogs 2", "dogs 3"}
    folder["misc"] = {"misc 1"}
    settings = write_folder(tmp_path / "photos", folder)
    before = base_keys(lake)
    numbers = r"4 of 6 photos of cats, 5 of 6 photos of misc\): check that it is mounted.*at most half"
    with pytest.raises(CannotFollow, match=numbers):
        run_dag(lake, "r2", settings, follow=True)
    assert base_keys(lake) == before
    assert not tombstones(lake)
    assert run_dag(lake, "r3", settings, follow=False)["gone"] == 12
    assert "With the param `follow` this run would fail: more than half" in caplog.text
    folder["cats"] |= {"cats 3"}
    folder["misc"] = {"misc 1", "misc 2", "misc 3"}
    assert run_dag(lake, "r4", write_folder(tmp_path / "photos", folder), follow=True)["taken_away"] == 9


def test_moved_photos_do_not_count_as_gone(lake: LocalStore, tmp_path: Path, folder: Folder) -> None:
    run_dag(lake, "r1", write_folder(tmp_path / "photos", folder), follow=True)
    folder["dogs"] |= folder["cats"] - {"cats 1"}
    folder["cats"] = {"cats 1"}
    assert run_dag(lake, "r2", write_folder(tmp_path / "photos", folder), follow=True)["taken_away"] == 5
    assert base_keys(lake) == keys_of(folder)


def test_the_sample_is_followed_too(lake: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.ingestion.base_photos.draw_sample", lambda source, seed: [source.encode(), b"all"])
    run_dag(lake, "r1", Settings(), follow=True)
    monkeypatch.setattr("include.ingestion.base_photos.draw_sample", lambda source, seed: [source.encode()])
    told = run_dag(lake, "r2", Settings(), follow=True)
    assert (told["gone"], told["taken_away"]) == (4, 4)
    assert base_keys(lake) == {key_of(source, source) for source in SOURCES}


@pytest.mark.parametrize("cleared", [[], ["cats"]])
def test_an_older_run_does_not_take_away_what_came_after_it(
    lake: LocalStore, tmp_path: Path, folder: Folder, cleared: list[str]
) -> None:
    """Its task is cleared alone, or with some of the tasks before it."""
    owner = claim_lake(lake, write_folder(tmp_path / "photos", folder))
    run_dag(lake, "r1", Settings(base_data=str(tmp_path / "photos")), follow=True)
    folder["dogs"] |= {"dogs new"}
    settings = write_folder(tmp_path / "photos", folder)
    run_dag(lake, "r2", settings, follow=True)
    for source in cleared:
        ingest_source(lake, "r1", source, owner, base_data=settings.base_data)
    with pytest.raises(CannotFollow, match="the run 'r2' has read the folder after 'r1': clear claim_lake"):
        follow_folder(lake, "r1", SOURCES, follow=True)
    assert base_keys(lake) == keys_of(folder)
    assert run_dag(lake, "r1", settings, follow=True)["taken_away"] == 0


def test_what_is_no_photo_of_the_lake_is_left_alone(lake: LocalStore, tmp_path: Path, folder: Folder) -> None:
    """Files that a desktop or a console left in the folder of the lake."""
    settings = write_folder(tmp_path / "photos", folder)
    run_dag(lake, "r1", settings, follow=True)
    foreign = {layout.base("cats", ".DS_Store"), layout.base("dogs", "deeper/readme.txt"), f"{layout.BASE}readme"}
    for key in foreign:
        lake.write(key, b"x")
    assert run_dag(lake, "r2", settings, follow=True)["gone"] == 0
    assert base_keys(lake) == keys_of(folder) | foreign


def test_a_snapshot_ignores_what_was_taken_away_and_is_not_deleted_yet(
    lake: LocalStore, tmp_path: Path, folder: Folder
) -> None:
    run_dag(lake, "r1", write_folder(tmp_path / "photos", folder), follow=True)
    key = key_of("misc", "misc 1")
    lake.write(layout.tombstone(key), Tombstone(key, "gone", "2026-01-01T00:00:00+00:00").to_json())
    snapshot.snapshot_base(lake, "retrain", QUESTION)
    assert set(read_table(lake, layout.run_base("retrain"))["key"]) == keys_of(folder) - {key}


@pytest.mark.parametrize(
    ("held", "seen", "moved", "gone"),
    [
        ({"a": {"1"}, "b": {"2"}}, {"a": {"1"}, "b": {"2"}}, {}, set()),
        ({"a": {"1", "2"}, "b": {"2"}}, {"a": {"1"}, "b": {"2"}}, {"a/2": "b/2"}, set()),
        ({"a": {"1"}, "b": {"1"}}, {"a": {"1"}, "b": {"1"}}, {}, set()),
        ({"a": {"1", "2"}, "b": set()}, {"a": set(), "b": set()}, {}, {"a/1", "a/2"}),
        ({"a": {"1"}, "b": {"1"}}, {"a": set(), "b": set()}, {}, {"a/1", "b/1"}),
        ({"a": {"1"}, "b": {"2"}}, {"a": {"2"}, "b": {"1"}}, {"a/1": "b/1", "b/2": "a/2"}, set()),
    ],
)
def test_lake_and_folder_are_compared(held: Folder, seen: Folder, moved: dict[str, str], gone: set[str]) -> None:
    def keys(folder: Folder) -> Folder:
        return {source: {layout.base(source, name) for name in names} for source, names in folder.items()}

    changes = compare(keys(held), keys(seen), new=[], taken=set())
    assert changes.moved == {f"base/{old}": f"base/{new}" for old, new in moved.items()}
    assert set(changes.gone) == {f"base/{key}" for key in gone}
    assert bool(too_much_gone(changes, keys(held))) == bool(gone)


def test_what_is_half_taken_away_is_no_photo_of_a_source() -> None:
    held = {"a": {"base/a/1", "base/a/2", "base/a/3"}}
    assert too_much_gone(Changes([], {}, gone=["base/a/1"], unfinished=["base/a/2"]), held) is None
    refusal = too_much_gone(Changes([], {}, gone=["base/a/1"], unfinished=["base/a/2", "base/a/3"]), held)
    assert "1 of 1 photos of a" in str(refusal)


@pytest.mark.parametrize("reason", ["lost", "", "moved"])
def test_a_tombstone_says_why(reason: str) -> None:
    with pytest.raises(BadRecord, match=f"{reason!r}"):
        Tombstone("base/cats/1", reason, "2026-01-01T00:00:00+00:00")


class Mortal(LocalStore):
    """A lake whose tasks are killed after so many writes and deletions."""

    left = 10**9

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def write(self, key: str, body: bytes) -> None:
        self._step()
        super().write(key, body)

    def delete(self, key: str) -> None:
        self._step()
        super().delete(key)


def shuffle(folder: Folder, rng: random.Random) -> None:
    """Six photos are added, moved, copied, deleted and brought back; one of each source stays.

    Now and then nothing else is left.
    """
    for _ in range(rng.randint(0, 8)):
        source, other = rng.sample(SOURCES, 2)
        content, way = f"photo {rng.randrange(6)}", rng.choice(["add", "move", "delete", "delete"])
        if way != "add":
            folder[source].discard(content)
        if way != "delete":
            folder[other].add(content)
    if rng.random() < 0.15:
        for contents in folder.values():
            contents.intersection_update(SOURCES)


def test_random_folders_are_followed_through_kills(tmp_path: Path) -> None:
    """16 lakes, and for each up to 10 states of a folder, read by runs that may be killed anywhere and tried again."""
    endings = Counter[str]()
    for seed in range(16):
        endings.update(follow_random_states(tmp_path / str(seed), random.Random(seed)))
    assert min(endings[ending] for ending in ("followed", "told", "killed", "refused")) >= 3, endings


def follow_random_states(path: Path, rng: random.Random) -> list[str]:
    """How each try ended; after each the lake is compared with the folder."""
    lake, endings, ever = Mortal(path / "lake"), list[str](), set[str]()
    folder: Folder = {source: {source, *(f"photo {n}" for n in rng.sample(range(6), 3))} for source in SOURCES}
    owner = claim_lake(lake, write_folder(path / "photos", folder))
    for number in range(rng.randint(4, 10)):
        settings, follow = write_folder(path / "photos", folder), rng.random() < 0.6
        for _ in range(rng.choice([1, 1, 2, 3])):
            lake.left = rng.choice([10**9, rng.randint(0, 8), rng.randint(8, 16)])
            endings.append(try_run(lake, f"r{number}", owner, settings, folder, follow=follow))
            ever |= base_keys(lake)
        if endings[-1] == "followed":
            assert base_keys(lake) == keys_of(folder), (path, number)
            assert set(tombstones(lake)) == ever - keys_of(folder), (path, number)
        shuffle(folder, rng)
    return endings


def try_run(lake: Mortal, run: str, owner: dict[str, Any], settings: Settings, folder: Folder, *, follow: bool) -> str:
    """One try of all tasks; how it ended, after what must hold then was checked."""
    live, wanted = base_keys(lake) - set(tombstones(lake)), keys_of(folder)
    names = {key.rpartition("/")[2] for key in wanted}
    here = live | wanted
    excess = False
    for source in SOURCES:
        held = [key for key in here if key.startswith(layout.base(source, ""))]
        excess |= 2 * sum(key.rpartition("/")[2] not in names for key in held) > len(held)
    try:
        for source in SOURCES:
            ingest_source(lake, run, source, owner, base_data=settings.base_data)
        told = follow_folder(lake, run, SOURCES, follow=follow)
    except CannotFollow:
        assert follow
        assert excess
        assert base_keys(lake) >= here
        return "refused"
    except KeyboardInterrupt:
        lake.left = 10**9
        assert base_keys(lake) >= live & wanted, "what is in the folder never goes"
        assert not set(tombstones(lake)) & live & wanted
        return "killed"
    assert not (follow and excess)
    assert not set(tombstones(lake)) & base_keys(lake), "nothing is half taken away"
    assert base_keys(lake) == (wanted if follow else here)
    assert told["taken_away"] == (len(here - wanted) if follow else 0)
    return "followed" if follow else "told"


@pytest.mark.parametrize("target", ["/proc/self/mem", "/nowhere"], ids=["cannot be read", "leads nowhere"])
def test_what_cannot_be_read_is_not_taken_for_gone(
    lake: LocalStore, tmp_path: Path, folder: Folder, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A photo may be behind it: one that can be opened and not read is a fault of a disk, one of a mount the other."""
    settings = write_folder(tmp_path / "photos", folder)
    ingest(lake, "first", settings)
    held = base_keys(lake)
    photo = tmp_path / "photos/cats/cats 0.jpg"
    photo.unlink()
    photo.symlink_to(target)
    with pytest.raises(CannotFollow, match=r"could not be read \(1 in cats"):
        run_dag(lake, "second", settings, follow=True)
    assert base_keys(lake) == held
    assert "cats: 1 left out: " in caplog.text
    assert "cats 0.jpg" in caplog.text
    photo.unlink()
    assert run_dag(lake, "third", settings, follow=True)["taken_away"] == 1
