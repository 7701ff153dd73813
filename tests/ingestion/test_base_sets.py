import hashlib
import json
from pathlib import Path

import pytest

from include.errors import BadSetting, BaseDataMissing, OtherLake
from include.images.synthetic import draw_sample
from include.ingestion.base_sets import check_question, check_sample, claim_lake, ingest_source, read_lake
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import write_json
from include.lake.local import LocalStore
from include.question import Question
from include.settings import Settings
from tests.pictures import QUESTION, plain

DOGS = Question(name="dogs", positive=("dogs",), noun="a dog", text="Are you a dog?")


def test_the_sample_is_drawn_the_same_each_time() -> None:
    assert list(draw_sample("cats", count=3)) == list(draw_sample("cats", count=3))
    assert list(draw_sample("cats", count=3)) != list(draw_sample("cats", count=3, seed=1))
    for source in QUESTION.sources:
        assert len(set(draw_sample(source, count=20))) == 20


def test_photos_enter_under_the_hash_of_their_bytes(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "cats/deeper").mkdir(parents=True)
    (tmp_path / "cats/a.jpg").write_bytes(plain("red"))
    (tmp_path / "cats/deeper/b.png").write_bytes(plain("blue", kind="PNG"))
    (tmp_path / "cats/.hidden").write_bytes(b"x")
    counts = ingest_source(store, "cats", base_data=str(tmp_path), seed=0)
    assert counts == {"seen": 2, "new": 2, "in_lake": 2}
    expected = {layout.base("cats", hashlib.sha256(plain("red")).hexdigest()): plain("red")}
    assert expected.items() <= {key: store.read(key) for key in store.keys(layout.BASE)}.items()


def test_ingesting_twice_writes_nothing(lake: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dogs").mkdir()
    (tmp_path / "dogs/a.jpg").write_bytes(plain("red"))
    (tmp_path / "dogs/same.jpg").write_bytes(plain("red"))
    ingest_source(lake, "dogs", base_data=str(tmp_path), seed=0)
    monkeypatch.setattr(lake, "write", lambda *_: pytest.fail("wrote a photo that was there already"))
    assert ingest_source(lake, "dogs", base_data=str(tmp_path), seed=0) == {"seen": 2, "new": 0, "in_lake": 1}


def test_a_missing_folder_is_named_with_the_cure(lake: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(BaseDataMissing, match=r"misc.*CAT_BASE_DATA"):
        ingest_source(lake, "misc", base_data=str(tmp_path), seed=0)


def test_a_lake_belongs_to_its_first_base_set(store: ObjectStore, tmp_path: Path) -> None:
    mine, other = Settings(seed=7), Settings(base_data=str(tmp_path), seed=8)
    claim = {"base_set": mine.base_set, "seed": 7, "question": QUESTION.model_dump(mode="json")}
    assert claim_lake(store, mine) == claim_lake(store, mine) == claim
    with pytest.raises(OtherLake, match=mine.base_set):
        claim_lake(store, other)
    assert read_lake(store, QUESTION) == claim


def test_a_lake_belongs_to_its_first_question(lake: LocalStore, tmp_path: Path) -> None:
    claim_lake(lake, Settings(base_data=str(tmp_path)))
    with pytest.raises(OtherLake, match="another question .Are you a cat.*CAT_QUESTION.*CAT_LAKE_URL"):
        claim_lake(lake, Settings(base_data=str(tmp_path), question=DOGS))
    with pytest.raises(OtherLake):
        read_lake(lake, DOGS)
    assert json.loads(lake.read(layout.LAKE))["question"]["name"] == QUESTION.name


def test_other_words_are_the_same_question(lake: LocalStore) -> None:
    claim_lake(lake, Settings())
    claim_lake(lake, Settings(question=Question(noun="one cat", text="Is it a cat?")))


def test_an_older_lake_without_a_question_is_refused_with_the_cure(lake: LocalStore) -> None:
    owner = {"base_set": Settings().base_set, "seed": 1}
    write_json(lake, layout.LAKE, owner)
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
