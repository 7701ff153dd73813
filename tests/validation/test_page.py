"""The page of the data checks: what it shows of each check, and that it escapes it."""

import re
from typing import Any

import pytest

from include.validation.page import render_page
from include.validation.results import ComparisonResult

SHARES = {"edges": [0.0, 1.0, 2.0], "reference": [0.5, 0.5], "new": [0.25, 0.75]}
PLOTS = {"histograms": {name: {"all": SHARES} for name in ("brightness", "contrast")}, "means": {}}


def check(subject: str, score: float | None, **given: Any) -> dict[str, Any]:
    common = {"check": "image property drift", "group": "all", "subject": subject, "score": score, "limit": 0.2}
    return common | {"passed": score is not None and score <= 0.2, "crash": None} | given


def rows_of(*checks: dict[str, Any]) -> list[list[str]]:
    """The cells of each check that the page shows: photos, worst subject, score and limit."""
    result = ComparisonResult("test", True, False, photos={"reference": 9, "new": 8}, checks=list(checks), plots=PLOTS)
    page = render_page([result]).decode()
    (table,) = (part for part in re.findall(r"<table>(.*?)</table>", page, re.DOTALL) if "Worst in" in part)
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.DOTALL)[1:]
    return [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)][1:]
        for row in rows
    ]


@pytest.mark.parametrize("order", [1, -1], ids=["first", "last"])
def test_a_failed_score_that_is_not_a_number_is_shown_before_any_other(order: int) -> None:
    checks = [check("brightness", None), check("contrast", 0.05), check("sharpness", 0.9)]
    assert rows_of(*checks[::order]) == [["all", "brightness", "none", "0.200"]]


def test_the_worst_failed_score_of_each_group_is_shown() -> None:
    positive = [check("brightness", 0.3, group="positive"), check("contrast", 0.1, group="positive")]
    shown = rows_of(check("brightness", 0.3), check("contrast", 0.5), check("sharpness", 0.1), *positive)
    assert shown == [["all", "contrast", "0.500", "0.200"], ["positive", "brightness", "0.300", "0.200"]]


def test_a_failed_score_near_a_wide_limit_is_shown_before_a_passed_one() -> None:
    """A crash has no score and stands first; without one a failure stands before whatever passed."""
    near = check("contrast", 0.21)
    assert rows_of(check("brightness", 0.2), near) == [["all", "contrast", "0.210", "0.200"]]
    crashed = check("", None, crash="KeyError: 'x'")
    assert rows_of(near, crashed) == [["all", "", "crashed", "0.200"]]


@pytest.mark.parametrize(("score", "passed"), [(0.0, True), (0.01, False)])
def test_a_limit_of_zero_is_no_division_by_zero(score: float, passed: bool) -> None:
    assert rows_of(check("brightness", score, limit=0.0, passed=passed))[0][-1] == "0.000"


def test_the_page_escapes_what_it_shows() -> None:
    page = render_page([ComparisonResult("labels", True, False, "<script>")])
    assert b"<script>" not in page
    assert b"&lt;script&gt;" in page
