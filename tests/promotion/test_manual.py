"""`cat-retrain versions` and `cat-retrain promote`: all versions, and the way back to an older one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from include.cli import main
from include.promotion.manual import HEADINGS
from include.records import ModelVersion
from include.registry.versions import (
    ALIAS,
    champion_version,
    predecessor_of,
    promote,
    reference_version,
    set_reference,
    tag_version,
)
from include.settings import ROOT
from include.training.mlflow_runs import Mlflow
from tests.models import add_version
from tests.promotion.conftest import (
    LiveStandIn,
    killed_at,
    register_of_another_question,
    register_of_older_contract,
    register_tampered,
)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # as the command sets it; put back after the test


def rows(text: str) -> dict[str, list[str]]:
    """The cells of each listed version."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:]}


def test_the_list_shows_every_version_with_its_alias(client: Mlflow, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = add_version(run="listed first"), add_version(run="listed second")
    capsys.readouterr()  # what MLflow said on the way
    promote(client, old, replaces=None)
    promote(client, new, replaces=old)
    set_reference(client, old)
    assert main(["versions"]) == 0
    output = capsys.readouterr().out
    assert tuple(output.split("\n")[0].split()) == HEADINGS
    sums = {name: client.get_model_version(client.name, name.number).tags["sha256"][:12] for name in (old, new)}
    assert rows(output)[new.number][:4] == ["champion", "d1", sums[new], old.number]
    assert rows(output)[old.number][:3] == ["reference", "d1", sums[old]]
    marked = [cells for cells in rows(output).values() if {"champion", "reference"} & set(cells[:1])]
    assert len(marked) == 2
    newest_first = [int(version) for version in rows(output)]
    assert newest_first == sorted(newest_first, reverse=True)


def test_the_list_shows_what_was_decided_and_by_whom(client: Mlflow, capsys: pytest.CaptureFixture[str]) -> None:
    new = add_version(run="listed as decided")
    run = client.get_model_version(client.name, new.number).run_id
    client.log_metric(run, "test/precision", 0.98765)
    client.log_metric(run, "test/recall", 0.9)
    tag_version(client, new, {"decision": "close call", "difference": "-1.2 (-3.0 to +0.6)"})
    main(["versions"])
    listed = capsys.readouterr().out
    assert rows(listed)[new.number][:8] == ["close", "call", "-1.2", "(-3.0", "to", "+0.6)", "0.988", "0.900"]
    tag_version(client, new, {"close_call": "promoted by ann"})
    main(["versions"])
    assert rows(capsys.readouterr().out)[new.number][:3] == ["promoted", "by", "ann"]


def test_a_person_may_move_the_reference_with_the_champion(
    client: Mlflow, live: LiveStandIn, old: ModelVersion, new: ModelVersion
) -> None:
    promote(client, old, replaces=None)
    set_reference(client, old)
    assert main(["promote", new.number]) == 0
    assert (champion_version(client), reference_version(client)) == (new, old)
    assert main(["promote", new.number, "--reference"]) == 0
    assert reference_version(client) == new


def test_an_older_version_becomes_champion_again_and_records_what_it_replaced(
    client: Mlflow, live: LiveStandIn, old: ModelVersion, new: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(client, old, replaces=None)
    promote(client, new, replaces=old)
    assert main(["promote", old.number]) == 0
    assert f"version {old} is champion; it replaced {new} and is live" in capsys.readouterr().out
    assert (champion_version(client), predecessor_of(client, old)) == (old, new)


def test_all_that_a_version_ever_replaced_stays_on_record(client: Mlflow, live: LiveStandIn) -> None:
    first, second = add_version(run="comes and goes"), add_version(run="goes and comes")
    promote(client, first, replaces=None)
    promote(client, second, replaces=first)
    with killed_at(Mlflow, "set_registered_model_alias"):
        promote(client, first, replaces=second)
    assert predecessor_of(client, second) == first, "the champion's record is intact"
    assert main(["promote", first.number]) == main(["promote", second.number]) == main(["promote", first.number]) == 0
    tags = {version: client.get_model_version(client.name, version.number).tags for version in (first, second)}
    assert (tags[first]["replaces"], tags[first]["replaced_before"]) == (second.number, "none")
    assert tags[second]["replaces"] == first.number
    assert "replaced_before" not in tags[second]


def test_promoting_the_champion_changes_nothing(
    client: Mlflow, live: LiveStandIn, old: ModelVersion, new: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(client, old, replaces=None)
    promote(client, new, replaces=old)
    assert main(["promote", new.number]) == 0
    assert "is champion already" in capsys.readouterr().out
    assert predecessor_of(client, new) == old


def test_without_a_model_server_the_alias_moves(
    client: Mlflow,
    old: ModelVersion,
    new: ModelVersion,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CAT_SERVER_URL", "http://127.0.0.1:9")
    promote(client, old, replaces=None)
    assert main(["promote", new.number]) == 0
    assert "No model server answers" in capsys.readouterr().out
    assert champion_version(client) == new


def test_where_the_server_does_not_follow_it_is_rolled_back(
    client: Mlflow, live: LiveStandIn, old: ModelVersion, new: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(client, old, replaces=None)
    live.serves = old
    assert main(["promote", new.number]) == 1
    assert f"version {new} is not live" in capsys.readouterr().err
    assert champion_version(client) == old


@pytest.mark.parametrize(
    ("register", "reason"),
    [
        (register_tampered, "have the sum"),
        (register_of_older_contract, "follows contract 3"),
        (register_of_another_question, "answers another question than 'Are you a cat?'"),
        (lambda *_: "999999", "no version '999999'"),
        (lambda *_: "newest", "no version 'newest'"),
    ],
    ids=["tampered", "older contract", "another question", "missing", "not a number"],
)
def test_a_version_that_the_server_would_reject_is_not_promoted(
    client: Mlflow,
    live: LiveStandIn,
    old: ModelVersion,
    mlflow_run: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    register: Callable[[Mlflow, str, Path], object],
    reason: str,
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    assert main(["promote", str(register(client, mlflow_run, tmp_path))]) == 1
    assert reason in capsys.readouterr().err
    assert champion_version(client) == old


def test_a_registry_that_is_down_is_one_sentence() -> None:
    command = [sys.executable, "-m", "include.cli", "versions"]
    environment = {**os.environ, "CAT_MLFLOW_URL": "http://127.0.0.1:9"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "the registry at http://127.0.0.1:9 does not answer" in ended.stderr
    assert "Traceback" not in ended.stderr
