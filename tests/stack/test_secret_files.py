"""Secrets are made once, for their owner alone."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography.fernet import Fernet

from include.settings import ROOT, Settings
from stack.secret_files import SECRETS, keep_all, keep_secret


@pytest.fixture
def made(tmp_path: Path) -> Path:
    keep_all(tmp_path / "secrets", tmp_path / ".env", os.getuid())
    return tmp_path


def test_nobody_else_can_read_them(made: Path) -> None:
    assert (made / "secrets").stat().st_mode & 0o777 == 0o700
    assert {path.name for path in (made / "secrets").iterdir()} == set(SECRETS)
    assert {path.stat().st_mode & 0o777 for path in (made / "secrets").iterdir()} == {0o600}


def test_they_are_long_and_all_different(made: Path) -> None:
    values = [path.read_text() for path in (made / "secrets").iterdir()]
    assert len(set(values)) == len(SECRETS)
    assert min(map(len, values)) >= 20
    Fernet((made / "secrets" / "airflow_fernet_key").read_text())


def test_a_second_time_only_what_is_missing_is_made(made: Path) -> None:
    (made / "secrets" / "server_token").write_text("my own")
    (made / "secrets" / "redis_password").unlink()
    before = (made / "secrets" / "s3_secret_key").read_text()
    keep_all(made / "secrets", made / ".env", os.getuid())
    assert keep_secret(made / "secrets", "server_token") == "my own"
    assert (made / "secrets" / "s3_secret_key").read_text() == before
    assert len((made / "secrets" / "redis_password").read_text()) == 43


@pytest.mark.parametrize("given", ["", "CAT_SEED=1", "CAT_SEED=1\n", "CAT_UID=77\nCAT_SEED=1\n"])
def test_the_env_file_names_the_owner_once_and_keeps_what_it_has(tmp_path: Path, given: str) -> None:
    (tmp_path / ".env").write_text(given)
    for _ in range(2):
        keep_all(tmp_path / "secrets", tmp_path / ".env", os.getuid())
    lines = (tmp_path / ".env").read_text().splitlines()
    assert set(given.splitlines()) <= set(lines)
    owner = "77" if "CAT_UID" in given else str(os.getuid())
    assert [line for line in lines if line.startswith("CAT_UID=")] == [f"CAT_UID={owner}"]


def test_no_package_is_needed(tmp_path: Path) -> None:
    script = "import sys, stack.secret_files; print(*(m for m in sys.modules if m in ('pydantic', 'include')))"
    loaded = subprocess.run(["python3", "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {script}"],
                            capture_output=True, text=True, check=True)  # fmt: skip
    assert loaded.stdout.split() == []


def test_compose_mounts_exactly_these_and_git_and_images_never_see_them() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    assert set(compose["secrets"]) == set(SECRETS)
    mounted = {name for service in compose["services"].values() for name in service.get("secrets", [])}
    assert mounted == set(SECRETS)
    names = ["secrets/server_token", ".env"]
    ignored = subprocess.run(["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True)
    assert ignored.stdout.split() == names
    assert "secrets" not in (ROOT / ".dockerignore").read_text()
    assert (ROOT / ".dockerignore").read_text().split("\n")[0] == "*", "only what is listed enters an image"


def test_settings_read_them(made: Path) -> None:
    settings = Settings(secrets_dir=made / "secrets")
    assert settings.mlflow_login == ("pipeline", (made / "secrets" / "mlflow_pipeline_password").read_text())
    (made / "secrets" / "mlflow_pipeline_password").unlink()
    assert settings.mlflow_login == ("reader", (made / "secrets" / "mlflow_reader_password").read_text())
    assert Settings(secrets_dir=made / "nowhere").mlflow_login is None
