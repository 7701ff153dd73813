"""Runs that are cleared, and a registry that is made anew, in a real Airflow. Each test needs those before."""

from typing import Any

import pytest

from include.lake import layout
from include.lake.formats import read_json
from include.question import POSITIVE
from include.registry.versions import champion_version
from include.serving.client import live
from tests.functional.conftest import Loop
from tests.pictures import drawing_on, give

pytestmark = [pytest.mark.functional, pytest.mark.slow]


@pytest.fixture(scope="module")
def first(loop: Loop) -> dict[str, Any]:
    """The report of the first run, whose model is live."""
    loop.run("ingest_base_datasets")
    run, _ = loop.run("retrain")
    return dict(read_json(loop.lake, layout.run_report(run)))


def assert_live(loop: Loop, report: dict[str, Any]) -> None:
    """Registry, server and report mean the same version, by its sum."""
    champion = champion_version(loop.client)
    assert champion is not None
    assert champion.sha256 == live(loop.live_url)["sha256"] == report["sha256"]


def test_a_run_cleared_after_new_photos_means_what_it_meant(loop: Loop, first: dict[str, Any]) -> None:
    give(loop.lake, "late", drawing_on("train", "cats"), POSITIVE)
    assert loop.clear("retrain", first["run"]) == "success"
    assert read_json(loop.lake, layout.run_report(first["run"])) == first
    assert loop.versions() == ["1"]
    assert_live(loop, first)


def test_the_photos_that_came_later_are_judged_by_the_next_run(loop: Loop, first: dict[str, Any]) -> None:
    run, states = loop.run("retrain")
    assert states["train.train"] == "success", "the cleared run has not judged them"
    second = read_json(loop.lake, layout.run_report(run))
    assert second["dataset"] != first["dataset"]
    assert second["decision"]["predecessor"]["sha256"] == first["sha256"]


def test_an_older_run_is_not_repeated_once_the_champion_has_moved_on(loop: Loop, first: dict[str, Any]) -> None:
    forced, _ = loop.run("retrain", force=True)
    forced_report = read_json(loop.lake, layout.run_report(forced))
    assert forced_report["decision"]["outcome"] == "better", forced_report["decision"]
    assert loop.clear("retrain", first["run"]) == "failed"
    failed = next(task for task in loop.api.tasks("retrain", first["run"]) if task["state"] == "failed")
    log = "\n".join(loop.api.log_lines("retrain", first["run"], failed))
    assert (failed["task_id"], "trigger retrain again" in log) == ("collect.anything_new", True)
    assert_live(loop, forced_report)


def test_a_model_that_is_registered_anew_is_another_version_with_the_old_number(loop: Loop) -> None:
    loop.client.delete_registered_model(loop.client.name)
    run, _ = loop.run("retrain", force=True)
    report = read_json(loop.lake, layout.run_report(run))
    assert loop.versions() == [report["version"]] == ["1"]
    assert_live(loop, report)
