"""The command `cat-retrain`: its help, what it writes, and one sentence for whatever cannot work."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from include import cli
from include.ingestion.reviews import read_records
from include.lake import layout
from include.lake.local import LocalStore
from include.records import Review
from include.settings import ROOT
from tests.conftest import free_port
from tests.pictures import plain

COMMANDS = {
    "versions": "List the registered model versions",
    "promote": "Make a version champion",
    "review": "Decide about one photo for good",
    "predict": "Predict every photo of a folder",
    "validate": "Run the data checks",
    "rebuild": "Compute a dataset version again",
    "train-worker": "Help to train on pixels",
}


@pytest.fixture(autouse=True)
def own_lake(lake: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAT_LAKE_URL", f"file://{lake.root}")


@pytest.fixture
def no_servers(monkeypatch: pytest.MonkeyPatch) -> str:
    """Nothing answers at the URL of MLflow and of the model server."""
    url = f"http://127.0.0.1:{free_port()}"
    for name in ("CAT_MLFLOW_URL", "CAT_SERVER_URL"):
        monkeypatch.setenv(name, url)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(name, "")  # MLflow and the command set them; put back after the test
        monkeypatch.delenv(name)
    return url


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that cannot work; returns the sentence that it prints."""
    assert cli.main(arguments) == 1
    output, sentence = capsys.readouterr()
    assert output == ""
    assert sentence.endswith("\n")
    assert "\n" not in sentence[:-1]
    return sentence[:-1]


def shows_help(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, "--help"])
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = shows_help(capsys)
    for command, sentence in COMMANDS.items():
        assert f"{command} {sentence}" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_of_its_own(capsys: pytest.CaptureFixture[str], command: str) -> None:
    text = shows_help(capsys, command)
    assert f"usage: cat-retrain {command}" in text
    assert COMMANDS[command] in text


def test_it_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "include.cli"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage: cat-retrain" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_review_is_a_record_in_the_lake(lake: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["review", "p1", "relabel", "--by", "ann", "--label", "negative"]) == 0
    assert "counts from the next run of retrain on" in capsys.readouterr().out
    review = read_records(lake, Review, [layout.review("p1")])["p1"]
    assert isinstance(review, Review)
    assert (review.verdict, review.label, review.reviewer) == ("relabel", "negative", "ann")
    assert datetime.fromisoformat(review.reviewed_at).tzinfo


def test_a_second_review_of_a_photo_fails(lake: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["review", "p1", "keep", "--by", "ann"]) == 0
    before = lake.read(layout.review("p1"))
    capsys.readouterr()
    sentence = fails(capsys, "review", "p1", "drop", "--by", "bob")
    assert sentence == "photo p1 was reviewed before, and a review is final"
    assert lake.read(layout.review("p1")) == before


def test_relabel_needs_a_label(lake: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert "label 'None' is not one of positive, negative" in fails(capsys, "review", "p1", "relabel", "--by", "ann")
    assert not list(lake.keys(""))


def test_a_photo_that_no_key_can_hold_is_refused(lake: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert "must be names joined by single slashes" in fails(capsys, "review", "../p1", "keep", "--by", "ann")
    assert not list(lake.keys(""))


def test_a_missing_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "nothing here", tmp_path / "answers.csv"
    sentence = fails(capsys, "predict", str(folder), "--out", str(out))
    assert sentence == f"no files in {folder}: name a folder with photos"
    assert list(tmp_path.glob("answers*")) == []


def test_without_a_model_server_nothing_is_predicted(
    no_servers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "red.jpg").write_bytes(plain("red"))
    assert cli.main(["predict", str(tmp_path / "photos"), "--out", str(tmp_path / "answers.csv")]) == 1
    assert f"the model server at {no_servers}" in capsys.readouterr().err
    assert list(tmp_path.glob("answers*")) == []


@pytest.mark.parametrize("arguments", [["versions"], ["promote", "1"]], ids=["versions", "promote"])
def test_without_a_registry_there_is_one_sentence(
    no_servers: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"the registry at {no_servers} does not answer" in fails(capsys, *arguments)


@pytest.mark.parametrize("command", ["validate", "rebuild"])
def test_a_dataset_version_that_is_not_there_is_named(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no dataset 'abc' in this lake" in fails(capsys, command, "abc")


def test_a_lake_that_cannot_be_opened_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAT_LAKE_URL", "ftp://somewhere")
    assert "CAT_LAKE_URL=ftp://somewhere cannot work: it is neither" in fails(
        capsys, "review", "p1", "keep", "--by", "ann"
    )


def test_a_bucket_that_is_missing_is_named(
    s3_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAT_LAKE_URL", "s3://no-such-bucket")
    monkeypatch.setenv("CAT_S3_ENDPOINT_URL", s3_url)
    sentence = fails(capsys, "review", "p1", "keep", "--by", "ann")
    assert sentence.startswith(f"the lake s3://no-such-bucket at {s3_url} cannot be used: there is no such bucket")


def test_a_misspelt_setting_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CAT_LAKE_ULR", "s3://bucket")
    assert "CAT_LAKE_ULR is no setting: did you mean CAT_LAKE_URL?" in fails(capsys, "versions")
