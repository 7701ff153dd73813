"""The app's page with a lake and a model server of the test's own."""

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from app import services
from include.lake.local import LocalStore
from include.settings import ROOT
from tests.app.stand_in import ModelServer

SCRIPT = str(ROOT / "app" / "main.py")
CACHED = ("get_settings", "get_lake", "get_spool", "get_sender", "get_rate_limit", "get_model_news", "get_counts")


@pytest.fixture(autouse=True)
def own_lake(lake: LocalStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The app caches its settings, the store that it opened, and its threads."""
    monkeypatch.setenv("CAT_LAKE_URL", f"file://{lake.root}")
    forget_cached()
    yield
    services.get_sender().stop()
    forget_cached()


def forget_cached() -> None:
    for name in CACHED:
        getattr(services, name).clear()


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer() as server:
        monkeypatch.setenv("CAT_SERVER_URL", server.url)
        yield server


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_file(SCRIPT, default_timeout=30)
