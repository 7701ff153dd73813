"""The pinned extractor: trained once for a lake, and each photo's features worked out once."""

import numpy as np
import pytest

from include.data import dataset, facts, features, snapshot
from include.data.features import EXTRACTOR, read_features
from include.errors import DatasetError
from include.lake import layout
from include.model import extractor
from include.model.network import build_network
from include.settings import SUITING, Policy
from tests.pictures import drawing, fill_base, give


def begin(store, run: str) -> None:
    snapshot.snapshot_base(store, run)
    snapshot.snapshot_uploads(store, run)
    for shard in facts.list_undescribed(store, run, shard_size=100):
        facts.describe(store, shard)
    dataset.deduplicate(store, run, Policy())


def usable(store, run: str):
    photos = dataset.read_deduplicated(store, run)
    return photos[photos["fate"].isna()]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(extractor, "STAGES", ((64, 1, 2e-3), (96, 1, 1e-3)))


def test_features_are_worked_out_once_by_a_network_that_stays(lake, tmp_path, quick, monkeypatch):
    fill_base(lake, per_source=20)
    begin(lake, "r1")
    with pytest.raises(DatasetError, match="embed"):
        read_features(lake, usable(lake, "r1"))
    assert extractor.embed(lake, "r1", cache=tmp_path / "pixels", seed=1) == {"embedded": 80}
    before = read_features(lake, usable(lake, "r1"))
    assert before.shape[0] == 80
    assert np.linalg.norm(before, axis=1) == pytest.approx(np.ones(80), abs=1e-3)

    network = lake.read(layout.extractor(EXTRACTOR))
    give(lake, "new", drawing("cats", 30_000), "cat")
    begin(lake, "r2")
    monkeypatch.setattr(extractor, "train_extractor", None)  # a lake trains it once
    assert extractor.embed(lake, "r2", cache=tmp_path / "pixels", seed=2) == {"embedded": 1}
    assert lake.read(layout.extractor(EXTRACTOR)) == network
    after = read_features(lake, usable(lake, "r2"))
    assert np.array_equal(after[:80], before)
    assert all("/new/" in key for key in lake.keys(layout.UPLOADS)), "an upload's features lie in its own folder"
    assert lake.exists(layout.upload_features("new", EXTRACTOR))


def test_it_is_given_the_photos_that_training_sees_so_that_they_are_decoded_once():
    assert SUITING["scratch"]["image_size"] == extractor.SIZE


def test_a_later_stage_goes_on_with_the_weights_of_the_one_before():
    small = build_network(image_size=64)
    for mine, other in zip(extractor._as_large(small, 96).get_weights(), small.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.slow
def test_a_killed_embed_leaves_the_same_features(lake, tmp_path, quick, monkeypatch):
    fill_base(lake, per_source=20)
    begin(lake, "r")
    monkeypatch.setattr(extractor, "AT_ONCE", 32)
    extractor.embed(lake, "r", cache=tmp_path / "pixels", seed=1)
    whole = read_features(lake, usable(lake, "r"))
    last = list(lake.keys(layout.base_features(EXTRACTOR)))[-1]
    lake.delete(last)
    lake.delete(layout.extractor(EXTRACTOR))
    assert 0 < len(features.without_features(lake, usable(lake, "r"))) < 80
    extractor.embed(lake, "r", cache=tmp_path / "pixels", seed=1)
    assert np.array_equal(read_features(lake, usable(lake, "r")), whole)
