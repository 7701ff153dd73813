import hashlib

import pytest

from include.errors import BaseDataMissing, OtherBaseSet
from include.images.synthetic import draw_sample
from include.ingestion.base_sets import claim_lake, ingest_source
from include.lake import layout
from include.records import SOURCES
from include.settings import Settings
from tests.pictures import plain


def test_the_sample_is_drawn_the_same_each_time():
    assert list(draw_sample("cats", count=3)) == list(draw_sample("cats", count=3))
    assert list(draw_sample("cats", count=3)) != list(draw_sample("cats", count=3, seed=1))
    for source in SOURCES:
        assert len(set(draw_sample(source, count=20))) == 20


def test_photos_enter_under_the_hash_of_their_bytes(store, tmp_path):
    (tmp_path / "cats/deeper").mkdir(parents=True)
    (tmp_path / "cats/a.jpg").write_bytes(plain("red"))
    (tmp_path / "cats/deeper/b.png").write_bytes(plain("blue", kind="PNG"))
    (tmp_path / "cats/.hidden").write_bytes(b"x")
    counts = ingest_source(store, "cats", base_data=str(tmp_path), seed=0)
    assert counts == {"seen": 2, "new": 2, "in_lake": 2}
    expected = {layout.base("cats", hashlib.sha256(plain("red")).hexdigest()): plain("red")}
    assert expected.items() <= {key: store.read(key) for key in store.keys(layout.BASE)}.items()


def test_ingesting_twice_writes_nothing(lake, tmp_path, monkeypatch):
    (tmp_path / "dogs").mkdir()
    (tmp_path / "dogs/a.jpg").write_bytes(plain("red"))
    (tmp_path / "dogs/same.jpg").write_bytes(plain("red"))
    ingest_source(lake, "dogs", base_data=str(tmp_path), seed=0)
    monkeypatch.setattr(lake, "write", lambda *_: pytest.fail("wrote what stood there already"))
    assert ingest_source(lake, "dogs", base_data=str(tmp_path), seed=0) == {"seen": 2, "new": 0, "in_lake": 1}


def test_a_missing_folder_is_named_with_the_cure(lake, tmp_path):
    with pytest.raises(BaseDataMissing, match=r"misc.*CAT_BASE_DATA"):
        ingest_source(lake, "misc", base_data=str(tmp_path), seed=0)


def test_a_lake_belongs_to_its_first_base_set(store, tmp_path):
    mine, other = Settings(seed=7), Settings(base_data=str(tmp_path), seed=8)
    assert claim_lake(store, mine) == claim_lake(store, mine) == {"base_set": mine.base_set, "seed": 7}
    with pytest.raises(OtherBaseSet, match=mine.base_set):
        claim_lake(store, other)
