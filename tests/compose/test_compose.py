"""docker-compose.yaml for real: built, started, used, broken, saved and restored. The tests go in this order."""

import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from app import say, services
from include.lake import layout
from include.lake.formats import read_json, read_table
from include.registry.versions import champion_version
from include.training.mlflow_runs import connect
from stack.demo import follow
from stack.secret_files import SECRETS
from tests.compose.conftest import INITS, System
from tests.compose.images import docker
from tests.functional.test_kills import wait_into
from tests.pictures import drawing
from tests.stack.test_mlflow_access import API, ARTIFACT

pytestmark = [pytest.mark.compose, pytest.mark.slow]
OURS = {"app": 450, "mlflow": None, "server": None, "airflow": None}  # the most MB of our own layers
ASK = """
from app import services
verdict = services.predict_live(services.clean({photo!r}))
print(verdict.model_version, verdict.is_positive)
"""
LOGIN_FREE = {
    ("app", "/"), ("app", "/_stcore/health"), ("mlflow", "/health"),
    ("model-server", "/ping"), ("model-server", "/health"), ("model-server", "/version"),
    ("airflow-api", "/api/v2/version"), ("airflow-api", "/api/v2/monitor/health"),
}  # fmt: skip


@pytest.fixture(scope="session")
def started(system: System) -> System:
    system.compose("build")
    system.figures["up to healthy, s"] = round(system.up())
    return system


@pytest.fixture(scope="session")
def live(started: System) -> System:
    """The system after one round of the loop: a champion serves."""
    started.follow("ingest_base_datasets")
    started.figures["run"] = started.follow("retrain")
    return started


def test_it_builds_and_every_container_becomes_healthy(started: System, capsys: pytest.CaptureFixture[str]) -> None:
    python = started.environment.get("CAT_PYTHON_IMAGE", "python:3.12-slim-bookworm")
    base = int(docker("image", "inspect", python, "--format", "{{.Size}}"))
    with capsys.disabled():
        for image, most in OURS.items():
            size = int(docker("image", "inspect", f"are-you-a-cat/{image}:local", "--format", "{{.Size}}"))
            own = (size - base) / 1e6
            sys.stdout.write(f"\nimage {image}: {size / 1e6:,.0f} MB, of which our layers {own:,.0f} MB")
            assert most is None or own <= most
        sys.stdout.write(f"\nfrom `up` to healthy: {started.figures['up to healthy, s']} s\n")


def test_nothing_runs_as_root_and_everything_has_limits(started: System) -> None:
    for service, container in started.containers().items():
        assert container["HostConfig"]["Memory"] > 0, service
        assert container["HostConfig"]["NanoCpus"] > 0, service
        assert service in INITS or container["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped", service
        assert service in INITS or container["Config"]["Healthcheck"], service
        if service not in ("postgres", "redis", "s3"):  # these images drop root by themselves
            user = container["Config"]["User"]
            assert not user.startswith("0"), service


def test_every_port_is_on_loopback(started: System) -> None:
    for service, container in started.containers().items():
        for bindings in (container["HostConfig"]["PortBindings"] or {}).values():
            assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}, service


def test_the_loop_turns_and_the_app_answers_with_its_model(live: System) -> None:
    report = read_json(live.lake, layout.run_report(live.figures["run"]))
    assert live.live()["sha256"] == report["sha256"]
    answer = live.compose("exec", "-T", "app", "python", "-c", ASK.format(photo=drawing("cats", 3))).split()
    assert answer == [report["version"], "True"]


def test_the_two_queues_take_their_tasks(live: System) -> None:
    tasks = live.api.tasks("retrain", live.figures["run"])
    ran = {task["task_id"]: task["queue"] for task in tasks if task["state"] == "success"}
    assert {name for name, queue in ran.items() if queue == "training"} == {
        "train.tune", "train.train", "train.evaluate", "release.gate"
    }  # fmt: skip


def test_only_what_is_listed_answers_without_a_login(live: System) -> None:
    ports = live.settings
    places = {"airflow-api": ports.airflow_page, "mlflow": ports.tracking_url, "model-server": ports.live_url}
    paths = ["/", "/live", "/metrics", "/version", "/ping", "/health", "/api/v2/dags", "/api/v2/version",
             "/api/v2/monitor/health", f"{API}/experiments/get?experiment_id=0", ARTIFACT]  # fmt: skip
    for service, url in places.items():
        for path in paths:
            answer = httpx.get(url + path, timeout=60, follow_redirects=False)
            open_ui = service == "airflow-api" and "api" not in path  # its page alone, which asks for the login
            assert (service, path) in LOGIN_FREE or open_ui or answer.status_code in (401, 403, 404), (service, path)


@pytest.mark.parametrize("user", [None, "reader", "pipeline"])
def test_nobody_chooses_where_mlflow_keeps_artifacts(live: System, user: str | None) -> None:
    login = (user, str(live.settings.secret(f"mlflow_{user}_password"))) if user else None
    url = f"{live.settings.tracking_url}{API}/experiments/create"
    answer = httpx.post(url, json={"name": "evil", "artifact_location": "file:///project/dags"}, auth=login, timeout=60)
    assert answer.status_code == (403 if user else 401)


def test_no_secret_stands_in_an_image_a_log_or_a_database(live: System, tmp_path: Path) -> None:
    """make secrets planted them: each is random and long, so that finding it is no accident."""
    secrets = {name: str(live.settings.secret(name)) for name in SECRETS}
    texts = {"logs of containers": live.compose("logs", "--no-color", stderr=subprocess.STDOUT)}
    texts["logs of tasks"] = live.compose("exec", "-T", "worker-default", "sh", "-c", "cat $(find /logs -type f)")
    for database in ("airflow", "mlflow"):
        texts[f"database {database}"] = live.compose("exec", "-T", "postgres", "pg_dump", "-U", "postgres", database)
    texts["what docker inspects"] = json.dumps(live.containers())
    for image in OURS:
        texts[f"history of {image}"] = docker("history", "--no-trunc", f"are-you-a-cat/{image}:local")
        search = ["grep", "-rlF", *(part for value in secrets.values() for part in ("-e", value)), "/project", "/home"]
        run = ["docker", "run", "--rm", "--entrypoint", "", f"are-you-a-cat/{image}:local", *search]
        assert subprocess.run(run, capture_output=True, text=True).stdout == "", image
    for place, text in texts.items():
        found = [name for name, value in secrets.items() if value in text]
        assert not found, f"{place}: {found}"


def test_every_container_comes_back_after_a_crash_and_nothing_is_lost(live: System) -> None:
    """All but the S3 server: its stand-in keeps everything in memory."""
    before = live.live()
    for service in live.containers():
        if service not in (*INITS, "s3"):
            live.kill(service)
    time.sleep(5)  # until the engine has noticed
    live.wait_until_healthy()
    deadline = time.monotonic() + 120
    while live.live().get("sha256") != before["sha256"]:
        assert time.monotonic() < deadline
        time.sleep(1)
    assert champion_version(connect(live.settings)).sha256 == before["sha256"]  # type: ignore[union-attr]
    assert live.api.run_state("retrain", live.figures["run"]) == "success"


def test_a_worker_that_dies_in_the_middle_costs_a_try_and_nothing_else(live: System) -> None:
    store, photo = live.lake, services.clean(drawing("cats", 77))
    photo_id = say.give(store, photo, visitor="a visitor", verdict=None, answer="positive")
    versions = _versions(live)
    run = live.api.trigger("retrain", {"force": True})
    wait_into(live.api, run, "train.train", seconds=4)
    live.kill("worker-training")
    assert follow(live, live.api, "retrain", run) == "success"
    report = read_json(store, layout.run_report(run))
    assert _versions(live) == [report["version"], *versions], "no run registers two models"
    assert photo_id in set(read_table(live.lake, layout.run_uploads(run))["photo_id"])


def _versions(live: System) -> list[str]:
    client = connect(live.settings)
    return [version.version for version in client.search_model_versions(f"name = '{client.name}'")]


def test_what_is_saved_comes_back_into_empty_volumes(live: System, tmp_path: Path) -> None:
    before, keys, served = _versions(live), sorted(live.lake.keys("")), live.live()["sha256"]
    backup = live.folder / "a backup"
    live.run("docker/backup", str(backup))
    assert backup.stat().st_mode & 0o077 == 0, "it holds secrets and photos"
    live.compose("down", "--volumes")
    (live.folder / ".env").unlink()
    subprocess.run(["rm", "-r", str(live.folder / "secrets")], check=True)
    live.run("docker/restore", str(backup))
    live.up()
    assert sorted(live.lake.keys("")) == keys
    assert _versions(live) == before
    deadline = time.monotonic() + 120
    while live.live().get("sha256") != served:
        assert time.monotonic() < deadline
        time.sleep(1)
    assert live.api.run_state("retrain", live.figures["run"]) == "success"
