"""The app in a process of its own, as the Procfile starts it, with a stand-in for the model server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from include.lake.local import LocalStore
from include.settings import ROOT, Settings
from tests.app.stand_in import ModelServer
from tests.conftest import free_port, server

SCRIPT = str(ROOT / "app" / "streamlit_app.py")


@dataclass
class App:
    url: str
    settings: Settings
    lake: LocalStore
    model: ModelServer


@contextmanager
def serve(folder: Path, **settings: str) -> Iterator[App]:
    """The app with state and lake in ``folder``, ended afterwards."""
    port, lake = free_port(), LocalStore(folder / "lake")
    command = ["streamlit", "run", SCRIPT, "--server.address", "127.0.0.1", "--server.port", str(port)]
    with ModelServer() as model:
        given = {"CAT_LAKE_URL": f"file://{lake.root}", "CAT_SERVER_URL": model.url, "CAT_STATE_DIR": str(folder)}
        given |= {"PYTHONPATH": str(ROOT)} | settings
        with server(command, f"http://127.0.0.1:{port}/_stcore/health", **given) as health:
            known = Settings(state_dir=folder, lake_url=given["CAT_LAKE_URL"], server_url=model.url)
            yield App(health.removesuffix("/_stcore/health"), known, lake, model)
