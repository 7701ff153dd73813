"""The servers that `bench.load` asks: a registry with models of the real size, ours, and `mlflow models serve`."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import socket

import httpx
import keras
import mlflow
import numpy as np
import psutil
from keras import layers

from include.backbone import FEATURES
from include.records import DecisionRule, ModelVersion
from include.registry.versions import ALIAS, register
from include.settings import LOOPBACK, ROOT, Settings
from include.training.head import build_served_network
from include.training.losses import HEAD
from include.training.mlflow_runs import Mlflow, connect

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "TF_CPP_MIN_LOG_LEVEL": "2"}
START_SECONDS = 180


@dataclass(frozen=True)
class Registry:
    """A tracking server with registered versions, and the settings of all who use it."""

    settings: Settings
    client: Mlflow
    versions: list[ModelVersion]

    def move_alias(self, version: ModelVersion) -> None:
        self.client.set_registered_model_alias(self.client.name, ALIAS, version.number)


class PeakMemory:
    """The most that a process and its children held together, in MB: the sum of their resident sets."""

    def __init__(self, pid: int) -> None:
        self._process, self._ended, self.peak = psutil.Process(pid), threading.Event(), 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def now(self) -> float:
        total = 0
        for process in (self._process, *self._process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total / 1e6

    def restart(self) -> None:
        self.peak = 0.0

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            with suppress(psutil.NoSuchProcess):
                self.peak = max(self.peak, self.now())


@contextmanager
def running_registry(home: Path, *, versions: int) -> Iterator[Registry]:
    """MLflow on a free port, with so many versions of a network that differ in their random heads."""
    tracking, serving = free_port(), free_port()
    url = f"http://{LOOPBACK}:{tracking}"
    os.environ |= {"CAT_STATE_DIR": str(home), "CAT_MLFLOW_URL": url, "CAT_SERVER_PORT": str(serving), **QUIET}
    os.environ["MLFLOW_TRACKING_URI"] = url
    command = ["mlflow", "server", "--host", LOOPBACK, "--port", str(tracking), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", f"{home}/artifacts"]
    with _running(command, home / "mlflow.log", f"{url}/health"):
        settings = Settings()
        client = connect(settings)
        yield Registry(settings, client, [_register(client, settings, home, seed) for seed in range(versions)])


@contextmanager
def our_server(registry: Registry, home: Path) -> Iterator[tuple[str, PeakMemory]]:
    """Our model server, which serves the first version."""
    registry.move_alias(registry.versions[0])
    url = registry.settings.live_url
    with _running(["python", "-m", "include.serving.server"], home / "server.log", f"{url}/live") as process:
        yield url, PeakMemory(process.pid)


@contextmanager
def plain_mlflow(registry: Registry, home: Path) -> Iterator[tuple[str, PeakMemory]]:
    """`mlflow models serve` of the first version."""
    port, model = free_port(), f"models:/{registry.client.name}/{registry.versions[0].number}"
    command = ["mlflow", "models", "serve", "-m", model, "--env-manager", "local", "-h", LOOPBACK, "-p", str(port)]
    url = f"http://{LOOPBACK}:{port}"
    with _running(command, home / "plain.log", f"{url}/ping") as process:
        yield url, PeakMemory(process.pid)


def free_port() -> int:
    with socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: list[str], log: Path, ready: str) -> Iterator[subprocess.Popen]:
    program = Path(sys.executable).with_name(command[0])
    environment = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    with log.open("w") as output:
        process = subprocess.Popen([str(program), *command[1:]], env=environment, stdout=output, stderr=output)
    try:
        _wait_for(ready, process, log)
        yield process
    finally:
        for child in (*psutil.Process(process.pid).children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5).is_success:
                return
        time.sleep(0.2)
    raise TimeoutError(f"{url} does not answer:\n{log.read_text()[-1000:]}")


def _register(client: Mlflow, settings: Settings, home: Path, seed: int) -> ModelVersion:
    rng, path = np.random.default_rng(seed), home / "network.keras"
    features = keras.Input((FEATURES,))
    x = layers.Normalization(mean=rng.random(FEATURES), variance=0.1 + rng.random(FEATURES), name="standardise")(
        features
    )
    head = keras.Model(features, layers.Dense(len(settings.question.sources), name=HEAD)(layers.Dropout(0.1)(x)))
    head.layers[-1].set_weights([rng.normal(0, 0.05, (FEATURES, 4)), rng.normal(size=4)])
    build_served_network(head).save(path)
    mlflow.set_experiment(client.name)
    with mlflow.start_run() as run:
        pass
    rule = DecisionRule(0.5, 0.4, 0.6, settings.question.positive_classes)
    origin = {"run": f"bench-{seed}", "mlflow_run": run.info.run_id, "dataset": f"bench-{seed}"}
    return register(client, path, rule, settings.question, **origin)
