"""A Deepchecks check with an explicit limit, and its results as dicts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from deepchecks.core import BaseCheck, CheckFailure, CheckResult, ConditionCategory, ConditionResult, SuiteResult


@dataclass(frozen=True)
class Check:
    """A check, the function that reads its scores by subject, and the highest score that passes."""

    name: str
    check: BaseCheck
    scores: Callable[[Any], dict[str, float]]
    limit: float

    def with_condition(self) -> BaseCheck:
        return self.check.add_condition(f"at most {self.limit:.3g}", self._condition)

    def _condition(self, value: Any) -> ConditionResult:
        passed = all(score <= self.limit for score in self.scores(value).values())  # NaN fails
        return ConditionResult(ConditionCategory.PASS if passed else ConditionCategory.FAIL)

    def results(self, result: CheckResult | CheckFailure, group: str) -> Iterator[dict[str, Any]]:
        """One dict for each score: check, group, limit, subject, score, passed, crash.

        ``score`` is None if it is not finite or the check crashed; ``crash`` is then the error, else None.
        """
        common = {"check": self.name, "group": group, "limit": self.limit}
        if isinstance(result, CheckFailure):
            crash = f"{type(result.exception).__name__}: {result.exception}"
            yield common | {"subject": "", "score": None, "passed": False, "crash": crash[:300]}
            return
        for subject, score in self.scores(result.value).items():
            finite = score if score is not None and np.isfinite(score) else None
            passed = finite is not None and bool(finite <= self.limit)
            yield common | {"subject": subject, "score": finite and float(finite), "passed": passed, "crash": None}


def result_of(check: Check, suite_result: SuiteResult) -> CheckResult | CheckFailure:
    """The result of a check in a suite where each type of check occurs once."""
    return next(result for result in suite_result.results if type(result.check) is type(check.check))
