"""The task `check_model`, from stored predictions to warnings, a page and figures; MLflow is a notebook here."""

import logging
from dataclasses import dataclass, field

import pytest

from include.lake import layout
from include.lake.formats import read_json, write_json, write_table
from include.validation import model
from include.validation.model import check_model, render_page, warnings_of
from tests.validation.test_model_suite import predictions

RUN = "r"


@dataclass
class Notebook:
    """What was logged, by its place in the MLflow run."""

    logged: dict = field(default_factory=dict)

    def log_dict(self, mlflow_run, value, place):
        self.logged[place] = value

    def log_text(self, mlflow_run, text, place):
        self.logged[place] = text


@pytest.fixture
def notebook(monkeypatch):
    notebook = Notebook()
    monkeypatch.setattr(model, "connect", lambda: notebook)
    return notebook


@pytest.fixture
def evaluated(lake):
    """A lake as `evaluate` leaves it, with a model that is blind to dark photos."""
    write_table(lake, layout.run_table(RUN, "scores"), predictions(dark_at_random=True))
    named = {"version": "7", "dataset": "d" * 64, "mlflow_run": "m"}
    write_json(lake, layout.run_json(RUN, "evaluation"), named | {"decision_rule": {"threshold": 0.5}})
    return lake


def test_a_planted_weakness_is_told(evaluated, notebook, caplog):
    with caplog.at_level(logging.WARNING):
        answer = check_model(evaluated, RUN)
    assert answer["version"] == "7"
    (warning,) = [line for line in answer["warnings"] if "brightness up to" in line]
    assert "20% is allowed (CAT_VALIDATION__MAX_WEAKNESS, or chance)" in warning
    assert warning in caplog.messages
    found = read_json(evaluated, layout.run_json(RUN, "weaknesses"))
    assert not found["passed"]
    worst = found["segments"][0]
    assert worst["photos"] >= 80
    assert worst["right"] < found["right"] - 0.2
    assert notebook.logged["evaluation/weaknesses.json"] == found
    page = notebook.logged["evaluation/weaknesses.html"]
    assert "Weaknesses of version 7" in page
    assert worst["about"] in page


@pytest.mark.parametrize("python", ["/bin/false", "/nowhere"])
def test_a_crash_warns_and_ends_well(evaluated, notebook, monkeypatch, caplog, python):
    monkeypatch.setenv("CAT_VALIDATION__PYTHON", python)
    with caplog.at_level(logging.WARNING):
        (warning,) = check_model(evaluated, RUN)["warnings"]
    assert "the checks of the model crashed" in warning
    assert warning in caplog.messages
    assert not read_json(evaluated, layout.run_json(RUN, "weaknesses"))["passed"]
    assert "The checks of the model crashed" in notebook.logged["evaluation/weaknesses.html"]


def found_with(**figure) -> dict:
    common = {"group": "all", "subject": "P(cat)", "limit": 0.15, "score": 0.1, "passed": True, "crash": None}
    told = {"version": "7", "dataset": "d", "mlflow_run": "m", "crash": None, "segments": [], "right": 0.9}
    return told | {"photos": {"val": 1000, "test": 999}, "figures": [common | {"check": "prediction drift"} | figure]}


def test_a_model_without_weaknesses_has_none_to_tell():
    found = found_with()
    assert warnings_of(found) == []
    page = render_page(found)
    assert "No figure is beyond its limit" in page
    assert "1,999" in page


def test_a_sentence_names_the_figure_its_limit_and_the_setting():
    (told,) = warnings_of(found_with(score=0.3, passed=False))
    assert "P(cat) differs between val and test by 0.300, 0.150 is allowed (CAT_VALIDATION__MAX_PREDICTION" in told
    (told,) = warnings_of(
        found_with(check="simple model comparison", score=1.2, limit=0.9, passed=False, subject="a tree")
    )
    assert "1.20 times the errors of a tree, 0.90 times is allowed (CAT_VALIDATION__MAX_ERROR_RATIO)" in told


def test_a_crashed_check_is_told_with_its_crash():
    (told,) = warnings_of(found_with(score=None, passed=False, crash="KeyError: 'side'"))
    assert told == "the check prediction drift crashed (KeyError: 'side')"
    assert "KeyError" in render_page(found_with(score=None, passed=False, crash="KeyError: 'side'"))
