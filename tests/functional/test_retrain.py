"""The loop in a real Airflow on an S3 lake: from drawings and visitors' photos to a live model.

Each test needs those before. What a second model meets is in test_gate_runs.py.
"""

import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.dataset import steps
from include.dataset.manifest import digest_of, read_manifest, read_report
from include.errors import NoModelYet
from include.lake import layout
from include.lake.formats import read_json, write_json
from include.question import NEGATIVE, POSITIVE
from include.registry.versions import download_and_verify, find_version, load
from include.serving.client import live, predict
from include.status import Status
from stack.airflow_api import ENDED
from tests.functional.conftest import Loop
from tests.models import QUESTION
from tests.pictures import add_base, drawing, drawing_on, give

pytestmark = pytest.mark.functional

PHOTO = drawing("cats", 1)
Story = dict[str, Any]


@pytest.fixture(scope="module")
def story() -> Story:
    """What one test writes down for the next."""
    return {}


def test_no_dag_starts_by_itself(loop: Loop) -> None:
    dags = ("ingest_base_datasets", "retrain", "predict_batch")
    for dag in dags:
        loop.api.unpause(dag)
    time.sleep(15)  # some twenty rounds of the scheduler
    assert [loop.api.runs(dag) for dag in dags] == [[], [], []]


def test_before_the_first_model_the_server_has_none(loop: Loop) -> None:
    with pytest.raises(NoModelYet):
        predict(loop.live_url, [PHOTO])


def test_without_base_photos_the_run_names_the_cure(loop: Loop) -> None:
    failed, log = loop.run_to_failure("retrain")
    assert failed["task_id"] == "collect.snapshot_base"
    assert failed["try_number"] == 1, "wrong input is not retried"
    assert "run the DAG ingest_base_datasets first" in log


@pytest.mark.slow
def test_a_lake_of_an_older_version_is_rejected_with_the_cure(loop: Loop) -> None:
    """Its lake.json names no question, and it holds a photo: an empty lake would be claimed anew."""
    settings, photo = loop.stack.settings, add_base(loop.lake, "cats", PHOTO)
    write_json(loop.lake, layout.LAKE, {"base_set": settings.base_set, "seed": settings.seed})
    failed, log = loop.run_to_failure("ingest_base_datasets")
    loop.lake.delete(layout.LAKE)
    loop.lake.delete(photo)
    assert (failed["task_id"], failed["try_number"]) == ("claim_lake", 1)
    (sentence,) = {line.partition("OtherLake: ")[2] for line in log.splitlines() if "OtherLake: " in line}
    assert sentence.startswith("this lake belongs to another question (of an older version): set ")
    assert "CAT_LAKE_URL" in sentence
    assert "run ingest_base_datasets and retrain once" in sentence
    assert list(loop.lake.keys(layout.BASE)) == []


def test_base_photos_are_ingested_once(loop: Loop) -> None:
    loop.run("ingest_base_datasets")
    keys = list(loop.lake.keys(layout.BASE))
    assert len(keys) == 800
    loop.run("ingest_base_datasets")
    assert list(loop.lake.keys(layout.BASE)) == keys


def test_retrain_ends_with_a_live_model(loop: Loop, story: Story, tmp_path: Path) -> None:
    give_uploads(loop)
    run, states = loop.run("retrain")
    assert states.pop("release.keep_champion") == "skipped"
    assert set(states.values()) == {"success"}
    report = read_json(loop.lake, layout.run_report(run))
    assert loop.versions() == [report["version"]] == ["1"]
    model = load(download_and_verify(loop.client, find_version(loop.client, "1"), tmp_path, QUESTION), "1")
    answers = model.predict(pd.DataFrame({"image": [PHOTO, b"%PDF-1.7"]})).to_dict("records")
    assert answers[0]["is_positive"], "a drawn cat"
    assert answers[0]["model_version"] == "1"
    assert answers[1]["error"].startswith("not_an_image")
    rebuilt = steps.rebuild(loop.lake, report["dataset"], QUESTION, cache=loop.stack.settings.embedding_cache)
    assert digest_of(rebuilt) == report["dataset"]
    assert (report["decision"]["outcome"], report["decision"]["predecessor"]) == ("better", None)
    assert report["champion"] == live(loop.live_url)["model_version"] == "1"
    assert report["sha256"] == live(loop.live_url)["sha256"]
    assert loop.api._send("GET", f"/dags/retrain/dagRuns/{run}")["note"] == report["summary"]
    story["first"] = report
    assert predict(loop.live_url, [PHOTO])[0].model_version == "1"


def test_each_upload_has_the_status_that_it_deserves(loop: Loop, story: Story) -> None:
    digest = story["first"]["dataset"]
    uploads = [photo for photo in read_report(loop.lake, digest)["photos"] if photo["key"].startswith(layout.UPLOADS)]
    statuses = {layout.photo_id_of(photo["key"]): photo["status"] for photo in uploads}
    assert len(statuses) == len(uploads) == 24
    assert statuses["z-copy"] == Status.NEAR_DUPLICATE
    assert statuses["conflict"] == statuses["conflicted"] == Status.CONFLICTING_LABELS
    assert statuses["torn"] == Status.QUARANTINED
    drawn = {status for name, status in statuses.items() if name.startswith("p")}
    expected = {Status.USED, Status.UNREVIEWED_HOLDOUT}
    assert expected <= drawn <= expected | {Status.DISAGREES_WITH_BASE}
    keys = read_manifest(loop.lake, digest)["key"]
    used = {layout.photo_id_of(key) for key in keys if key.startswith(layout.UPLOADS)}
    assert used == {name for name, status in statuses.items() if status == Status.USED}


def give_uploads(loop: Loop) -> None:
    """Twenty drawings of visitors; a copy, a conflict, and bytes that are no photo."""
    for number in range(20):
        session, source = f"session {number % 5}", ("cats", "dogs")[number % 2]
        answer = (POSITIVE, NEGATIVE)[number % 2]
        give(loop.lake, f"p{number:02}", drawing(source, 500 + number), answer, session=session)
    give(loop.lake, "z-copy", drawing("cats", 500), POSITIVE)
    give(loop.lake, "conflict", drawing_on("train", "selfies"), POSITIVE)
    give(loop.lake, "conflicted", drawing_on("train", "selfies"), NEGATIVE)
    give(loop.lake, "torn", drawing("cats", 600), POSITIVE)
    loop.lake.write(layout.upload_photo("torn"), b"\xff\xd8 torn")


def test_the_asset_event_starts_a_batch_prediction_of_the_uploads(loop: Loop) -> None:
    while not loop.api.runs("predict_batch"):
        time.sleep(1)
    run = loop.api.runs("predict_batch")[0]["dag_run_id"]
    while loop.api.run_state("predict_batch", run) not in ENDED:
        time.sleep(1)
    assert loop.api.run_state("predict_batch", run) == "success"
    assert len(list(loop.lake.keys("predictions/"))) == 1


def test_what_tasks_return_is_small(loop: Loop, story: Story) -> None:
    for task in loop.api.tasks("retrain", story["first"]["run"]):
        path = f"/dags/retrain/dagRuns/{story['first']['run']}/taskInstances/{task['task_id']}/xcomEntries"
        for entry in loop.api._send("GET", path)["xcom_entries"]:
            answer = loop.api._send("GET", f"{path}/{entry['key']}", params={"map_index": entry["map_index"]})
            assert len(str(answer["value"])) < 48_000


def test_a_second_run_has_nothing_to_do(loop: Loop, story: Story) -> None:
    run, states = loop.run("retrain")
    assert {task for task, state in states.items() if state == "success"} == {
        "collect.preflight",
        "collect.snapshot_base",
        "collect.snapshot_uploads",
        "collect.anything_new",
    }
    assert states["train.train"] == states["release.report"] == "skipped"
    assert loop.versions() == ["1"]
    assert not loop.lake.exists(layout.run_report(run))
