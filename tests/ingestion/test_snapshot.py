"""What a run freezes at its start, and when there is nothing for it to do."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import DatasetError, InvalidKey, ObjectNotFound, OtherLake
from include.ingestion import snapshot
from include.ingestion.reviews import save_review
from include.ingestion.uploads import save_feedback
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.params import RetrainParams
from include.question import Question
from include.records import Review
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
    snapshot.mark_decided(base_lake, "r2", PARAMS, Settings())
    assert not is_new(base_lake, "r3")
    assert is_new(base_lake, "r2"), "a cleared run may run again"
    assert is_new(base_lake, "r4", RetrainParams(1000, 2, 0.5, 0.5)), "another param"
    assert is_new(base_lake, "r4", settings=Settings(l2_penalty=1)), "another recipe"
    poor = Policy(quality=Quality(min_side=100))
    assert is_new(base_lake, "r4", settings=Settings(policy=poor)), "another policy"
    assert is_new(base_lake, "r5", RetrainParams(1000, 1, 0.5, 0.5, force=True))
    give(base_lake, "new", plain(), "positive")
    assert is_new(base_lake, "r6")
    snapshot.mark_decided(base_lake, "r6", PARAMS, Settings())
    save_feedback(base_lake, "new", "positive")
    assert not is_new(base_lake, "r7"), "the same answer again is nothing new"
    save_feedback(base_lake, "new", "negative")
    assert is_new(base_lake, "r8")
    base_lake.write(layout.tombstone(layout.upload_photo("new")), b"{}")
    assert is_new(base_lake, "r9")


@pytest.mark.parametrize("name", ["CONTRACT", "VERSION", "POLICY_VERSION"])
def test_another_contract_backbone_or_policy_makes_a_run_new(
    base_lake: LocalStore, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    is_new(base_lake, "r1")
    snapshot.mark_decided(base_lake, "r1", PARAMS, Settings())
    assert not is_new(base_lake, "r2")
    monkeypatch.setattr(snapshot, name, "another")
    assert is_new(base_lake, "r3")


def test_an_empty_lake_names_the_cure(lake: LocalStore) -> None:
    with pytest.raises(DatasetError, match="ingest_base_datasets"):
        snapshot.snapshot_base(lake, "r", QUESTION)


def test_a_review_of_a_base_photo_makes_a_run_new(base_lake: LocalStore) -> None:
    is_new(base_lake, "r1")
    snapshot.mark_decided(base_lake, "r1", PARAMS, Settings())
    assert not is_new(base_lake, "r2")
    sha256 = layout.parse_base(next(base_lake.keys(layout.BASE))).sha256
    save_review(base_lake, Review(sha256, "drop", "ann", "2026-01-02T00:00:00+00:00"))
    assert is_new(base_lake, "r3")


def test_other_words_for_the_question_are_nothing_new(base_lake: LocalStore) -> None:
    is_new(base_lake, "r1")
    snapshot.mark_decided(base_lake, "r1", PARAMS, Settings())
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


def frozen(store: ObjectStore, run: str) -> list[str]:
    """The photos of a run, after its first or a later try."""
    snapshot.snapshot_base(store, run, QUESTION)
    snapshot.snapshot_uploads(store, run)
    return [key for table in snapshot.read_snapshot(store, run) for key in table["key"]]


def test_a_cleared_run_keeps_the_photos_and_labels_of_its_first_try(
    store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    fill_base(store, per_source=2)
    give(store, "old", plain(), "positive")
    first = frozen(store, "r")
    before = [store.read(key) for key in (layout.run_base("r"), layout.run_uploads("r"))]
    add_base(store, "cats", drawing("cats", 10))
    give(store, "new", plain("blue"), "positive")
    save_feedback(store, "old", "negative")
    with caplog.at_level("INFO", "include"):
        assert frozen(store, "r") == first
    assert [store.read(key) for key in (layout.run_base("r"), layout.run_uploads("r"))] == before
    assert "1 photos came after the first try of this run: they count from the next run on" in caplog.text
    assert len(frozen(store, "r2")) == len(first) + 2


@pytest.mark.parametrize("gone", ["base", "upload", "forgotten"])
def test_a_run_whose_photos_are_gone_is_refused_before_anything_is_trained(base_lake: LocalStore, gone: str) -> None:
    give(base_lake, "given", plain(), "positive")
    frozen(base_lake, "r")
    base = next(base_lake.keys(layout.BASE))
    if gone == "base":
        base_lake.delete(base)
    elif gone == "upload":
        base_lake.delete(layout.upload_record("given"))
    else:
        base_lake.write(layout.tombstone(layout.upload_photo("given")), b"{}")
    with pytest.raises(DatasetError, match="1 photos of the run 'r' are gone.*Trigger retrain again"):
        frozen(base_lake, "r")
    frozen(base_lake, "r2")


@pytest.mark.parametrize("run", ["", ".", "..", "x" * 250, "ä" * 40])
def test_an_id_that_cannot_be_a_key_is_refused_by_the_first_tasks(base_lake: LocalStore, run: str) -> None:
    for first in (
        lambda: snapshot.snapshot_base(base_lake, run, QUESTION),
        lambda: snapshot.snapshot_uploads(base_lake, run),
    ):
        with pytest.raises(InvalidKey, match="cannot name a run: give it 1 to 200 letters"):
            first()
    assert not list(base_lake.keys("runs/"))


@settings(max_examples=12)
@given(st.lists(st.sampled_from(["base", "upload", "answer", "snapshot", "forget"]), max_size=12))
def test_whatever_happens_to_the_lake_a_run_means_one_thing_or_is_refused(events: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = LocalStore(Path(folder))
        fill_base(store, per_source=1)
        give(store, "u", plain(), "positive")
        first = frozen(store, "r")
        for number, event in enumerate(events):
            change_lake(store, event, number)
            if event == "snapshot" and "forget" in events[:number]:
                with pytest.raises(DatasetError, match="are gone"):
                    frozen(store, "r")
            elif event == "snapshot":
                assert frozen(store, "r") == first


def change_lake(store: LocalStore, event: str, number: int) -> None:
    if event == "base":
        add_base(store, "cats", f"photo {number}".encode())
    elif event == "upload":
        give(store, f"u{number}", plain(), "negative")
    elif event == "answer":
        save_feedback(store, "u", ("negative", "positive", "neither")[number % 3])
    elif event == "forget":
        store.delete(layout.upload_record("u"))
