"""What the gate decides in a real Airflow, and a close call that a person settles. Each test needs those before."""

import time
from dataclasses import asdict, replace
from typing import Any

import pytest

from include.dataset.manifest import read_manifest
from include.ingestion.reviews import save_review
from include.lake import layout
from include.lake.formats import json_sha256, read_json, to_json
from include.promotion.comparison import read_decision
from include.promotion.manual import promote_version
from include.question import POSITIVE
from include.records import KEEP, PROMOTE, Decision, Review, Rule
from include.registry.versions import champion_version, find_version, reference_version
from include.serving.client import live
from stack.airflow_api import ENDED
from stack.demo import follow
from tests.functional.conftest import Loop

SETTINGS = {"CAT_GATE__CLOSE_CALLS": "ask", "CAT_VALIDATION__STOPS": "none"}
pytestmark = [
    pytest.mark.functional,
    pytest.mark.slow,
    pytest.mark.parametrize("loop", [SETTINGS], indirect=True, scope="module"),
]
Runs = dict[str, str]


@pytest.fixture(scope="module")
def runs() -> Runs:
    """The ids of the runs that later tests look at."""
    return {}


def decision_of(loop: Loop, run: str) -> Decision:
    return read_decision(loop.lake, run)


def note_of(loop: Loop, run: str) -> str:
    return str(loop.api._send("GET", f"/dags/retrain/dagRuns/{run}")["note"])


def test_the_first_model_is_the_reference(loop: Loop, runs: Runs) -> None:
    loop.run("ingest_base_datasets")
    runs["first"], _ = loop.run("retrain")
    assert decision_of(loop, runs["first"]).outcome == "better"
    assert champion_version(loop.client) == reference_version(loop.client) == find_version(loop.client, "1")
    assert note_of(loop, runs["first"]).startswith("Version 1 reaches the floors")


def test_an_equal_model_is_promoted_and_the_reference_stays(loop: Loop, runs: Runs) -> None:
    runs["equal"], states = loop.run("retrain", force=True)
    assert states["release.redeploy"] == "success"
    assert states["release.ask_person"] == states["release.follow_answer"] == "skipped"
    decision = decision_of(loop, runs["equal"])
    assert decision.outcome == "better"
    assert decision.comparisons[0].overall.value == 0, "same photos, same seed, same machine: the same model"
    names = {rule.name for rule in decision.rules}
    assert {"as fast as the champion", "as small as the champion", "no slice worse than with the champion"} <= names
    assert champion_version(loop.client) == find_version(loop.client, "2")
    assert reference_version(loop.client) == find_version(loop.client, "1")
    events = loop.api._send("GET", "/assets/events", params={"order_by": "-timestamp"})["asset_events"]
    assert events[0]["extra"]["decision"] == note_of(loop, runs["equal"])


def test_in_a_close_call_a_person_is_asked_and_the_next_run_waits(loop: Loop, runs: Runs) -> None:
    """The decision of the last run becomes a close call by hand: what follows it is all real."""
    promote_version(loop.client, "1", loop.stack.settings)
    plant_close_call(loop, runs["equal"])
    clear_from_gate(loop, runs["equal"])
    wait_for_question(loop, runs["equal"])
    runs["waiting"] = loop.api.trigger("retrain", {"force": True})
    time.sleep(5)
    assert loop.api.run_state("retrain", runs["waiting"]) == "queued"
    assert note_of(loop, runs["equal"]).startswith("Version 2 is a close call")
    assert "Required Actions, and the next run waits meanwhile" in note_of(loop, runs["equal"])
    details = loop.api._send("GET", f"{question(runs['equal'])}/hitlDetails")
    assert details["subject"] == "Close call: promote version 2?"
    assert details["options"] == [PROMOTE, KEEP]
    assert "Version 2 is a close call" in details["body"]
    assert "/artifacts/evaluation/decision.html" in details["body"]


def test_the_answer_is_followed_and_who_and_why_are_kept(loop: Loop, runs: Runs) -> None:
    answer(loop, runs["equal"], PROMOTE, why="the lost photos are drawings")
    assert follow(loop.stack, loop.api, "retrain", runs["equal"]) == "success"
    assert loop.states("retrain", runs["equal"])["release.redeploy"] == "success"
    version = find_version(loop.client, "2")
    assert champion_version(loop.client) == version
    assert live(loop.live_url)["sha256"] == version.sha256
    tags = loop.client.get_model_version(loop.client.name, "2").tags
    assert (tags["close_call"], tags["close_call_why"]) == ("promoted by admin", "the lost photos are drawings")
    assert note_of(loop, runs["equal"]).endswith("Promoted by admin. Reason: the lost photos are drawings.")
    assert follow(loop.stack, loop.api, "retrain", runs["waiting"]) == "success", "it has waited"


def test_an_answer_does_not_count_once_the_champion_has_moved_on(loop: Loop, runs: Runs) -> None:
    plant_close_call(loop, runs["waiting"])
    promote_version(loop.client, "2", loop.stack.settings)
    clear_from_gate(loop, runs["waiting"])
    wait_for_question(loop, runs["waiting"])
    promote_version(loop.client, "1", loop.stack.settings)
    answer(loop, runs["waiting"], PROMOTE, why="it looks fine")
    assert follow(loop.stack, loop.api, "retrain", runs["waiting"]) == "success"
    assert loop.states("retrain", runs["waiting"])["release.keep_champion"] == "success"
    assert "Admin promoted it, too late: the champion had moved on" in note_of(loop, runs["waiting"])
    assert champion_version(loop.client) == find_version(loop.client, "1")


def test_a_model_that_learned_turned_labels_of_one_source_is_not_better(loop: Loop) -> None:
    """Reviews are final, so they turn labels past the label checks; the data checks are told to stop nothing."""
    manifest = read_manifest(loop.lake, last_dataset(loop))
    dogs = manifest[(manifest["source"] == "dogs") & (manifest["split"] == "train")]
    for name in dogs["sha256"].iloc[: int(0.7 * len(dogs))]:
        review = Review(name, "relabel", "a vandal", "2026-01-01T00:00:00+00:00", POSITIVE)
        save_review(loop.lake, review)
    champion = champion_version(loop.client)
    run, states = loop.run("retrain")
    decision = decision_of(loop, run)
    assert decision.outcome == "not better"
    failed = {rule.name: rule.reason for rule in decision.rules if rule.result == "failed"}
    assert {"not worse than the champion", "no slice worse than with the champion"} <= set(failed)
    assert "dogs: " in failed["no slice worse than with the champion"]
    assert states["release.keep_champion"] == "success"
    assert states["release.redeploy"] == states["release.ask_person"] == "skipped"
    assert champion_version(loop.client) == champion
    assert note_of(loop, run).startswith(f"Version {decision.challenger} is not better.")


def last_dataset(loop: Loop) -> str:
    run = read_json(loop.lake, layout.LATEST_RUN)["run"]
    return str(read_json(loop.lake, layout.run_report(run))["dataset"])


def plant_close_call(loop: Loop, run: str) -> None:
    """As if the photos could not settle it; the rule says by whom it was planted."""
    (key,) = (key for key in loop.lake.keys(layout.of_run(run) + "decisions/") if key.endswith(".json"))
    decision = Decision.of(read_json(loop.lake, key))
    rule = Rule("not worse than the champion", "close call", "planted by a test")
    close = replace(decision, outcome="close call", rules=(*decision.rules, rule))
    loop.lake.write(layout.decision_page(run, json_sha256(asdict(close))), b"planted by a test")
    loop.lake.write(key, to_json(asdict(close)))


def clear_from_gate(loop: Loop, run: str) -> None:
    clear: dict[str, Any] = {"dag_run_id": run, "only_failed": False, "dry_run": False, "reset_dag_runs": True}
    clear |= {"task_ids": ["release.gate"], "include_downstream": True}
    loop.api._send("POST", "/dags/retrain/clearTaskInstances", json=clear)


def question(run: str) -> str:
    return f"/dags/retrain/dagRuns/{run}/taskInstances/release.ask_person/-1"


def wait_for_question(loop: Loop, run: str) -> None:
    while loop.states("retrain", run)["release.ask_person"] != "awaiting_input":
        assert loop.api.run_state("retrain", run) not in ENDED
        time.sleep(1)
    time.sleep(3)  # an answer in the first second fails the task, which is then tried again


def answer(loop: Loop, run: str, option: str, *, why: str) -> None:
    given = {"chosen_options": [option], "params_input": {"why": why}}
    loop.api._send("PATCH", f"{question(run)}/hitlDetails", json=given)
