"""The results of the data checks in words, and when they stop a run."""

import math
from typing import Any

import pytest

from include.errors import ValidationFailed
from include.validation.results import ComparisonResult, describe_check, excess, raise_if_stopped


def check(name: str = "outliers", **given: Any) -> dict[str, Any]:
    """A failed check with a score above its limit."""
    common = {"check": name, "group": "all", "subject": "brightness", "score": 0.4, "limit": 0.05}
    return common | {"passed": False, "crash": None} | given


def failed(*checks: dict[str, Any], name: str = "test", stops: bool = True) -> ComparisonResult:
    return ComparisonResult(name, stops, False, checks=list(checks))


def test_a_warning_does_not_stop_the_run() -> None:
    warns, not_made = failed(check(), name="uploads", stops=False), ComparisonResult("test", True, None, "too few")
    raise_if_stopped([warns, not_made], "page")
    assert (warns.state, not_made.state) == ("warns", "not made")


def test_a_failed_comparison_names_the_worst_score_and_how_many_more() -> None:
    worst, others = check(subject="contrast", score=0.9), [check(), check(subject="sharpness", score=0.2)]
    message = failed(*others, worst).message
    assert "outliers of contrast is 0.9, at most 0.05 is allowed; 2 more scores are beyond the limit" in message
    assert failed(worst, check()).message.endswith("; 1 more score is beyond the limit")


def test_a_score_that_is_not_a_number_is_the_worst() -> None:
    missing = check(subject="contrast", score=None)
    assert math.isinf(excess(missing))
    assert describe_check(missing) == "outliers of contrast is not a number, at most 0.05 is allowed"
    assert "outliers of contrast is not a number" in failed(check(score=0.9), missing).message


def test_a_limit_of_zero_is_no_division_by_zero() -> None:
    assert excess(check(score=0.0, limit=0.0, passed=True)) == 0
    assert math.isinf(excess(check(score=0.01, limit=0.0)))
    assert "outliers of brightness is 0.01, at most 0 is allowed" in failed(check(score=0.01, limit=0.0)).message


def test_what_stops_the_run_names_the_page_the_cure_and_the_setting() -> None:
    with pytest.raises(ValidationFailed, match="Nothing is trained. Look at runs/r/page.html; then remove") as raised:
        raise_if_stopped([failed(check(score=0.01, limit=0.0))], "runs/r/page.html")
    assert "raise CAT_VALIDATION__MAX_OUTLIERS" in str(raised.value)
    assert "take test out of CAT_VALIDATION__STOPS" in str(raised.value)


def test_a_crashed_check_is_described_by_its_error() -> None:
    crashed = check(score=None, group="positive", crash="KeyError: 'x'")
    assert describe_check(crashed) == "the check outliers with label positive crashed (KeyError: 'x')"
