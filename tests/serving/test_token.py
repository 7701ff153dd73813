"""With a secret token the model server answers nobody without it, and our clients show it."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from include.errors import BadSetting
from include.serving import client, server
from include.serving.model_loader import NO_MODEL
from include.settings import Settings

NOT_STARTED: Any = SimpleNamespace(served=None, state=NO_MODEL, trouble=None, rejected={})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "server_token").write_text("right\n")
    return Settings(secrets_dir=tmp_path)


def ask(settings: Settings, method: str, path: str, **options: Any) -> httpx.Response:
    """The answer of a server that has no model yet."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(server.build_app(NOT_STARTED, settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
            return await http.request(method, path, **options)

    return asyncio.run(send())


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "right"}])
@pytest.mark.parametrize(("method", "path"), [("POST", "/invocations"), ("GET", "/live"), ("GET", "/metrics")])
def test_without_the_token_nothing_but_that_it_runs_is_told(
    settings: Settings, headers: dict[str, str], method: str, path: str
) -> None:
    refused = ask(settings, method, path, headers=headers)
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert all(ask(settings, "GET", path, headers=headers).status_code == 200 for path in ("/ping", "/health"))


def test_with_the_token_it_answers(settings: Settings) -> None:
    assert ask(settings, "GET", "/live", headers=settings.server_headers).json()["error"] == "no model yet"
    assert ask(settings, "POST", "/invocations", headers=settings.server_headers, json={}).status_code == 503


def test_without_a_secret_it_asks_for_none(tmp_path: Path) -> None:
    settings = Settings(secrets_dir=tmp_path)
    assert settings.server_headers == {}
    assert ask(settings, "GET", "/live").status_code == 503


def test_a_wrong_token_is_wrong_input_and_names_the_cure(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    http = SimpleNamespace(request=lambda method, url, **options: ask(settings, method, url, **options))
    monkeypatch.setattr(client, "_http", lambda: http)
    with pytest.raises(BadSetting, match="server_token"):
        client.live("", headers={"Authorization": "Bearer wrong"})
    with pytest.raises(BadSetting, match="server_token"):
        client.predict("", [b"x"])


def test_without_a_token_it_stays_on_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAT_SECRETS_DIR", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["server", "--host", "0.0.0.0"])
    with pytest.raises(SystemExit, match="server_token is missing"):
        server.main()
