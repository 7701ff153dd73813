"""What the checks came to, in words: one finding for each comparison, and the sentence that stops a run."""

from dataclasses import asdict, dataclass, field
from typing import Any

from include.errors import ValidationFailed

SETTINGS = {  # what limits each check
    "label drift": "CAT_VALIDATION__MAX_LABEL_DRIFT",
    "image property drift": "CAT_VALIDATION__MAX_PROPERTY_DRIFT",
    "image dataset drift": "CAT_VALIDATION__MAX_DATASET_DRIFT",
    "property-label correlation change": "CAT_VALIDATION__MAX_CORRELATION_CHANGE",
    "heat map comparison": "CAT_VALIDATION__MAX_HEATMAP_DIFFERENCE",
    "outliers": "CAT_VALIDATION__MAX_OUTLIERS",
}
LABELS, TEST, CHAMPION, UPLOADS = "labels", "test", "champion", "uploads"
DIFFERS = {
    LABELS: "the raw records hold labels that are not known",
    TEST: "the test split differs from the train split",
    CHAMPION: "this train split differs from the champion's",
    UPLOADS: "the new uploads differ from the train split",
}


@dataclass(frozen=True)
class ComparisonResult:
    """One comparison. ``passed`` is None where it was not made; ``note`` says why, or what is wrong outside figures."""

    name: str
    stops: bool
    passed: bool | None
    note: str = ""
    photos: dict[str, int] = field(default_factory=dict)
    figures: list[dict[str, Any]] = field(default_factory=list)
    outliers: dict[str, list[str]] = field(default_factory=dict)
    plots: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        if self.passed is None:
            return "not made"
        return "passed" if self.passed else "stops the run" if self.stops else "warns"

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"state": self.state}


def describe_comparison(finding: ComparisonResult) -> str:
    """What differs, by how much against which limit."""
    failed = sorted((one for one in finding.figures if not one["passed"]), key=_excess, reverse=True)
    told = [finding.note] if finding.note else []
    told += [describe_result(one) for one in failed[:1]]
    if len(failed) > 1:
        told.append(f"{len(failed) - 1} more figures are beyond their limits")
    return f"{DIFFERS[finding.name]}: {'; '.join(told)}"


def describe_result(figure: dict[str, Any]) -> str:
    group = "" if figure["group"] == "all" else f" with label {figure['group']}"
    if figure["crash"]:
        return f"the check {figure['check']}{group} crashed ({figure['crash']})"
    score = "not a number" if figure["score"] is None else f"{figure['score']:.3g}"
    return f"{figure['check']} of {figure['subject']}{group} is {score}, at most {figure['limit']:.3g} is allowed"


def raise_if_stopped(findings: list[ComparisonResult], place: str) -> None:
    """Raise ValidationFailed when a finding that stops has failed; ``place`` is where the page lies."""
    fatal = [one for one in findings if one.stops and one.passed is False]
    if not fatal:
        return
    told = ". ".join(describe_comparison(one) for one in fatal)
    raise ValidationFailed(f"{told}. Nothing is trained. Look at {place}; {_cure(fatal)}")


def _cure(fatal: list[ComparisonResult]) -> str:
    names = ", ".join(one.name for one in fatal)
    cures = []
    if any(one.name == LABELS for one in fatal):
        cures.append("correct or delete those records")
    if any(one.name != LABELS for one in fatal):
        cures.append("take out or replace the photos that differ")
    checks = sorted({one["check"] for finding in fatal for one in finding.figures if not one["passed"]})
    cures += [f"raise {', '.join(SETTINGS[check] for check in checks)}"] if checks else []
    return f"then {', or '.join(cures)}, or take {names} out of CAT_VALIDATION__STOPS to be warned only"


def _excess(figure: dict[str, Any]) -> float:
    return float("inf") if figure["score"] is None else figure["score"] / figure["limit"]
