"""The task `check_model`, from stored predictions to warnings, a page and scores; a stand-in plays MLflow."""

import logging
from dataclasses import dataclass, field
from typing import Any

import pytest

from include.lake import layout
from include.lake.formats import read_json, write_json, write_table
from include.lake.local import LocalStore
from include.records import ModelVersion
from include.settings import Settings
from include.training.run_results import keep_version
from include.validation import model
from include.validation.model import check_model, render_page, warnings_of
from tests.validation.test_model_suite import predictions

RUN = "r"


@dataclass
class MlflowStandIn:
    """What was logged, by its path in the MLflow run."""

    logged: dict[str, Any] = field(default_factory=dict)

    def log_dict(self, mlflow_run: str, value: dict[str, Any], path: str) -> None:
        self.logged[path] = value

    def log_text(self, mlflow_run: str, text: str, path: str) -> None:
        self.logged[path] = text


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> MlflowStandIn:
    client = MlflowStandIn()
    monkeypatch.setattr(model, "connect", lambda _: client)
    return client


@pytest.fixture
def evaluated(lake: LocalStore) -> LocalStore:
    """A lake after `evaluate` and `register`, with a model whose verdicts on dark photos are random."""
    write_table(lake, layout.run_scores(RUN), predictions(dark_at_random=True))
    evaluation = {"dataset": "d" * 64, "mlflow_run": "m", "decision_rule": {"threshold": 0.5}}
    write_json(lake, layout.run_evaluation(RUN), evaluation)
    keep_version(lake, RUN, ModelVersion("7", "a sum"), evaluation)
    return lake


def test_a_planted_weakness_is_reported(
    evaluated: LocalStore, client: MlflowStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        answer = check_model(evaluated, RUN, Settings())
    assert answer["version"] == "7"
    (warning,) = [line for line in answer["warnings"] if "brightness up to" in line]
    assert "20% is allowed (CAT_VALIDATION__MAX_WEAKNESS, or chance)" in warning
    assert warning in caplog.messages
    result = read_json(evaluated, layout.run_model_checks(RUN))
    assert not result["passed"]
    worst = result["segments"][0]
    assert worst["photos"] >= 80
    assert worst["right"] < result["right"] - 0.2
    assert client.logged["evaluation/model_checks.json"] == result
    page = client.logged["evaluation/model_checks.html"]
    assert "Model checks of version 7" in page
    assert worst["about"] in page


@pytest.mark.parametrize("python", ["/bin/false", "/nowhere"])
def test_a_crash_warns_and_does_not_fail_the_task(
    evaluated: LocalStore,
    client: MlflowStandIn,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    python: str,
) -> None:
    monkeypatch.setenv("CAT_VALIDATION__PYTHON", python)
    with caplog.at_level(logging.WARNING):
        (warning,) = check_model(evaluated, RUN, Settings())["warnings"]
    assert "the checks of the model crashed" in warning
    assert warning in caplog.messages
    assert not read_json(evaluated, layout.run_model_checks(RUN))["passed"]
    assert "The checks of the model crashed" in client.logged["evaluation/model_checks.html"]


def result_with(**check: Any) -> dict[str, Any]:
    """The result of a process with one check."""
    common = {"group": "all", "subject": "P(positive)", "limit": 0.15, "score": 0.1, "passed": True, "crash": None}
    result: dict[str, Any] = {"version": "7", "dataset": "d", "mlflow_run": "m", "crash": None}
    result |= {"segments": [], "right": 0.9}
    return result | {"photos": {"val": 1000, "test": 999}, "checks": [common | {"check": "prediction drift"} | check]}


def test_a_model_without_weaknesses_has_no_warnings() -> None:
    result = result_with()
    assert warnings_of(result) == []
    page = render_page(result)
    assert "No score is beyond its limit" in page
    assert "1,999" in page


def test_a_warning_names_the_score_its_limit_and_the_setting() -> None:
    (drift,) = warnings_of(result_with(score=0.3, passed=False))
    setting = "CAT_VALIDATION__MAX_PREDICTION_DRIFT"
    assert f"P(positive) differs between val and test by 0.300, 0.150 is allowed ({setting}" in drift
    tree: dict[str, Any] = {"check": "simple model comparison", "subject": "a tree", "score": 1.2, "limit": 0.9}
    (errors,) = warnings_of(result_with(**tree, passed=False))
    assert "1.20 times the errors of a tree, 0.90 times is allowed (CAT_VALIDATION__MAX_ERROR_RATIO)" in errors


def test_a_crashed_check_is_reported_with_its_error() -> None:
    crashed = result_with(score=None, passed=False, crash="KeyError: 'split'")
    (warning,) = warnings_of(crashed)
    assert warning == "the check prediction drift crashed (KeyError: 'split')"
    assert "KeyError" in render_page(crashed)
