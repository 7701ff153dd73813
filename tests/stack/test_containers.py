"""What can be said of the containers without an engine; `make test-compose` starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.errors import StackError
from include.settings import ROOT, Settings
from stack import containers
from stack.secret_files import SECRETS, keep_all

WITH_SECRETS = ROOT / "docker" / "with-secrets"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
RUNS_ONCE = {"lake-init", "airflow-init"}


def environment_of(secrets: Path, **given: str) -> dict[str, str]:
    """What a program finds that the entrypoint of the images starts."""
    show = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    environment = {"PATH": os.environ["PATH"], "CAT_SECRETS_DIR": str(secrets), **given}
    ended = subprocess.run([str(WITH_SECRETS), *show], env=environment, check=True, capture_output=True, text=True)
    return json.loads(ended.stdout)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    keep_all(tmp_path / "secrets", tmp_path / ".env", os.getuid())
    for name in SECRETS:
        (tmp_path / "secrets" / name).write_text(f"{name}-value")
    return tmp_path / "secrets"


def test_a_service_gets_the_variables_of_the_secrets_that_it_mounts(secrets: Path, tmp_path: Path) -> None:
    found = environment_of(secrets)
    assert found["AWS_SECRET_ACCESS_KEY"] == "s3_secret_key-value"
    assert found["AIRFLOW__CORE__FERNET_KEY"] == "airflow_fernet_key-value"
    assert found["AIRFLOW__CELERY__BROKER_URL"] == "redis://:redis_password-value@redis:6379/0"
    assert found["MLFLOW_BACKEND_STORE_URI"] == "postgresql+psycopg2://mlflow:mlflow_db_password-value@postgres/mlflow"
    (tmp_path / "none").mkdir()
    assert "value" not in json.dumps(environment_of(tmp_path / "none"))


def test_a_missing_secret_beside_others_stops_a_service_with_a_sentence(secrets: Path) -> None:
    (secrets / "redis_password").unlink()
    environment = {"PATH": os.environ["PATH"], "CAT_SECRETS_DIR": str(secrets)}
    ended = subprocess.run([str(WITH_SECRETS), "true"], env=environment, capture_output=True, text=True)
    assert ended.returncode != 0
    assert "the secret redis_password cannot be read" in ended.stderr


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_service_has_limits_a_restart_policy_and_a_health_check(service: str) -> None:
    described = SERVICES[service]
    assert described["mem_limit"]
    assert described["cpus"]
    assert described["restart"] == ("on-failure" if service in RUNS_ONCE else "unless-stopped")
    assert service in RUNS_ONCE or described["healthcheck"]["test"]


def test_ports_are_on_loopback_but_for_the_app() -> None:
    ports = {name: described.get("ports", []) for name, described in SERVICES.items()}
    assert ports.pop("app") == ["${CAT_APP_HOST:-127.0.0.1}:${CAT_APP_PORT:-8501}:8501"]
    assert all(port.startswith("127.0.0.1:") for listed in ports.values() for port in listed)


def test_the_celery_queues_have_a_worker_each_and_messages_outlast_the_longest_task() -> None:
    from cat_plugin.defaults import TRAINING_ARGS, TRAINING_QUEUE

    settings = SERVICES["worker-training"]["environment"]
    assert f"--queues {TRAINING_QUEUE} " in SERVICES["worker-training"]["command"]
    assert f"--queues {settings['AIRFLOW__OPERATORS__DEFAULT_QUEUE']} " in SERVICES["worker-default"]["command"]
    longest = TRAINING_ARGS["execution_timeout"].total_seconds()
    assert int(settings["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"]) > longest


def test_what_the_images_copy_exists_and_passes_the_dockerignore() -> None:
    lines = (ROOT / "docker" / "Dockerfile").read_text().splitlines()
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in {name for names in copies for name in names}:
        assert (ROOT / name).exists(), name
        assert any(name == listed or name.startswith(f"{listed}/") for listed in allowed), name


def test_without_secrets_the_demo_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "FOLDER", tmp_path / "secrets")
    with pytest.raises(StackError, match="run make secrets"):
        containers.container_settings(None)


def test_the_demo_uses_the_ports_and_secrets_of_the_containers(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "FOLDER", secrets)
    monkeypatch.setenv("CAT_MLFLOW_URL", "http://elsewhere")  # of the laptop's stack
    settings = containers.container_settings(None)
    assert (settings.tracking_url, settings.lake) == ("http://127.0.0.1:5000", "s3://cat-lake")
    assert settings.s3_endpoint_url == "http://127.0.0.1:9000"
    found = containers.outside_environment(settings)
    assert (found["AWS_SECRET_ACCESS_KEY"], found["CAT_SECRETS_DIR"]) == ("s3_secret_key-value", str(secrets))


def test_photos_are_mounted_where_the_settings_say() -> None:
    assert containers._photos(Settings()) == {}
    mounted = containers._photos(Settings(base_data="/somewhere/photos"))
    assert mounted == {"CAT_PHOTOS": "/somewhere/photos", "CAT_BASE_DATA": "/photos"}
    assert "${CAT_PHOTOS:-photos}:/photos:ro" in SERVICES["worker-default"]["volumes"]
