"""Airflow on Postgres with two Celery workers that share no disk; each is killed once in the middle of a run."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from include.lake import layout
from include.lake.formats import read_json
from include.lake.opening import open_lake
from include.serving.client import live
from include.settings import ROOT
from stack.airflow_api import AirflowApi
from stack.airflow_login import airflow_connection, airflow_password
from stack.demo import follow, start_all
from stack.launcher import Stack, running_stack
from tests.conftest import free_port
from tests.functional.celery_services import MISSING, postgres, redis
from tests.functional.conftest import Loop, quick_settings
from tests.functional.test_kills import wait_into

pytestmark = [
    pytest.mark.functional,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"Debian's packages are not installed: {', '.join(MISSING)}"),
]
TRAINING = {"train.tune", "train.train", "train.evaluate", "release.gate"}


@dataclass
class Worker:
    """A Celery worker of one queue, as on a machine of its own: nothing of its disk is another's."""

    queue: str
    stack: Stack
    home: Path
    starts: int = 0
    process: subprocess.Popen | None = field(default=None, init=False)

    def start(self) -> None:
        self.starts += 1
        disk = self.home / f"{self.queue}-{self.starts}"  # after a kill another machine takes its place
        disk.mkdir()
        own = {
            "CAT_STATE_DIR": str(disk),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(disk / "logs"),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        }
        command = ["airflow", "celery", "worker", "--queues", self.queue, "--concurrency", "1"]
        with self.stack.log_file(f"worker-{self.queue}-{self.starts}").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--celery-hostname", f"{self.queue}@%h", "--pid", str(disk / "pid")],
                cwd=ROOT,
                env=self.stack.environment | airflow_connection(self.stack.settings) | own,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """As when its machine loses power: with all that it has started."""
        assert self.process is not None
        victim = psutil.Process(self.process.pid)
        for process in [victim, *victim.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=30)


@dataclass(frozen=True)
class Cluster:
    loop: Loop
    workers: dict[str, Worker]

    def lose(self, queue: str) -> None:
        self.workers[queue].kill()
        self.workers[queue].start()


@contextmanager
def running_cluster(home: Path) -> Iterator[Cluster]:
    settings = quick_settings(home / "scheduler", "s3", CAT_TUNE_TRIALS="12")
    with ExitStack() as services:
        database, broker = services.enter_context(postgres()), services.enter_context(redis())
        stack = services.enter_context(running_stack(settings))
        stack.environment |= {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{database}",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{database}",
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__OPERATORS__DEFAULT_QUEUE": "default",
            "AIRFLOW__API_AUTH__JWT_SECRET": "one secret for the API server and all workers",
        }
        workers = {queue: Worker(queue, stack, home) for queue in ("default", "training")}
        api = AirflowApi(settings.airflow_page, airflow_password(settings))
        start_all(stack, api)
        for worker in workers.values():
            worker.start()
        yield Cluster(Loop(stack, api, open_lake(settings)), workers)


@pytest.fixture
def cluster(own_environment: None, tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path) as cluster:
        yield cluster


def test_a_run_outlives_the_loss_of_each_worker(cluster: Cluster) -> None:
    loop = cluster.loop
    loop.run("ingest_base_datasets")
    loop.api.unpause("retrain")
    run = loop.api.trigger("retrain", {})
    wait_into(loop.api, run, "collect.describe", seconds=4)
    cluster.lose("default")
    wait_into(loop.api, run, "train.tune", seconds=8)
    cluster.lose("training")
    assert follow(loop.stack, loop.api, "retrain", run) == "success", loop.states("retrain", run)

    tasks = loop.api.tasks("retrain", run)
    ran = {task["task_id"]: task["queue"] for task in tasks if task["state"] == "success"}
    assert {name for name, queue in ran.items() if queue == "training"} == TRAINING
    assert {task["task_id"] for task in tasks if task["try_number"] > 1} >= {"collect.describe", "train.tune"}
    report = read_json(loop.lake, layout.run_report(run))
    assert loop.versions() == [report["version"]], "no run registers two models"
    assert live(loop.live_url)["sha256"] == report["sha256"]
