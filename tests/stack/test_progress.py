"""What the demo prints about long tasks, with a clock and an Airflow that the tests drive."""

from types import SimpleNamespace
from typing import Any

import pytest

from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.lake.opening import open_lake
from include.lake.progress import Progress
from stack import demo
from stack.environment import local_settings
from stack.progress import LongTasks

RUN = "manual__2026-01-01T08:00:00+00:00"


def instance(task_id: str, state: str | None = "running", map_index: int = -1) -> dict:
    name = {"task_id": task_id, "map_index": map_index, "rendered_map_index": None}
    return name | {"state": state, "duration": None}


def shards(*states: str | None) -> list[dict]:
    return [instance("collect.describe", state, number) for number, state in enumerate(states)]


def describe_shard(lake: ObjectStore, number: int, *, done: int, total: int = 4000) -> None:
    key = layout.shard_progress(layout.shard(RUN, number))
    Progress(lake, key, total=total, unit="photos described", done=done)


def lines_after(lake: ObjectStore, tasks: list[dict], *, seconds: float = 10) -> list[str]:
    """The lines about tasks that have been running for so long."""
    long_tasks = LongTasks(lake, RUN)
    long_tasks.describe(tasks, now=0.0)
    return long_tasks.describe(tasks, now=seconds)


def test_the_shards_of_a_mapped_task_are_summed(lake: LocalStore) -> None:
    describe_shard(lake, 0, done=4000)
    describe_shard(lake, 1, done=264, total=4008)
    lines = lines_after(lake, shards("success", "running"))
    assert lines == ["collect.describe  4,264 of 8,008 photos described"]


def test_shards_that_wait_for_their_turn_are_counted(lake: LocalStore) -> None:
    describe_shard(lake, 0, done=1000)
    describe_shard(lake, 1, done=500)
    lines = lines_after(lake, shards("running", "running", None, "scheduled"))
    assert lines == ["collect.describe  1,500 of 8,000 photos described (2 of 4 parts begun)"]


def test_shards_of_an_earlier_try_with_more_of_them_do_not_count(lake: LocalStore) -> None:
    describe_shard(lake, 0, done=10, total=200)
    describe_shard(lake, 1, done=4000)
    assert lines_after(lake, shards("running")) == ["collect.describe  10 of 200 photos described"]


def test_progress_belongs_to_the_task_of_its_name(lake: LocalStore) -> None:
    Progress(lake, layout.progress(RUN, "train"), total=20, unit="epochs", done=3)
    lines = lines_after(lake, [instance("train.tune"), instance("train.train")])
    assert lines == ["train.tune  running for 10 s", "train.train  3 of 20 epochs"]


def test_a_long_task_has_a_line_every_ten_seconds(lake: LocalStore) -> None:
    long_tasks, tasks = LongTasks(lake, RUN), [instance("check.validate")]
    described = {now: long_tasks.describe(tasks, now=100.0 + now) for now in range(0, 36)}
    assert {now: lines for now, lines in described.items() if lines} == {
        10: ["check.validate  running for 10 s"],
        20: ["check.validate  running for 20 s"],
        30: ["check.validate  running for 30 s"],
    }


def test_short_tasks_and_those_that_ended_have_no_line(lake: LocalStore) -> None:
    assert lines_after(lake, [instance("collect.snapshot_base")], seconds=9.9) == []
    assert lines_after(lake, [instance("collect.snapshot_base", "success"), instance("train.train", None)]) == []


def test_the_clock_of_a_task_that_is_tried_again_starts_again(lake: LocalStore) -> None:
    long_tasks = LongTasks(lake, RUN)
    for now, state in ((0, "running"), (19, "running"), (20, "up_for_retry"), (21, "running"), (30, "running")):
        lines = long_tasks.describe([instance("train.train", state)], now=now)
        assert lines == (["train.train  running for 10 s"] if now == 19 else [])
    assert long_tasks.describe([instance("train.train")], now=31) == ["train.train  running for 10 s"]


class Airflow:
    """A run in which `validate` and a shard of `describe` run until the clock says 25 s."""

    def __init__(self, clock: list[float]) -> None:
        self.clock = clock

    def run_state(self, dag: str, run: str) -> str:
        return "success" if self.clock[0] > 25 else "running"

    def tasks(self, dag: str, run: str) -> list[dict]:
        state = self.run_state(dag, run)
        return [*shards(state), instance("check.validate", state)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass only where the demo sleeps."""
    seconds = [0.0]

    def sleep(duration: float) -> None:
        seconds[0] += duration

    fake = SimpleNamespace(sleep=sleep, monotonic=lambda: seconds[0], strftime=lambda _: f"08:00:{seconds[0]:02.0f}")
    monkeypatch.setattr(demo, "time", fake)
    return seconds


def test_following_a_run_prints_changes_and_what_long_tasks_do(clock: list[float]) -> None:
    settings = local_settings()
    describe_shard(open_lake(settings), 0, done=3264, total=8000)
    stack: Any = SimpleNamespace(settings=settings, check=lambda: None)
    api: Any = Airflow(clock)
    with demo.console.capture() as capture:
        assert demo.follow(stack, api, "retrain", RUN) == "success"
    assert [line.strip() for line in capture.get().splitlines()] == [
        "08:00:00  collect.describe [0]  running",
        "08:00:00  check.validate  running",
        "08:00:10  collect.describe  3,264 of 8,000 photos described",
        "08:00:10  check.validate  running for 10 s",
        "08:00:20  collect.describe  3,264 of 8,000 photos described",
        "08:00:20  check.validate  running for 20 s",
        "08:00:26  collect.describe [0]  success",
        "08:00:26  check.validate  success",
    ]
