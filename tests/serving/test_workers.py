"""Two worker processes of the model server, which follow the alias by themselves and share the copies on disk."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from include.serving.client import predict
from tests.conftest import free_port
from tests.serving.conftest import Killable, Served
from tests.serving.test_server import RED
from tests.waiting import until

pytestmark = pytest.mark.slow
NEW_CONNECTIONS = 24  # each goes to either worker; to one of them alone once in 8 million


@pytest.fixture
def two_workers(served: Served, red: str, tmp_path: Path) -> Iterator[tuple[Killable, str]]:
    served.mlflow.start()
    served.point(red)
    port = free_port()
    own = {"CAT_STATE_DIR": str(tmp_path), "CAT_SERVER_PORT": str(port), "CAT_SERVER_WORKERS": "2"}
    server = Killable(
        ["python", "-m", "include.serving.server"], f"http://127.0.0.1:{port}/ping", tmp_path / "log", own
    )
    try:
        server.start()
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.kill()


def versions(url: str) -> set[str | None]:
    """What new connections are told to be live."""
    return {httpx.get(f"{url}/live", timeout=30).json().get("model_version") for _ in range(NEW_CONNECTIONS)}


def all_serve(url: str, version: str) -> bool:
    return versions(url) == {version}


def workers(server: Killable) -> list[psutil.Process]:
    assert server.process
    children = [
        child for child in psutil.Process(server.process.pid).children() if child.status() != psutil.STATUS_ZOMBIE
    ]
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_both_follow_the_alias_and_one_that_is_killed_comes_back(
    served: Served, two_workers: tuple[Killable, str], red: str, blue: str
) -> None:
    server, url = two_workers
    for version in (red, blue, red):
        served.point(version)
        until(partial(all_serve, url, version))
    first, second = workers(server)
    first.kill()
    until(lambda: len([worker for worker in workers(server) if worker.pid != first.pid]) == 2)
    until(partial(all_serve, url, red))
    assert second.is_running()
    assert not list((server.log.parent).rglob("*.incoming"))


def test_their_counts_are_added_up(served: Served, two_workers: tuple[Killable, str], red: str) -> None:
    _, url = two_workers
    until(partial(all_serve, url, red))
    for _ in range(NEW_CONNECTIONS):
        predict(url, [RED])
    line = f'cat_requests_total{{status="200",version="{red}"}} {NEW_CONNECTIONS}.0'
    assert all(line in httpx.get(f"{url}/metrics", timeout=30).text for _ in range(5))
