"""Secrets as files, one each: `make secrets` writes those of docker-compose.yaml; the local stack makes its own few.

Only Python's standard library: whoever runs the containers needs no environment of ours.
"""

import base64
import os
import re
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "secrets"
IMAGE_USER = 10001  # of docker/Dockerfile
LOCAL = ("mlflow_pipeline_password", "airflow_admin_password")


def _token() -> str:
    """43 characters that need no quoting in a URL, in SQL or in a shell."""
    return secrets.token_urlsafe(32)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


SECRETS: dict[str, Callable[[], str]] = {
    "postgres_password": _token,
    "airflow_db_password": _token,
    "mlflow_db_password": _token,
    "redis_password": _token,
    "s3_access_key": lambda: secrets.token_hex(10),
    "s3_secret_key": _token,
    "airflow_fernet_key": _fernet_key,
    "airflow_api_secret_key": _token,
    "airflow_jwt_secret": _token,
    "airflow_admin_password": _token,
    "airflow_pipeline_password": _token,
    "mlflow_pipeline_password": _token,
    "mlflow_reader_password": _token,
    "server_token": _token,
}


def keep_secret(folder: Path, name: str) -> str:
    """What the file of this secret holds; a new random one where there is none. Nothing is ever overwritten."""
    path = folder / name
    if not path.exists():
        write_secret(path, SECRETS[name]())
    return path.read_text().strip()


def write_secret(path: Path, text: str) -> None:
    """For the owner alone; a kill leaves no half of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    whole.replace(path)


def keep_all(folder: Path, env_file: Path, owner: int) -> None:
    """A file for each secret that is missing, and a `.env` that names their owner, whom the containers run as."""
    for name in SECRETS:
        keep_secret(folder, name)
        os.chown(folder / name, owner, -1)
    os.chown(folder, owner, -1)
    text = env_file.read_text() if env_file.exists() else ""
    if not re.search(r"^CAT_UID=", text, re.MULTILINE):
        env_file.write_text(f"{text.rstrip()}\nCAT_UID={owner}\n".lstrip())


def main() -> None:
    owner = os.getuid() or IMAGE_USER  # no container runs as root
    keep_all(FOLDER, ROOT / ".env", owner)
    sys.stdout.write(f"{FOLDER} holds {len(SECRETS)} secrets, for the user with the number {owner} alone.\n")


if __name__ == "__main__":
    main()
