import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from include.settings import ROOT


@pytest.fixture(scope="session")
def airflow_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Airflow's own folder, and the paths that the local stack gives it."""
    home = tmp_path_factory.mktemp("airflow")
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
    }


@pytest.fixture(scope="session")
def run_python(airflow_environment: dict[str, str]) -> Callable[..., str]:
    """Run code in a fresh interpreter that finds Airflow at home; returns what it prints."""

    def run(code: str, **extra: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **airflow_environment, **extra},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    return run
