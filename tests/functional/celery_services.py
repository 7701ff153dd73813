"""What Airflow needs beyond one machine, as plain processes: Debian's Postgres and Redis, each on a free port."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import free_port

PASSWORD = "a-password-of-the-test"
TOOLS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
NEEDED = {"postgresql": TOOLS, "redis-server": shutil.which("redis-server")}
MISSING = [package for package, found in NEEDED.items() if not found]


@contextmanager
def postgres() -> Iterator[str]:
    """An empty database; yields its address with its login, without a scheme."""
    port, tools = free_port(), TOOLS[-1]
    with _folder() as folder:
        data = folder / "data"
        _write(folder / "password", PASSWORD)
        options = ["-U", "airflow", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
        subprocess.run(_unprivileged(str(tools / "initdb"), "-D", str(data), *options), check=True, capture_output=True)
        listen = ["-c", "listen_addresses=127.0.0.1", "-p", str(port), "-k", str(folder)]
        ready = [str(tools / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        with _running([str(tools / "postgres"), "-D", str(data), *listen]):
            _wait(lambda: subprocess.run(ready).returncode == 0, what="Postgres")
            yield f"airflow:{PASSWORD}@127.0.0.1:{port}/postgres"


@contextmanager
def redis() -> Iterator[str]:
    """A broker; yields its URL."""
    port = free_port()
    with _folder() as folder:
        _write(folder / "redis.conf", f"port {port}\nbind 127.0.0.1\nrequirepass {PASSWORD}\nsave ''\n")
        with _running([str(shutil.which("redis-server")), str(folder / "redis.conf")]):
            _wait(lambda: _redis_answers(port), what="Redis")
            yield f"redis://:{PASSWORD}@127.0.0.1:{port}/0"


def _redis_answers(port: int) -> bool:
    from redis import Redis
    from redis.exceptions import ConnectionError as NotReady

    try:
        return bool(Redis(port=port, password=PASSWORD).ping())
    except NotReady:
        return False


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        if os.getuid() == 0:
            shutil.chown(name, "postgres")
        yield Path(name)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    if os.getuid() == 0:
        shutil.chown(path, "postgres")


@contextmanager
def _running(command: list[str]) -> Iterator[None]:
    null = subprocess.DEVNULL
    process = subprocess.Popen(_unprivileged(*command), cwd="/", stdout=null, stderr=null)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def _unprivileged(*command: str) -> list[str]:
    """Postgres refuses to run as root: as its own user then."""
    drop = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    return [*drop, *command]


def _wait(ready: Callable[[], bool], *, what: str) -> None:
    end = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < end, f"{what} did not answer"
        time.sleep(0.2)
