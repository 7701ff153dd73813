"""Settings are checked once, by whatever starts: each fault in a sentence that names the variable and the cure."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.configuration import OF_COMPOSE, OF_THE_STACK, known_names, read_settings
from include.errors import BadSetting
from include.setting_types import parse_lake_url
from include.settings import ROOT, Settings

ENDING = " (.env.example explains all settings)"


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """What is said of these variables, in one line."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting) as caught:
        read_settings()
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(ENDING)
    return sentence.removesuffix(ENDING)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CAT_IMAGE_PER_SOURCE", "CAT_IMAGES_PER_SOURCE"),
        ("CAT_VALIDATION__STOP", "CAT_VALIDATION__STOPS"),
        ("CAT_VALIDATION_STOPS", "CAT_VALIDATION__STOPS"),
        ("CAT_GATE__CLOSE_CALL", "CAT_GATE__CLOSE_CALLS"),
        ("CAT_POLICY__QUALITY__MINSIDE", "CAT_POLICY__QUALITY__MIN_SIDE"),
        ("cat_lakeurl", "CAT_LAKE_URL"),
    ],
)
def test_a_misspelt_name_is_told_with_the_one_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    assert refusal(monkeypatch, **{name: "1"}) == f"{name.upper()} is no setting: did you mean {meant}?"


@given(st.sampled_from(sorted(known_names())), st.data())
def test_any_slip_of_a_key_leads_to_the_name_that_is_meant(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(len("CAT_"), len(name) - 1))
    slip = name[:place] + data.draw(st.sampled_from(["", "Q", name[place] * 2])) + name[place + 1 :]
    if slip in {*known_names(), *OF_COMPOSE, *OF_THE_STACK}:
        return
    with pytest.MonkeyPatch.context() as monkeypatch:
        sentence = refusal(monkeypatch, **{slip: "1"})
    assert sentence.startswith(f"{slip} is no setting: ")


def test_what_is_no_setting_at_all_is_to_be_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(monkeypatch, CAT_XYZ="1") == "CAT_XYZ is no setting: take it away"


def test_a_file_is_read_like_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CAT_UID=1000\nCAT_EPOCH=3\nOTHER=1\nCAT_SEED=x\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    faults = refusal(monkeypatch).split("; ")
    assert [fault.split(" ")[0] for fault in faults] == ["CAT_EPOCH", "CAT_SEED=x"]
    (tmp_path / ".env").write_bytes(b"CAT_SEED=\xff")
    assert refusal(monkeypatch).startswith(".env cannot be read: ")


def test_variables_of_the_compose_file_and_of_the_stack_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    named = set(re.findall(r"\$\{(CAT_\w+)", (ROOT / "docker-compose.yaml").read_text()))
    assert named - set(known_names()) == OF_COMPOSE
    for name in OF_COMPOSE | OF_THE_STACK:
        monkeypatch.setenv(name, "anything")
    assert read_settings() == Settings()


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("CAT_EPOCHS", "many", "it should be a valid integer"),
        ("CAT_EPOCHS", "0", "greater than or equal to 1"),
        ("CAT_LEARNING_RATE", "inf", "it should be a finite number"),
        ("CAT_GATE__MARGIN", "nan", "it should be a finite number"),
        ("CAT_NETWORK", "mobilenet", "it should be 'efficientnet_lite0' or 'scratch'"),
        ("CAT_VALIDATION__STOPS", "label", "not among labels, test, champion and uploads"),
        ("CAT_QUESTION__SOURCES", "Cats,dogs", "small letters, digits"),
        ("CAT_RETRAIN_SCHEDULE", "weekly", "neither a cron expression of five fields nor one of @once, "),
        ("CAT_INGEST_SCHEDULE", "61 * * * *", "neither a cron expression"),
        ("CAT_APP_PORT", "70000", "less than or equal to 65535"),
        ("CAT_S3_ENDPOINT_URL", "storage.example:9000", "write the whole URL, such as http://"),
        ("CAT_MLFLOW_URL", "http://a b", "write the whole URL"),
        ("CAT_SERVER_URL", "http://host:port", "write the whole URL"),
        ("CAT_LAKE_URL", "file://lake", "with three slashes: file:///folder"),
        ("CAT_LAKE_URL", "file:///~/lake", "~ means nothing in a URL"),
        ("CAT_LAKE_URL", "s3://My Bucket", "cannot be a bucket"),
        ("CAT_LAKE_URL", "s3://bucket/../x", "cannot be a prefix"),
        ("CAT_LAKE_URL", "/a/folder", "neither file:///folder nor s3://bucket"),
    ],
)
def test_a_wrong_value_is_told_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    sentence = refusal(monkeypatch, **{variable: value})
    assert sentence.startswith(variable)
    assert " cannot work: " in sentence
    assert reason in sentence


def test_a_group_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(monkeypatch, CAT_POLICY="strict").startswith("CAT_POLICY is a group: set CAT_POLICY__")


def test_two_ports_must_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = refusal(monkeypatch, CAT_APP_PORT="5000")
    assert sentence == "CAT_MLFLOW_PORT and CAT_APP_PORT are both 5000: give each its own"


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "s3cret" not in refusal(monkeypatch, CAT_ALERT_WEBHOOK="hooks.example/s3cret")


@given(st.sampled_from(sorted(set(known_names()) - {"CAT_QUESTION"})), st.text(max_size=12))
def test_whatever_a_value_is_it_works_or_is_told_in_one_line(name: str, value: str) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(name, value.encode(errors="ignore").decode().replace("\0", ""))
        try:
            said = str(read_settings().home)
        except BadSetting as error:
            said = str(error)
    assert said.endswith(ENDING) == said.startswith("CAT_")


FOLDERS = ["/a folder", "/it's & so", "/50%", "/what?", "/a#b", "/ünï", "/" + "x" * 250]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_lake_may_lie_in_any_folder(folder: str) -> None:
    assert parse_lake_url(f"file://{folder}").folder == Path(folder)
    assert parse_lake_url(Path(folder).as_uri()).folder == Path(folder)
    settings = Settings(state_dir=Path(folder))
    assert parse_lake_url(settings.lake).folder == settings.home / "lake"


@given(st.binary(min_size=1, max_size=200).filter(lambda name: not set(name) & {0, 47}))
def test_the_local_state_of_any_folder_has_a_name_that_every_program_takes(name: bytes) -> None:
    folder = os.path.join("/photos", os.fsdecode(name))
    if os.path.normpath(folder) != folder:  # . and ..
        return
    home = Settings.model_construct(**(Settings().model_dump() | {"base_data": folder})).base_set
    assert re.fullmatch(r"[\w.-]*-[0-9a-f]{8}", home)
    assert len(os.fsencode(home)) <= 100


def test_a_percent_sign_stands_for_a_byte_and_a_prefix_ends_with_a_slash() -> None:
    assert parse_lake_url("file:///a%20b").folder == Path("/a b")
    place = parse_lake_url("s3://bucket/of%20cats/2026/")
    assert (place.bucket, place.prefix) == ("bucket", "of cats/2026/")
    assert parse_lake_url("s3://bucket/").prefix == ""


def test_home_is_known_without_a_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = read_settings(base_data="~/photos", state_dir="~/state")
    assert settings.base_data == str(tmp_path / "photos")
    assert settings.state_dir == tmp_path / "state"


COMMANDS = {
    "demo": ["-m", "stack.demo"],
    "command": ["-m", "include.cli", "versions"],
    "server": ["-m", "include.serving.server"],
    "app": ["-c", "from app.services import get_settings; get_settings()"],
    "DAGs": ["-c", "import cat_plugin.defaults"],
}
SLOW = ("server", "app", "DAGs")  # to import


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in COMMANDS]
)
def test_all_that_starts_says_so(name: str, tmp_path: Path) -> None:
    """The app and a DAG file raise BadSetting, whose message their pages show; the others end with the sentence."""
    environment = {**os.environ, "CAT_IMAGE_PER_SOURCE": "10", "CAT_SEED": "x", "PYTHONPATH": f"{ROOT}:{ROOT}/plugins"}
    environment |= {"AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, *COMMANDS[name]], cwd=ROOT, env=environment, capture_output=True, text=True)
    output = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert "CAT_IMAGE_PER_SOURCE is no setting: did you mean CAT_IMAGES_PER_SOURCE?; CAT_SEED=x cannot work:" in output
    assert ("Traceback" in output) == (name in ("app", "DAGs"))
