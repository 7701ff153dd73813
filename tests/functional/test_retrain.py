"""The loop in a real Airflow on an S3 lake: from drawings to a live model, and again. The tests build up."""

import time

import pandas as pd
import pytest

from include.dataset import steps
from include.dataset.label_issues import DISAGREES
from include.dataset.manifest import digest_of, read_manifest, read_report
from include.errors import NoModelYet
from include.lake import layout
from include.lake.formats import read_json
from include.registry.versions import MODEL
from include.serving.client import live, predict
from include.training.mlflow_runs import connect
from stack.airflow_api import ENDED
from tests.pictures import drawing, drawing_on, give

pytestmark = pytest.mark.functional

PHOTO = drawing("cats", 1)


@pytest.fixture(scope="module")
def story() -> dict:
    """What one test leaves for the next."""
    return {}


def versions() -> list[str]:
    return [found.version for found in connect().search_model_versions(f"name = '{MODEL}'")]


def test_no_dag_starts_by_itself(loop):
    dags = ("ingest_base_datasets", "retrain", "predict_batch")
    for dag in dags:
        loop.api.unpause(dag)
    time.sleep(15)  # some twenty rounds of the scheduler
    assert [loop.api.runs(dag) for dag in dags] == [[], [], []]


def test_before_the_first_model_the_server_says_so(loop):
    with pytest.raises(NoModelYet):
        predict(loop.stack.settings.live_url, [PHOTO])


def test_without_base_photos_the_run_says_what_to_do(loop):
    run = loop.api.trigger("retrain", {})
    while loop.api.run_state("retrain", run) not in ENDED:
        time.sleep(1)
    failed = next(task for task in loop.api.tasks("retrain", run) if task["state"] == "failed")
    assert failed["task_id"] == "collect.snapshot_base"
    assert failed["try_number"] == 1, "our own errors are not retried"
    assert "run the DAG ingest_base_datasets first" in "\n".join(loop.api.log_lines("retrain", run, failed))


def test_base_photos_enter_once(loop):
    loop.run("ingest_base_datasets")
    keys = list(loop.lake.keys(layout.BASE))
    assert len(keys) == 800
    loop.run("ingest_base_datasets")
    assert list(loop.lake.keys(layout.BASE)) == keys


def test_retrain_brings_a_model_to_life(loop, story, tmp_path):
    run, states = loop.run("retrain")
    assert states.pop("release.keep_champion") == "skipped"
    assert set(states.values()) == {"success"}
    report = read_json(loop.lake, layout.run_json(run, "report"))
    assert versions() == [report["version"]] == ["1"]
    client = connect()
    model = versions.load(versions.fetch(client, "1", tmp_path), "1")
    answers = model.predict(pd.DataFrame({"image": [drawing("cats", 1), b"%PDF-1.7"]})).to_dict("records")
    assert answers[0]["is_cat"], "a drawn cat"
    assert answers[0]["model_version"] == "1"
    assert answers[1]["error"].startswith("not_an_image")
    rebuilt = steps.rebuild(loop.lake, report["dataset"], cache=loop.stack.settings.embedding_cache)
    assert digest_of(rebuilt) == report["dataset"]
    assert report["decision"]["predecessor"] is None
    assert report["champion"] == live(loop.stack.settings.live_url)["model_version"] == "1"
    story["first"] = report
    story["answer"] = predict(loop.stack.settings.live_url, [PHOTO])[0]
    assert story["answer"].model_version == "1"


def test_the_doorbell_asks_the_new_model_about_the_uploads(loop):
    while not loop.api.runs("predict_batch"):
        time.sleep(1)
    run = loop.api.runs("predict_batch")[0]["dag_run_id"]
    while loop.api.run_state("predict_batch", run) not in ENDED:
        time.sleep(1)
    assert loop.api.run_state("predict_batch", run) == "success"
    assert len(list(loop.lake.keys("predictions/"))) == 1


def test_what_travels_between_tasks_is_small(loop, story):
    for task in loop.api.tasks("retrain", story["first"]["run"]):
        path = f"/dags/retrain/dagRuns/{story['first']['run']}/taskInstances/{task['task_id']}/xcomEntries"
        for entry in loop.api._send("GET", path)["xcom_entries"]:
            answer = loop.api._send("GET", f"{path}/{entry['key']}", params={"map_index": entry["map_index"]})
            assert len(str(answer["value"])) < 48_000


def test_a_second_run_has_nothing_to_do(loop, story):
    run, states = loop.run("retrain")
    assert {task for task, state in states.items() if state == "success"} == {
        "collect.snapshot_base",
        "collect.snapshot_uploads",
        "collect.anything_new",
    }
    assert states["train.train"] == states["release.report"] == "skipped"
    assert versions() == ["1"]
    assert not loop.lake.exists(layout.run_json(run, "report"))


def test_uploads_make_a_third_with_a_new_digest(loop, story):
    for number in range(20):
        session, source = f"session {number % 5}", ("cats", "dogs")[number % 2]
        give(loop.lake, f"p{number:02}", drawing(source, 500 + number), ("cat", "not_cat")[number % 2], session=session)
    give(loop.lake, "z-copy", drawing("cats", 500), "cat")
    give(loop.lake, "conflict", drawing_on("train", "selfies"), "cat")
    give(loop.lake, "conflicted", drawing_on("train", "selfies"), "not_cat")
    give(loop.lake, "torn", drawing("cats", 600), "cat")
    loop.lake.write(layout.upload_photo("torn"), b"\xff\xd8 torn")
    run, _ = loop.run("retrain")
    report = read_json(loop.lake, layout.run_json(run, "report"))
    assert report["dataset"] != story["first"]["dataset"]
    assert versions() == ["2", "1"]
    _check_fates(loop, story, report["dataset"])
    assert report["decision"]["better"], report["decision"]
    assert report["decision"]["predecessor"] == "1"


def test_what_users_gave_has_changed_the_live_answer(loop, story):
    answer = predict(loop.stack.settings.live_url, [PHOTO])[0]
    assert answer.model_version == live(loop.stack.settings.live_url)["model_version"] == "2"
    assert answer.probability != story["answer"].probability


def _check_fates(loop, story, digest: str) -> None:
    told = read_report(loop.lake, digest)["photos"]
    statuses = {
        layout.photo_id_of(photo["key"]): photo["status"] for photo in told if photo["key"].startswith("uploads/")
    }
    assert len(statuses) == len([photo for photo in told if photo["key"].startswith("uploads/")]) == 24
    assert statuses["z-copy"] == "copy"
    assert statuses["conflict"] == statuses["conflicted"] == "conflict"
    assert statuses["torn"] == "quarantined"
    drawn = {status for name, status in statuses.items() if name.startswith("p")}
    assert {"used", "waiting for review"} <= drawn <= {"used", "waiting for review", DISAGREES}
    before, after = (read_manifest(loop.lake, d) for d in (story["first"]["dataset"], digest))
    used = {layout.photo_id_of(key) for key in after["key"] if key.startswith("uploads/")}
    assert used == {name for name, status in statuses.items() if status == "used"}
    sides = before.merge(after, on="key", suffixes=("", "_after"))
    assert len(sides) == len(before)
    assert (sides["split"] == sides["side_after"]).all()
