"""Any path that the system allows works: for the checkout, the photos and the local state."""

import shlex
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
import sqlalchemy

from include.settings import ROOT, Settings
from stack.environment import stack_environment
from stack.launcher import read_procfile
from stack.plain_paths import plain_folder

ODD = ["it's a folder & more", "what? 100%", "a#b", "x" * 250, "ünï cöde", "two\nlines", '"quoted"', "a$HOME"]


@pytest.mark.parametrize("name", ODD)
def test_commands_keep_a_path_in_one_word(tmp_path: Path, name: str) -> None:
    settings = Settings(state_dir=tmp_path / name, base_data=str(tmp_path / name))
    environment = stack_environment(settings)
    mlflow = shlex.split(read_procfile(settings)["mlflow"])
    home = Path(environment["CAT_HOME"])
    assert mlflow[mlflow.index("--artifacts-destination") + 1] == f"{home}/mlflow/artifacts"
    assert mlflow[mlflow.index("--backend-store-uri") + 1] == f"sqlite:///{home}/mlflow/mlflow.db"
    assert environment["CAT_BASE_DATA"] == str(tmp_path / name)


@pytest.mark.parametrize("name", ODD)
def test_databases_are_where_the_local_state_is(tmp_path: Path, name: str) -> None:
    settings = Settings(state_dir=tmp_path / name)
    environment = stack_environment(settings)
    for url in (
        environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
        f"sqlite:///{environment['CAT_HOME']}/mlflow/mlflow.db",
    ):
        place = settings.home / Path(url).parent.name
        place.mkdir(parents=True, exist_ok=True)
        with sqlalchemy.create_engine(url).connect() as database:
            database.execute(sqlalchemy.text("create table cats (name text)"))
        (written,) = place.glob("*.db")
        with sqlite3.connect(written) as database:
            assert database.execute("select count(*) from cats").fetchall() == [(0,)]


def test_processes_find_the_same_state_as_the_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(state_dir=tmp_path / "what? 100%")
    for name in ("CAT_STATE_DIR", "CAT_BASE_DATA"):
        monkeypatch.setenv(name, stack_environment(settings)[name])
    inner = Settings()
    assert inner.home != settings.home
    inner.home.mkdir(parents=True)
    assert inner.home.samefile(settings.home)
    assert plain_folder(tmp_path / "plain") == tmp_path / "plain"


@pytest.mark.parametrize("photos", ["it's a folder & more", 'a "quoted" one; ls', "two  spaces", "what?*"])
def test_make_passes_a_path_on_as_it_is(tmp_path: Path, photos: str) -> None:
    """With the Makefile of the project in a checkout with such a path, and a Python that says what it is given."""
    checkout = tmp_path / "it's a checkout & more"
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv-validation").mkdir()
    (checkout / "include/validation/deepchecks_env").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", checkout)
    for name in ("requirements.txt", "include/validation/deepchecks_env/requirements.txt"):
        (checkout / name).touch()
    python = checkout / ".venv/bin/python"
    python.write_text('#!/bin/sh\nfor word in "$@"; do printf "[%s]\\n" "$word"; done\n')
    python.chmod(0o755)
    for name in (".venv/ready", ".venv-validation/ready"):
        (checkout / name).touch()
    done = subprocess.run(
        ["make", "--no-print-directory", "demo", f"BASE_DATA={photos}", "ONCE=1"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.splitlines()
    assert words == ["[-m]", "[stack.demo]", f"[--base-data={photos}]", "[--lake]", "[folder]"] + [
        "[--upload-seed]",
        "[1]",
        "[--once]",
    ]
