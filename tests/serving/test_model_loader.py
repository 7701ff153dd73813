"""Following in this process, look by look: a new ChampionWatcher on the same folder is a restart."""

import json

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from include.records import CONTRACT
from include.registry.versions import MODEL
from include.serving import model_loader
from include.serving.model_loader import LAST_GOOD, REJECTED_SECONDS, ChampionWatcher
from include.settings import Settings
from tests.pictures import plain
from tests.registry.test_versions import tamper


@pytest.fixture
def registry(served, red) -> MlflowClient:
    """A registry that is up, and its champion."""
    served.mlflow.start()
    served.point(red)
    return served.client


@pytest.fixture
def version(served, registry) -> str:
    """A champion for one test to spoil."""
    made = served.version(f"spoiled-{len(served.versions)}")
    served.point(made)
    return made


def follower() -> ChampionWatcher:
    return ChampionWatcher(Settings())


def spoil_tags(client: MlflowClient, version: str) -> None:
    client.set_model_version_tag(MODEL, version, "sha256", "0" * 64)
    client.set_model_version_tag(MODEL, version, "contract", "99")


def test_a_verified_copy_outlives_tags_that_are_spoiled_later(registry, version):
    follower().poll(0)
    spoil_tags(registry, version)
    for _ in range(2):
        again = follower()
        again.poll(0)
        assert again.served.version == version
        assert "follows contract 99" in again.refused[version]


def test_a_restart_with_a_refused_champion_serves_the_last_good_one(served, registry, red, version, tmp_path):
    served.point(red)
    follower().poll(0)
    (tmp_path / "entry.py").write_text("raise SystemExit")
    tamper(registry, version, tmp_path / "entry.py")
    served.point(version)
    again = follower()
    again.poll(0)
    assert again.served.version == red
    assert "have the sum" in again.refused[version]


def test_a_refused_version_is_tried_again_after_a_while(registry, version):
    registry.set_model_version_tag(MODEL, version, "contract", "99")
    patient = follower()
    patient.poll(0)
    registry.set_model_version_tag(MODEL, version, "contract", str(CONTRACT))
    patient.poll(REJECTED_SECONDS - 1)
    assert patient.served is None
    patient.poll(REJECTED_SECONDS)
    assert patient.served.version == version
    assert patient.refused == {}


def test_a_copy_of_another_contract_is_not_served_by_newer_code(registry, version, monkeypatch):
    follower().poll(0)
    spoil_tags(registry, version)
    monkeypatch.setattr(model_loader, "CONTRACT", CONTRACT + 1)
    newer = follower()
    newer.poll(0)
    assert newer.served is None


@pytest.mark.parametrize("text", ["", "{half", '{"version": "1"}', "[]"])
def test_a_damaged_note_of_the_last_copy_is_no_copy(registry, red, text):
    folder = Settings().home / "server"
    folder.mkdir(parents=True)
    (folder / LAST_GOOD).write_text(text)
    careful = follower()
    careful.poll(0)
    assert careful.served.version == red
    assert json.loads((folder / LAST_GOOD).read_text())["version"] == red


def test_a_copy_that_was_changed_on_disk_is_fetched_anew(registry, red):
    follower().poll(0)
    (Settings().home / "server" / red / "artifacts" / "decision_rule.json").write_text("{}")
    again = follower()
    again.poll(0)
    assert again.served.version == red


def test_only_the_served_copy_stays_on_disk(served, registry, red, blue):
    tidy = follower()
    for version in (red, blue):
        served.point(version)
        tidy.poll(0)
    assert {path.name for path in tidy.folder.iterdir()} == {blue, LAST_GOOD}


def test_the_thread_outlives_whatever_goes_wrong(registry, red, monkeypatch):
    """An error without a text, and a last good copy that cannot be served."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # as the thread sets them; put back after the test
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    monkeypatch.setattr(model_loader, "POLL_SECONDS", 0)
    follower().poll(0)
    tough, looks = follower(), []

    def fail(now: float) -> None:
        looks.append(now)
        if len(looks) == 3:
            tough.ended.set()
        raise OSError

    def cannot(_) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(tough, "look", fail)
    monkeypatch.setattr(tough, "_serve", cannot)
    tough.run(lambda: 0.0)
    assert len(looks) == 3


def test_a_model_that_fails_on_a_plain_photo_is_refused(registry, red, monkeypatch):
    class Failing:
        def predict(self, *_, **__):
            raise ValueError("shapes (1, 32) and (3, 4)")

    monkeypatch.setattr(model_loader, "load", lambda *_: Failing())
    careful = follower()
    careful.poll(0)
    assert careful.served is None
    assert "fails on a plain photo: shapes" in careful.refused[red]


def test_the_served_model_is_the_registered_one(registry, red):
    own = follower()
    own.poll(0)
    answer = own.served.model.predict(pd.DataFrame({"image": [plain("red")]})).iloc[0]
    assert (answer["model_version"], answer["is_cat"]) == (red, True)
