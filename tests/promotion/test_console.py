"""`python -m include.promotion.console`: the versions, and the way back to an older one."""

import os
import subprocess
import sys

import pytest
from mlflow.tracking import MlflowClient

from include.promotion.console import main
from include.records import CONTRACT
from include.registry.versions import ALIAS, MODEL, champion_version, predecessor_of, promote
from tests.models import add_version
from tests.promotion.test_deploy import Killed, client, dies, live, make_tampered, mlflow_run, new, old

__all__ = ["client", "live", "mlflow_run", "new", "old"]  # fixtures


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # as the command sets it; put back after the test


def rows(text: str) -> dict[str, list[str]]:
    """The cells of each listed version."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:]}


def test_the_list_shows_every_version_and_marks_the_champion(client, old, new, capsys):
    promote(client, old, replaces=None)
    promote(client, new, replaces=old)
    assert main([]) == 0
    told = capsys.readouterr().out
    assert told.split("\n")[0].split() == ["version", "champion", "dataset", "sha256", "replaces", "registered"]
    sums = {name: client.get_model_version(MODEL, name).tags["sha256"][:12] for name in (old, new)}
    assert rows(told)[new][:4] == ["*", "d1", sums[new], old]
    assert rows(told)[old][:2] == ["d1", sums[old]]
    assert told.count("*") == 1
    newest_first = [int(version) for version in rows(told)]
    assert newest_first == sorted(newest_first, reverse=True)
    assert main(["list"]) == 0
    assert capsys.readouterr().out == told


def test_an_older_version_becomes_champion_again_and_the_record_says_what_it_replaced(client, live, old, new, capsys):
    promote(client, old, replaces=None)
    promote(client, new, replaces=old)
    assert main(["champion", old]) == 0
    assert f"version {old} is champion; it replaced {new} and is live" in capsys.readouterr().out
    assert (champion_version(client), predecessor_of(client, old)) == (old, new)


def test_of_a_version_that_comes_and_goes_all_that_it_replaced_stays_on_record(client, live, monkeypatch):
    first, second = add_version(run="comes and goes"), add_version(run="goes and comes")
    promote(client, first, replaces=None)
    promote(client, second, replaces=first)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", dies)
        with pytest.raises(Killed):
            promote(client, first, replaces=second)
    assert predecessor_of(client, second) == first, "the champion's record is whole"
    assert main(["champion", first]) == main(["champion", second]) == main(["champion", first]) == 0
    tags = {version: client.get_model_version(MODEL, version).tags for version in (first, second)}
    assert (tags[first]["replaces"], tags[first]["replaced_before"]) == (second, "nobody")
    assert tags[second]["replaces"] == first
    assert "replaced_before" not in tags[second]


def test_the_champion_itself_is_left_alone(client, live, old, new, capsys):
    promote(client, old, replaces=None)
    promote(client, new, replaces=old)
    assert main(["champion", new]) == 0
    assert "is champion already" in capsys.readouterr().out
    assert predecessor_of(client, new) == old


def test_without_a_model_server_the_alias_moves_and_the_next_one_follows(client, old, new, capsys, monkeypatch):
    monkeypatch.setenv("CAT_SERVER_URL", "http://127.0.0.1:9")
    promote(client, old, replaces=None)
    assert main(["champion", new]) == 0
    assert "No model server answers" in capsys.readouterr().out
    assert champion_version(client) == new


def test_a_server_that_does_not_follow_undoes_it(client, live, old, new, capsys):
    promote(client, old, replaces=None)
    live.serves = old
    assert main(["champion", new]) == 1
    assert f"version {new} is not live" in capsys.readouterr().err
    assert champion_version(client) == old


def of_unknown_contract(client, version: str) -> str:
    client.set_model_version_tag(MODEL, version, "contract", "99")
    return version


@pytest.mark.parametrize("kind", ["tampered", "contract", "missing", "no number"])
def test_a_version_that_the_server_would_refuse_is_refused_here(
    client, live, old, new, mlflow_run, tmp_path, capsys, kind
):
    client.set_registered_model_alias(MODEL, ALIAS, old)
    version, reason = {
        "tampered": lambda: (make_tampered(client, mlflow_run, tmp_path), "have the sum"),
        "contract": lambda: (of_unknown_contract(client, new), "follows contract 99"),
        "missing": lambda: ("999999", "no version '999999'"),
        "no number": lambda: ("newest", "no version 'newest'"),
    }[kind]()
    assert main(["champion", version]) == 1
    assert reason in capsys.readouterr().err
    assert champion_version(client) == old
    client.set_model_version_tag(MODEL, new, "contract", str(CONTRACT))


def test_as_a_command_it_says_in_one_sentence_that_the_registry_is_down():
    done = subprocess.run(
        [sys.executable, "-m", "include.promotion.console"],
        env={**os.environ, "CAT_MLFLOW_URL": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "the registry at http://127.0.0.1:9 does not answer" in done.stderr
    assert "Traceback" not in done.stderr
