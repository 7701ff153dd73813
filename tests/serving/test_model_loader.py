"""The champion is watched in this process, poll by poll: a new ChampionWatcher on the same folder is a restart."""

import errno
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import ModelError
from include.question import Question
from include.records import CONTRACT, ModelVersion
from include.registry.versions import find_version
from include.serving import model_loader
from include.serving.model_loader import LAST_GOOD, LOCK, REJECTED_SECONDS, ChampionWatcher
from include.settings import Settings
from include.training.mlflow_runs import Mlflow
from tests.pictures import plain
from tests.registry.test_versions import tamper
from tests.serving.conftest import Served


@pytest.fixture
def registry(served: Served, red: str) -> Mlflow:
    """A registry that is up, and its champion."""
    served.mlflow.start()
    served.point(red)
    return served.client


@pytest.fixture
def version(served: Served, registry: Mlflow) -> str:
    """A champion for one test to spoil."""
    made = served.version(f"spoiled-{len(served.versions)}")
    served.point(made)
    return made


def new_watcher() -> ChampionWatcher:
    return ChampionWatcher(Settings())


def served_by(watcher: ChampionWatcher) -> str | None:
    return watcher.served.version if watcher.served else None


def spoil_tags(client: Mlflow, version: str) -> None:
    client.set_model_version_tag(client.name, version, "contract", "99")


@pytest.mark.parametrize("tags", [{"contract": "99"}, {"contract": "99", "sha256": "0" * 64}])
def test_a_verified_version_on_disk_outlives_tags_that_are_spoiled_later(
    registry: Mlflow, version: str, tags: dict[str, str]
) -> None:
    new_watcher().poll(0)
    for name, value in tags.items():
        registry.set_model_version_tag(registry.name, version, name, value)
    for _ in range(2):
        again = new_watcher()
        again.poll(0)
        assert served_by(again) == version
        assert ("follows contract 99" in str(again.rejected)) == ("sha256" in tags), "a good copy needs no registry"


def test_a_restart_with_a_rejected_champion_serves_the_last_good_one(
    served: Served, registry: Mlflow, red: str, version: str, tmp_path: Path
) -> None:
    served.point(red)
    new_watcher().poll(0)
    (tmp_path / "entry.py").write_text("raise SystemExit")
    tamper(registry, find_version(registry, version), tmp_path / "entry.py")
    served.point(version)
    again = new_watcher()
    again.poll(0)
    assert served_by(again) == red
    assert "have the sum" in again.rejected[served.sum_of(version)]


def test_a_rejected_version_is_tried_again_after_a_while(registry: Mlflow, version: str) -> None:
    registry.set_model_version_tag(registry.name, version, "contract", "99")
    patient = new_watcher()
    patient.poll(0)
    registry.set_model_version_tag(registry.name, version, "contract", str(CONTRACT))
    patient.poll(REJECTED_SECONDS - 1)
    assert patient.served is None
    patient.poll(REJECTED_SECONDS)
    assert served_by(patient) == version
    assert patient.rejected == {}


def test_a_version_on_disk_of_another_contract_is_not_served_by_newer_code(
    registry: Mlflow, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_watcher().poll(0)
    spoil_tags(registry, version)
    monkeypatch.setattr(model_loader, "CONTRACT", CONTRACT + 1)
    newer = new_watcher()
    newer.poll(0)
    assert newer.served is None


@pytest.mark.parametrize("text", ["", "{half", '{"version": "1"}', "[]"])
def test_a_damaged_record_of_the_last_good_version_does_not_count(registry: Mlflow, red: str, text: str) -> None:
    folder = Settings().home / "server"
    folder.mkdir(parents=True)
    (folder / LAST_GOOD).write_text(text)
    careful = new_watcher()
    careful.poll(0)
    assert served_by(careful) == red
    assert json.loads((folder / LAST_GOOD).read_text())["version"] == red


def test_the_last_good_version_is_served_from_a_full_disk(
    registry: Mlflow, red: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk of our own that is full cannot be made here without being root: writing raises what it would raise."""
    new_watcher().poll(0)

    def write(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model_loader, "replacing", write)
    again = new_watcher()
    again._fall_back()
    assert served_by(again) == red
    assert "cannot be served" not in caplog.text


def test_a_version_that_was_changed_on_disk_is_downloaded_again(served: Served, registry: Mlflow, red: str) -> None:
    new_watcher().poll(0)
    (Settings().home / "server" / served.sum_of(red) / "artifacts" / "decision_rule.json").write_text("{}")
    again = new_watcher()
    again.poll(0)
    assert served_by(again) == red


def test_only_the_served_version_stays_on_disk(served: Served, registry: Mlflow, red: str, blue: str) -> None:
    tidy = new_watcher()
    for version in (red, blue):
        served.point(version)
        tidy.poll(0)
    assert {path.name for path in tidy.folder.iterdir()} == {served.sum_of(blue), LAST_GOOD, LOCK}


def test_the_thread_outlives_whatever_goes_wrong(registry: Mlflow, red: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error without a text, and a last good copy that cannot be served."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # as the thread sets them; put back after the test
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    monkeypatch.setattr(model_loader, "POLL_SECONDS", 0)
    new_watcher().poll(0)
    tough, polls = new_watcher(), list[float]()

    def fail(now: float) -> None:
        polls.append(now)
        if len(polls) == 3:
            tough.ended.set()
        raise OSError

    def cannot(_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(tough, "poll", fail)
    monkeypatch.setattr(tough, "_serve", cannot)
    tough.run(lambda: 0.0)
    assert len(polls) == 3


def test_a_model_that_fails_on_a_plain_photo_is_rejected(
    served: Served, registry: Mlflow, red: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def predict(self, *_: object, **__: object) -> None:
            raise ValueError("shapes (1, 32) and (3, 4)")

    monkeypatch.setattr(model_loader, "load", lambda *_: Failing())
    careful = new_watcher()
    careful.poll(0)
    assert careful.served is None
    assert "fails on a plain photo: shapes" in careful.rejected[served.sum_of(red)]


def test_the_served_model_is_the_registered_one(registry: Mlflow, red: str) -> None:
    own = new_watcher()
    own.poll(0)
    assert own.served
    answer = own.served.model.predict(pd.DataFrame({"image": [plain("red")]})).iloc[0]
    assert (answer["model_version"], answer["is_positive"]) == (red, True)


ONE, TWO = ModelVersion("1", "sum of 1"), ModelVersion("2", "sum of 2")


class FakeRegistry:
    """Versions that can be fetched unless they are ``broken``, and an alias that moves in no time."""

    name = "are-you-a-cat"

    def __init__(self) -> None:
        self.champion: ModelVersion | None = None
        self.broken: set[str] = set()
        self.fetched: list[str] = []

    def get_model_version(self, name: str, version: str) -> SimpleNamespace:
        return SimpleNamespace(tags={})

    def fetch(self, client: object, version: ModelVersion, folder: Path, question: Question) -> Path:
        self.fetched.append(version.number)
        if version.number in self.broken:
            raise ModelError(f"the files of version {version} are damaged")
        return folder


class FakeModel:
    def predict(self, photos: pd.DataFrame, params: dict[str, Any]) -> pd.DataFrame:
        return pd.DataFrame({"error": [None], "probability": [0.5]})


def stand_in_for_registry(patch: pytest.MonkeyPatch) -> FakeRegistry:
    fake = FakeRegistry()
    patch.setattr(model_loader, "connect", lambda _: fake)
    patch.setattr(model_loader, "champion_version", lambda _: fake.champion)
    patch.setattr(model_loader, "download_and_verify", fake.fetch)
    patch.setattr(model_loader, "load", lambda *_: FakeModel())
    return fake


@pytest.fixture
def fake_registry(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    return stand_in_for_registry(monkeypatch)


def test_a_rejection_is_forgotten_with_the_alias(fake_registry: FakeRegistry) -> None:
    """A rollback takes the alias away; when the mended version gets it back, the server tries it at once."""
    watcher = new_watcher()
    for now, champion in enumerate((ONE, TWO, ONE)):
        fake_registry.champion, fake_registry.broken = champion, {"2"}
        watcher.poll(now)
        assert served_by(watcher) == "1"
        assert set(watcher.rejected) == ({TWO.sha256} if champion == TWO else set())
    fake_registry.champion, fake_registry.broken = TWO, set()
    watcher.poll(3)
    assert REJECTED_SECONDS > 3
    assert served_by(watcher) == "2"
    assert watcher.rejected == {}


def test_a_rejected_champion_that_keeps_the_alias_is_not_tried_at_each_poll(fake_registry: FakeRegistry) -> None:
    watcher = new_watcher()
    fake_registry.champion, fake_registry.broken = TWO, {"2"}
    for now in (0, 2, 4):
        watcher.poll(now)
    assert fake_registry.fetched == ["2"]
    assert "damaged" in watcher.rejected[TWO.sha256]


@pytest.mark.parametrize("number", ["1", "2"])
def test_another_sum_is_another_version_whatever_its_number(fake_registry: FakeRegistry, number: str) -> None:
    """The registered model was deleted and made anew, or the server has another registry: numbers begin at 1 again."""
    watcher = new_watcher()
    fake_registry.champion = ONE
    watcher.poll(0)
    fake_registry.champion = ModelVersion(number, "of the new registry")
    watcher.poll(1)
    assert fake_registry.fetched == ["1", number]
    assert watcher.served
    assert (watcher.served.version, watcher.served.sha256) == (number, "of the new registry")


def test_a_version_that_the_registry_names_otherwise_is_still_the_same(fake_registry: FakeRegistry) -> None:
    watcher = new_watcher()
    for now, number in enumerate(("1", "7")):
        fake_registry.champion = ModelVersion(number, ONE.sha256)
        watcher.poll(now)
    assert fake_registry.fetched == ["1"]


@settings(max_examples=12)  # each takes about a second
@given(st.lists(st.tuples(st.sampled_from("123"), st.sampled_from("abc")), min_size=1, max_size=8))
def test_what_is_served_always_has_the_sum_of_the_champion(moves: list[tuple[str, str]]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as home:
        patch.setenv("CAT_STATE_DIR", home)
        fake = stand_in_for_registry(patch)
        watcher = new_watcher()
        for now, move in enumerate(moves):
            fake.champion = ModelVersion(*move)
            watcher.poll(now)
            assert watcher.served
            assert watcher.served.sha256 == fake.champion.sha256
