"""The results of the data checks in words: one result per comparison, and the sentence that stops a run."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from include.errors import ValidationFailed

SETTINGS = {  # the limit of each check
    "label drift": "CAT_VALIDATION__MAX_LABEL_DRIFT",
    "image property drift": "CAT_VALIDATION__MAX_PROPERTY_DRIFT",
    "image dataset drift": "CAT_VALIDATION__MAX_DATASET_DRIFT",
    "property-label correlation change": "CAT_VALIDATION__MAX_CORRELATION_CHANGE",
    "heat map comparison": "CAT_VALIDATION__MAX_HEATMAP_DIFFERENCE",
    "outliers": "CAT_VALIDATION__MAX_OUTLIERS",
}
LABELS, TEST, CHAMPION, UPLOADS = "labels", "test", "champion", "uploads"  # the comparisons
FAILURES = {
    LABELS: "the raw records hold unknown labels",
    TEST: "the test split differs from the train split",
    CHAMPION: "this train split differs from the champion's",
    UPLOADS: "the new uploads differ from the train split",
}


@dataclass(frozen=True)
class ComparisonResult:
    """``passed`` is None where the comparison was not made; ``note`` says why, or what failed outside the checks.

    ``checks`` are records with check, group, subject, score, limit, passed and crash.
    """

    name: str
    stops: bool
    passed: bool | None
    note: str = ""
    photos: dict[str, int] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)
    outliers: dict[str, list[str]] = field(default_factory=dict)
    plots: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return self.passed is False

    @property
    def state(self) -> str:
        if self.passed is None:
            return "not made"
        return "passed" if self.passed else "stops the run" if self.stops else "warns"

    @property
    def message(self) -> str:
        """What differs, by how much, against which limit; or the note of a comparison that did not fail."""
        return describe_failure(self) if self.failed else self.note

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"state": self.state}


def as_json(results: list[ComparisonResult]) -> dict[str, Any]:
    passed = not any(result.stops and result.failed for result in results)
    return {"passed": passed, "comparisons": [result.as_json() for result in results]}


def describe_failure(result: ComparisonResult) -> str:
    failed = sorted((check for check in result.checks if not check["passed"]), key=excess, reverse=True)
    parts = [result.note] if result.note else []
    parts += [describe_check(check) for check in failed[:1]]
    if len(failed) > 1:
        others = len(failed) - 1
        parts.append(f"{others} more {'score is' if others == 1 else 'scores are'} beyond the limit")
    return f"{FAILURES[result.name]}: {'; '.join(parts)}"


def describe_check(check: dict[str, Any]) -> str:
    group = "" if check["group"] == "all" else f" with label {check['group']}"
    if check["crash"]:
        return f"the check {check['check']}{group} crashed ({check['crash']})"
    score = "not a number" if check["score"] is None else f"{check['score']:.3g}"
    return f"{check['check']} of {check['subject']}{group} is {score}, at most {check['limit']:.3g} is allowed"


def excess(check: dict[str, Any]) -> float:
    """How far a score lies beyond its limit, as a ratio; infinite where there is no score, or no tolerance."""
    if check["score"] is None or (not check["limit"] and check["score"]):
        return math.inf
    return float(check["score"] / check["limit"]) if check["limit"] else 0.0


def raise_if_stopped(results: list[ComparisonResult], page: str) -> None:
    """Raise ValidationFailed when a comparison that stops has failed; ``page`` is where the page lies."""
    fatal = [result for result in results if result.stops and result.failed]
    if fatal:
        message = ". ".join(result.message for result in fatal)
        raise ValidationFailed(f"{message}. Nothing is trained. Look at {page}; {_cure(fatal)}")


def _cure(fatal: list[ComparisonResult]) -> str:
    names = {result.name for result in fatal}
    cures = ["correct or delete those records"] if LABELS in names else []
    cures += ["remove or replace the photos that differ"] if names - {LABELS} else []
    checks = sorted({check["check"] for result in fatal for check in result.checks if not check["passed"]})
    cures += [f"raise {', '.join(SETTINGS[check] for check in checks)}"] if checks else []
    listed = ", ".join(result.name for result in fatal)
    return f"then {', or '.join(cures)}, or take {listed} out of CAT_VALIDATION__STOPS to be warned only"
