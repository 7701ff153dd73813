"""Progress of a long task: what is in the lake, and how often it is written."""

from pathlib import Path

import pytest

from include.lake import layout, progress
from include.lake.formats import read_json
from include.lake.local import LocalStore
from include.lake.progress import Progress

KEY = layout.progress("r1", "train")


class CountingStore(LocalStore):
    """A lake that counts writes."""

    writes = 0

    def write(self, key: str, body: bytes) -> None:
        self.writes += 1
        super().write(key, body)


@pytest.fixture
def counting(tmp_path: Path) -> CountingStore:
    return CountingStore(tmp_path / "lake")


def test_a_task_that_begins_overwrites_what_an_earlier_try_left(counting: CountingStore) -> None:
    Progress(counting, KEY, total=10, unit="epochs", done=7)
    Progress(counting, KEY, total=20, unit="epochs")
    assert read_json(counting, KEY) == {"done": 0, "total": 20, "unit": "epochs"}


def test_steps_within_the_interval_are_not_written(counting: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "INTERVAL", float("inf"))
    steps = Progress(counting, KEY, total=10_000, unit="photos")
    for _ in range(9_999):
        steps.advance()
    assert counting.writes == 1
    assert steps.done == 9_999


def test_each_step_after_the_interval_is_written(counting: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    steps = Progress(counting, KEY, total=100, unit="photos")
    steps.advance(30)
    steps.advance(12)
    assert read_json(counting, KEY) == {"done": 42, "total": 100, "unit": "photos"}
    assert counting.writes == 3


def test_the_end_is_written_even_within_the_interval(counting: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "INTERVAL", float("inf"))
    steps = Progress(counting, KEY, total=100, unit="photos")
    steps.advance(99)
    steps.advance(1)
    assert read_json(counting, KEY)["done"] == 100


def test_progress_of_a_shard_is_among_that_of_its_run(lake: LocalStore) -> None:
    key = layout.shard_progress(layout.shard("r1", 3))
    Progress(lake, key, total=1, unit="photos")
    assert list(lake.keys(layout.progress("r1"))) == ["runs/r1/progress/describe-00003.json"]
