"""A check of Deepchecks with its explicit condition, and its result as figures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from deepchecks.core import BaseCheck, CheckFailure, CheckResult, ConditionCategory, ConditionResult, SuiteResult


@dataclass(frozen=True)
class Check:
    """A check, how to read its scores (by subject), and the score that each may reach."""

    name: str
    check: BaseCheck
    scores: Callable[[Any], dict[str, float]]
    limit: float

    def with_condition(self) -> BaseCheck:
        return self.check.add_condition(f"at most {self.limit:.3g}", self._condition)

    def _condition(self, value: Any) -> ConditionResult:
        good = all(score <= self.limit for score in self.scores(value).values())  # not a number is not good
        return ConditionResult(ConditionCategory.PASS if good else ConditionCategory.FAIL)

    def figures(self, result: CheckResult | CheckFailure, group: str) -> Iterator[dict[str, Any]]:
        about = {"check": self.name, "group": group, "limit": self.limit}
        if isinstance(result, CheckFailure):
            crash = f"{type(result.exception).__name__}: {result.exception}"
            yield about | {"subject": "", "score": None, "passed": False, "crash": crash[:300]}
            return
        for subject, score in self.scores(result.value).items():
            known = score if score is not None and np.isfinite(score) else None
            passed = known is not None and bool(known <= self.limit)
            yield about | {"subject": subject, "score": known and float(known), "passed": passed, "crash": None}


def result_of(judge: Check, found: SuiteResult) -> CheckResult | CheckFailure:
    return next(result for result in found.results if type(result.check) is type(judge.check))
