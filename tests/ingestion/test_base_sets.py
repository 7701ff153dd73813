import hashlib
import json
from pathlib import Path

import pytest

from include.errors import BadSetting, BaseDataMissing, InvalidKey, OtherLake
from include.images.photo_files import Skipped
from include.images.synthetic import draw_sample
from include.ingestion.base_photos import read_source
from include.ingestion.base_sets import (
    check_question,
    check_sample,
    claim_lake,
    read_lake,
)
from include.ingestion.intake import ingest_source
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import to_json, write_json
from include.lake.local import LocalStore
from include.question import Question
from include.settings import Settings
from tests.pictures import QUESTION, add_base, drawing, give, plain

DOGS = Question(name="dogs", positive=("dogs",), noun="a dog", text="Are you a dog?")


def test_the_sample_is_drawn_the_same_each_time() -> None:
    assert list(draw_sample("cats", count=3)) == list(draw_sample("cats", count=3))
    assert list(draw_sample("cats", count=3)) != list(draw_sample("cats", count=3, seed=1))
    for source in QUESTION.sources:
        assert len(set(draw_sample(source, count=20))) == 20


def fill_folder(folder: Path, **photos: list[str]) -> Settings:
    """A folder with files of these contents for each source, "x" where none are named; the settings that name it."""
    for source in QUESTION.sources:
        (folder / source).mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(photos.get(source, [f"{source} x"])):
            (folder / source / f"{number:04}.jpg").write_bytes(content.encode())
    return Settings(base_data=str(folder))


def ingest(store: ObjectStore, settings: Settings) -> list[dict[str, int]]:
    owner = claim_lake(store, settings)
    return [ingest_source(store, "r", source, owner, base_data=settings.base_data) for source in QUESTION.sources]


def test_photos_enter_under_the_hash_of_their_bytes(store: ObjectStore, tmp_path: Path) -> None:
    settings = fill_folder(tmp_path, cats=[])
    (tmp_path / "cats/deeper").mkdir()
    (tmp_path / "cats/a.jpg").write_bytes(plain("red"))
    (tmp_path / "cats/deeper/b.png").write_bytes(plain("blue", kind="PNG"))
    (tmp_path / "cats/.hidden").write_bytes(b"x")
    assert ingest(store, settings)[0] == {"seen": 2, "new": 2, "in_lake": 2, "left_out": 1}
    expected = {layout.base("cats", hashlib.sha256(plain("red")).hexdigest()): plain("red")}
    assert expected.items() <= {key: store.read(key) for key in store.keys(layout.BASE)}.items()


def test_ingesting_twice_writes_nothing(lake: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = fill_folder(tmp_path / "photos", dogs=["a", "a"])
    owner = claim_lake(lake, settings)
    ingest_source(lake, "r", "dogs", owner, base_data=settings.base_data)
    written, write = list[str](), lake.write

    def remember(key: str, body: bytes) -> None:
        written.append(key)
        write(key, body)

    monkeypatch.setattr(lake, "write", remember)
    again = ingest_source(lake, "r", "dogs", owner, base_data=settings.base_data)
    assert again == {"seen": 2, "new": 0, "in_lake": 1, "left_out": 0}
    assert written == [layout.last_ingest("dogs"), layout.ingested("r", "dogs")]


@pytest.mark.parametrize("run", ["", ".", "..", "x" * 250])
def test_a_run_id_that_cannot_be_a_key_is_refused_before_anything_is_written(
    lake: LocalStore, tmp_path: Path, run: str
) -> None:
    settings = fill_folder(tmp_path / "photos", dogs=["a"])
    owner = claim_lake(lake, settings)
    before = list(lake.keys(""))
    with pytest.raises(InvalidKey, match="cannot name a run"):
        ingest_source(lake, run, "dogs", owner, base_data=settings.base_data)
    assert list(lake.keys("")) == before


def test_all_sources_without_photos_are_named_with_the_cure_and_nothing_is_written(
    lake: LocalStore, tmp_path: Path
) -> None:
    settings = fill_folder(tmp_path / "photos", dogs=[], misc=[])
    (tmp_path / "photos/misc").rmdir()
    (tmp_path / "photos/dogs/.hidden").write_bytes(b"x")
    for folder, missing in ((tmp_path / "photos", "dogs, misc"), (tmp_path / "photo", "cats, dogs, selfies, misc")):
        with pytest.raises(BaseDataMissing, match=f"{folder} has no photos of {missing}: CAT_BASE_DATA must be"):
            claim_lake(lake, Settings(base_data=str(folder)))
    assert not list(lake.keys("")), "a misspelt folder claims no lake"
    with pytest.raises(BaseDataMissing, match="misc has no photos that can be read"):
        next(read_source(settings.base_data, "misc", seed=0, skipped=Skipped()))


def test_a_lake_with_photos_belongs_to_its_base_set(lake: LocalStore, tmp_path: Path) -> None:
    mine = fill_folder(tmp_path / "mine").model_copy(update={"seed": 7})
    other = fill_folder(tmp_path / "other", **{source: [f"other {source}"] for source in QUESTION.sources})
    claim = {"base_set": mine.base_set, "seed": 7, "question": QUESTION.model_dump(mode="json")}
    assert claim_lake(lake, mine) == json.loads(json.dumps(claim))
    ingest(lake, mine)
    before = {key: lake.read(key) for key in lake.keys("")}
    for refused in (other, Settings()):
        with pytest.raises(OtherLake, match=f"base set '{mine.base_set}'.*CAT_BASE_DATA.*CAT_LAKE_URL"):
            claim_lake(lake, refused)
    assert {key: lake.read(key) for key in lake.keys("")} == before
    assert read_lake(lake, QUESTION) == claim_lake(lake, mine) == claim


def test_a_lake_of_drawings_refuses_a_folder(lake: LocalStore, tmp_path: Path) -> None:
    claim_lake(lake, Settings())
    add_base(lake, "cats", drawing("cats", 1))
    assert claim_lake(lake, Settings())["base_set"] == "sample-1"
    with pytest.raises(OtherLake, match="holds the base set 'sample-1'"):
        claim_lake(lake, fill_folder(tmp_path / "photos"))


def test_a_lake_without_photos_is_claimed_anew(lake: LocalStore, tmp_path: Path) -> None:
    """By another base set, another question and another seed, and one that was claimed before questions were held."""
    folder = fill_folder(tmp_path / "photos")
    for settings in (Settings(), folder, Settings(question=DOGS), Settings(seed=9), Settings()):
        owner = claim_lake(lake, settings)
        assert (owner["base_set"], owner["seed"]) == (settings.base_set, settings.seed)
        assert owner == read_lake(lake, settings.question)
    write_json(lake, layout.LAKE, {"base_set": "old", "seed": 1})
    assert claim_lake(lake, folder)["base_set"] == folder.base_set


def test_a_lake_with_uploads_alone_keeps_its_question(lake: LocalStore, tmp_path: Path) -> None:
    claim_lake(lake, Settings())
    give(lake, "p1", plain(), "positive")
    with pytest.raises(OtherLake, match="another question"):
        claim_lake(lake, Settings(question=DOGS))
    folder = fill_folder(tmp_path / "photos")
    assert claim_lake(lake, folder)["base_set"] == folder.base_set


def test_photos_do_not_enter_a_lake_that_was_claimed_anew_meanwhile(lake: LocalStore, tmp_path: Path) -> None:
    settings = fill_folder(tmp_path / "photos")
    owner = claim_lake(lake, settings)
    claim_lake(lake, Settings())
    with pytest.raises(OtherLake, match="clear the task claim_lake"):
        ingest_source(lake, "r", "cats", owner, base_data=settings.base_data)
    assert not list(lake.keys(layout.BASE))


def test_of_two_first_claims_at_once_one_counts(
    tmp_path: Path, lake: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one reads the lake before the first claim is written, and writes its own afterwards."""
    folder, create = fill_folder(tmp_path / "photos"), lake.create
    faster = to_json({"base_set": "faster", "seed": 1, "question": QUESTION.model_dump(mode="json")})

    def overtaken(key: str, body: bytes) -> None:
        if key == layout.LAKE:
            create(key, faster)
        create(key, body)

    monkeypatch.setattr(lake, "create", overtaken)
    with pytest.raises(OtherLake, match="'faster'"):
        claim_lake(lake, folder)
    assert lake.read(layout.LAKE) == faster


def test_the_same_photos_elsewhere_are_the_same_base_set(lake: LocalStore, tmp_path: Path) -> None:
    """Moved to another path, renamed, sorted into other sources; with some added and some removed."""
    photos = [f"photo {number}" for number in range(40)]
    first = fill_folder(tmp_path / "first", cats=photos[:20], dogs=photos[20:])
    ingest(lake, first)
    owner = claim_lake(lake, first)
    for name, cats, dogs in (
        ("mounted elsewhere", photos[:20], photos[20:]),
        ("in another order", photos[19::-1], photos[:19:-1]),
        ("relabelled", photos[:5], photos[5:]),
        ("half of it removed", photos[:12], photos[30:39]),
        ("many added", photos[:20] + [f"new {number}" for number in range(500)], photos[20:]),
    ):
        assert claim_lake(lake, fill_folder(tmp_path / name, cats=cats, dogs=dogs)) == owner, name
    for name, cats in (
        ("less than half of either", photos[:15] + [f"new {number}" for number in range(30)]),
        ("none of it", [f"new {number}" for number in range(40)]),
    ):
        with pytest.raises(OtherLake, match=first.base_set):
            claim_lake(lake, fill_folder(tmp_path / name, cats=cats, selfies=["y"], misc=["y"]))


def test_a_first_ingest_that_was_killed_goes_on(lake: LocalStore, tmp_path: Path) -> None:
    """Three of 600 photos are in the lake: all of these are in the folder."""
    settings = fill_folder(tmp_path / "photos", cats=[f"photo {number}" for number in range(600)])
    owner = claim_lake(lake, settings)
    for number in (3, 300, 500):
        add_base(lake, "cats", f"photo {number}".encode())
    assert claim_lake(lake, settings) == owner


def test_a_lake_belongs_to_its_first_question(lake: LocalStore, tmp_path: Path) -> None:
    settings = fill_folder(tmp_path / "photos")
    ingest(lake, settings)
    dogs = settings.model_copy(update={"question": DOGS})
    with pytest.raises(OtherLake, match="another question .Are you a cat.*CAT_QUESTION.*CAT_LAKE_URL"):
        claim_lake(lake, dogs)
    with pytest.raises(OtherLake):
        read_lake(lake, DOGS)
    assert json.loads(lake.read(layout.LAKE))["question"]["name"] == QUESTION.name


def test_other_words_are_the_same_question(lake: LocalStore) -> None:
    claim_lake(lake, Settings())
    add_base(lake, "cats", plain())
    claim_lake(lake, Settings(question=Question(noun="one cat", text="Is it a cat?")))


def test_an_older_lake_without_a_question_is_refused_with_the_cure(lake: LocalStore) -> None:
    owner = {"base_set": Settings().base_set, "seed": 1}
    write_json(lake, layout.LAKE, owner)
    add_base(lake, "cats", plain())
    for refused in (
        lambda: claim_lake(lake, Settings()),
        lambda: read_lake(lake, QUESTION),
        lambda: check_question(owner, QUESTION),
    ):
        with pytest.raises(OtherLake, match="of an older version.*run ingest_base_datasets and retrain once"):
            refused()


def test_the_sample_is_for_the_default_sources_only(lake: LocalStore, tmp_path: Path) -> None:
    birds = Question(name="birds", sources=("owls", "crows"), positive=("owls",))
    with pytest.raises(BadSetting, match="no owls, crows: set CAT_BASE_DATA to a folder"):
        check_sample(Settings(question=birds))
    with pytest.raises(BadSetting):
        claim_lake(lake, Settings(question=birds))
    assert not list(lake.keys("")), "a lake that cannot be filled is not claimed"
    check_sample(Settings())
    check_sample(Settings(question=DOGS))
    check_sample(Settings(question=birds, base_data=str(tmp_path)))
