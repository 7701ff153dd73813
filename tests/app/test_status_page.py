"""The status page: what serves, quality with intervals, decisions, what visitors say, and what waits."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.model_reports import read_reports, report_of
from include.ingestion.answer_counts import save_count
from include.lake import layout
from include.lake.formats import write_json
from include.lake.local import LocalStore
from include.records import AnswerCount
from include.status import Status
from tests.app.conftest import forget_cached
from tests.app.stand_in import ModelServer
from tests.app.visitor import whole, words
from tests.conftest import free_port


def report(version: str, *, sha256: str, day: int, precision: float = 0.9) -> dict[str, Any]:
    interval = {"low": precision - 0.03, "high": precision + 0.03}
    return {
        "version": version,
        "sha256": sha256,
        "registered_at": f"2026-11-{day:02}T10:00:00+00:00",
        "test": {"precision": interval | {"value": precision}, "recall": interval | {"value": precision - 0.01}},
        "summary": f"Version {version} is not worse beyond the margin. It was promoted.",
        "statuses": {"uploads": {Status.USED: 5, Status.UNREVIEWED_HOLDOUT: 2, Status.SESSION_BURST: 1}},
    }


@pytest.fixture
def status(page: AppTest, answering: ModelServer) -> AppTest:
    return page.run()


def look(status: AppTest) -> str:
    status.switch_page("pages/status.py").run()
    return words(whole(status))


def test_before_the_first_run_it_says_so(status: AppTest) -> None:
    shown = look(status)
    assert "No version has been evaluated yet" in shown
    assert "Answers in all: 0" in shown


def test_it_tells_of_models_decisions_and_visitors(status: AppTest, lake: LocalStore) -> None:
    write_json(lake, layout.run_report("a"), report("6", sha256="before", day=1))
    write_json(lake, layout.run_report("b"), report("7", sha256="live", day=8))
    lake.write(layout.run_report("older form"), b'{"version": "1"}')
    for number, answer in enumerate(["positive"] * 8 + ["negative"] * 2 + ["neither"]):
        save_count(lake, f"c{number}", AnswerCount("7", "positive", answer, "2026-11-20"))
    shown = look(status)
    assert "**Version 7**, trained on 8 November 2026, in service since 27 November 2026" in shown
    assert shown.index("Version 7 is not worse") < shown.index("Version 6 is not worse")
    assert "Answers in all: 11." in shown
    assert "It called 10 of these photos “a cat”, and visitors agreed on 8: **80%** (49% to 94%)" in shown
    assert "For a person's review, as of the last run: 3." in shown
    assert [list(table.value.index) for table in status.table] == [["6", "6", "7", "7"]]
    assert len(status.get("vega_lite_chart")) == 1
    assert "[Airflow](http://127.0.0.1:8080) · [MLflow](http://127.0.0.1:5000)" in shown


def fail(*_: object) -> None:
    raise OSError("the disk is gone")


def test_it_stands_when_server_and_lake_are_down(
    status: AppTest, lake: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAT_SERVER_URL", f"http://127.0.0.1:{free_port()}")
    for name in ("keys", "read"):
        monkeypatch.setattr(LocalStore, name, fail)
    forget_cached()
    shown = look(status)
    assert "The lake does not answer right now" in shown
    assert "The model server does not answer right now" in shown
    assert "The answers cannot be read right now" in shown


def test_a_report_belongs_to_the_model_with_its_sum(lake: LocalStore) -> None:
    write_json(lake, layout.run_report("a"), report("7", sha256="deleted registry", day=9))
    write_json(lake, layout.run_report("b"), report("7", sha256="live", day=8))
    reports, live = read_reports(lake), {"model_version": "7", "sha256": "live"}
    found = report_of(reports, live, "7")
    assert found is not None
    assert found["sha256"] == "live"
    assert report_of(reports, live, "6") is None, "another one answered"
    assert report_of(reports, live | {"sha256": "unknown"}, "7") is None
    assert report_of(reports, {}, "7") is None
