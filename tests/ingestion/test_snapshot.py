"""What a run freezes at its start, and when there is nothing for it to do."""

import pytest

from include.errors import DatasetError, ObjectNotFound, OtherLake
from include.ingestion import snapshot
from include.ingestion.reviews import save_review
from include.ingestion.uploads import save_feedback
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.question import Question
from include.records import RetrainParams, Review
from include.settings import Policy, Quality, Settings
from tests.pictures import QUESTION, add_base, drawing, fill_base, give, plain

PARAMS = RetrainParams(images_per_source=1000, epochs=1, min_precision=0.5, min_recall=0.5)


@pytest.fixture
def base_lake(lake: LocalStore) -> LocalStore:
    """A lake with drawings, none of them described."""
    fill_base(lake, per_source=2)
    return lake


def is_new(store: ObjectStore, run: str, params: RetrainParams = PARAMS, settings: Settings | None = None) -> bool:
    snapshot.snapshot_base(store, run, QUESTION)
    snapshot.snapshot_uploads(store, run)
    return snapshot.anything_new(store, run, params, settings or Settings())


def test_nothing_is_new_until_something_is(base_lake: LocalStore) -> None:
    assert is_new(base_lake, "r1")
    assert is_new(base_lake, "r2"), "no run is decided yet"
    snapshot.mark_decided(base_lake, "r2")
    assert not is_new(base_lake, "r3")
    assert is_new(base_lake, "r2"), "a cleared run may run again"
    assert is_new(base_lake, "r4", RetrainParams(1000, 2, 0.5, 0.5)), "another param"
    assert is_new(base_lake, "r4", settings=Settings(l2_penalty=1)), "another recipe"
    poor = Policy(quality=Quality(min_side=100))
    assert is_new(base_lake, "r4", settings=Settings(policy=poor)), "another policy"
    assert is_new(base_lake, "r5", RetrainParams(1000, 1, 0.5, 0.5, force=True))
    give(base_lake, "new", plain(), "positive")
    assert is_new(base_lake, "r6")
    snapshot.mark_decided(base_lake, "r6")
    save_feedback(base_lake, "new", "positive")
    assert not is_new(base_lake, "r7"), "the same answer again is nothing new"
    save_feedback(base_lake, "new", "negative")
    assert is_new(base_lake, "r8")
    base_lake.write(layout.tombstone("new"), b"{}")
    assert is_new(base_lake, "r9")


@pytest.mark.parametrize("name", ["CONTRACT", "VERSION", "POLICY_VERSION"])
def test_another_contract_backbone_or_policy_makes_a_run_new(
    base_lake: LocalStore, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    is_new(base_lake, "r1")
    snapshot.mark_decided(base_lake, "r1")
    assert not is_new(base_lake, "r2")
    monkeypatch.setattr(snapshot, name, "another")
    assert is_new(base_lake, "r3")


def test_an_empty_lake_names_the_cure(lake: LocalStore) -> None:
    with pytest.raises(DatasetError, match="ingest_base_datasets"):
        snapshot.snapshot_base(lake, "r", QUESTION)


def test_a_review_of_a_base_photo_makes_a_run_new(base_lake: LocalStore) -> None:
    is_new(base_lake, "r1")
    snapshot.mark_decided(base_lake, "r1")
    assert not is_new(base_lake, "r2")
    sha256 = layout.parse_base(next(base_lake.keys(layout.BASE))).sha256
    save_review(base_lake, Review(sha256, "drop", "ann", "2026-01-02T00:00:00+00:00"))
    assert is_new(base_lake, "r3")


def test_other_words_for_the_question_are_nothing_new(base_lake: LocalStore) -> None:
    is_new(base_lake, "r1")
    snapshot.mark_decided(base_lake, "r1")
    assert not is_new(base_lake, "r2", settings=Settings(question=Question(noun="one cat", text="A cat?")))
    assert is_new(base_lake, "r2", settings=Settings(question=Question(positive=("cats", "dogs"))))


def test_a_lake_of_another_question_or_of_none_is_not_frozen(lake: LocalStore) -> None:
    add_base(lake, "cats", drawing("cats", 1))
    with pytest.raises(ObjectNotFound, match=layout.LAKE):
        snapshot.snapshot_base(lake, "r", QUESTION)
    fill_base(lake, per_source=1)
    with pytest.raises(OtherLake, match="Are you a cat"):
        snapshot.snapshot_base(lake, "r", Question(positive=("cats", "dogs")))
    assert not list(lake.keys("runs/"))
