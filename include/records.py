"""What crosses the stages: the vocabulary of the domain, and frozen records spelled with it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from include.errors import BadRecord
from include.question import NEGATIVE, POSITIVE

Split = Literal["train", "val", "test"]
ThresholdRule = Literal["even_odds", "recall_at_precision"]
ReviewVerdict = Literal["keep", "relabel", "drop"]
Removal = Literal["moved", "gone", "taken back"]
Result = Literal["passed", "close call", "failed"]  # of one rule of the gate
Outcome = Literal["better", "close call", "not better"]  # of all of them
Role = Literal["champion", "reference"]  # whom a challenger is compared with
CloseCalls = Literal["keep", "promote", "ask"]  # what happens in a close call: keep the champion, or promote, or ask

PROMOTE, KEEP = "Promote the challenger", "Keep the champion"  # what a person can answer in a close call
WHY = "why"  # the param that asks for the reason
LABELS = (POSITIVE, NEGATIVE)
ANSWERS = (POSITIVE, NEGATIVE, "neither")  # of a user; "neither" never trains
VERDICTS = (POSITIVE, NEGATIVE, "unsure")  # what the app tells about a photo
SPLITS: tuple[str, ...] = get_args(Split)
UPLOADS = "uploads"  # the source of photos that users gave
UNKNOWN_CLASS = "unknown"  # a user says yes or no; which source a photo resembles nobody knows
SLICE_PROPERTIES = {  # by which photos are sliced, and the names of the thirds
    "brightness": ("dark", "medium bright", "bright"),
    "size": ("small", "medium-sized", "large"),
    "sharpness": ("blurry", "medium sharp", "sharp"),
}
SCHEMA_VERSION = 2
CONTRACT = 4  # of a model version: raise it when input, output or files change; a reader refuses what it does not know


class JsonRecord:
    """A dataclass that travels as one JSON object; unknown keys are ignored, so newer writers do not break readers."""

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Parse and check; raises BadRecord, which names what is wrong."""
        try:
            given = json.loads(body)
            known = {field.name for field in fields(cls) if field.name in given}  # type: ignore[arg-type]
            return cls(**{name: given[name] for name in known})
        except (ValueError, TypeError) as error:
            raise BadRecord(f"not a {cls.__name__}: {error}; see include/records.py for its fields") from error

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()  # type: ignore[call-overload]


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise BadRecord(f"{name} {value!r} is not one of {', '.join(allowed)}")


@dataclass(frozen=True)
class UploadRecord(JsonRecord):
    """What was known when a user gave a photo. Written only with consent.

    ``taken_at`` is ISO 8601 in UTC, ``session`` a salted hash, ``probability`` P(positive) as the user saw it.
    """

    photo_id: str
    taken_at: str
    session: str
    consent_version: int
    model_version: str
    probability: float | None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Feedback(JsonRecord):
    """A user's answer about one photo. The last one counts."""

    photo_id: str
    answer: str
    answered_at: str

    def __post_init__(self) -> None:
        _check("answer", self.answer, ANSWERS)


@dataclass(frozen=True)
class AnswerCount(JsonRecord):
    """One answer without its photo and its user: what the app said, and what the user said. ``day`` is in UTC."""

    model_version: str
    verdict: str  # as it was told: positive, negative or unsure
    answer: str
    day: str

    def __post_init__(self) -> None:
        _check("verdict", self.verdict, VERDICTS)
        _check("answer", self.answer, ANSWERS)


@dataclass(frozen=True)
class Review(JsonRecord):
    """A person's final decision about one photo: ``photo_id`` of an upload, or the sha256 of a base photo.

    ``label`` is needed to relabel and ignored otherwise.
    """

    photo_id: str
    verdict: str
    reviewer: str
    reviewed_at: str
    label: str | None = None

    def __post_init__(self) -> None:
        _check("verdict", self.verdict, get_args(ReviewVerdict))
        if self.verdict == "relabel":
            _check("label", str(self.label), LABELS)


@dataclass(frozen=True)
class Tombstone(JsonRecord):
    """A photo that was taken away from the lake, where it had the ``key``; ``taken_at`` is ISO 8601 in UTC.

    ``reason`` is moved (a base photo, now under the key ``moved_to``), gone (a base photo that left its folder) or
    taken back (an upload).
    """

    key: str
    reason: str
    taken_at: str
    moved_to: str | None = None

    def __post_init__(self) -> None:
        _check("reason", self.reason, get_args(Removal))
        if (self.reason == "moved") != (self.moved_to is not None):
            raise BadRecord(f"moved_to {self.moved_to!r} does not fit the reason {self.reason!r}: only moved has one")


@dataclass(frozen=True)
class Interval:
    """A metric with its 95 % interval; a slice of few photos has no bounds."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class DecisionRule:
    """How a model turns logits into a verdict; part of the model.

    P(positive) is the logistic function of ``slope`` times the log-odds of the ``positive_classes`` against all other
    classes, plus ``intercept`` (Platt scaling). A photo is positive from ``threshold`` on. The verdict is unsure from
    ``unsure_from`` to ``unsure_to``, an interval around the threshold.
    """

    threshold: float
    unsure_from: float
    unsure_to: float
    positive_classes: tuple[int, ...]
    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        return cls(**{**given, "positive_classes": tuple(given["positive_classes"])})

    def is_positive(self, probability: NDArray[np.float64]) -> NDArray[np.bool_]:
        """The verdicts; both of shape (photos,)."""
        return np.asarray(probability >= self.threshold)

    def is_unsure(self, probability: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which verdicts are marked as unsure; both of shape (photos,)."""
        return np.asarray((probability >= self.unsure_from) & (probability <= self.unsure_to))


@dataclass(frozen=True)
class ModelVersion:
    """A registered version of the model. It is ``sha256``, the sum over its files; its ``number`` is for people, since
    a registry that is made anew counts from 1 again.
    """

    number: str
    sha256: str

    def __str__(self) -> str:
        """As people call it."""
        return self.number


@dataclass(frozen=True)
class Cost:
    """What a verdict costs: the 95th percentile of its seconds, one photo at a time; and the bytes that a process with
    nothing but the model took at its peak.
    """

    seconds: float
    bytes: int


@dataclass(frozen=True)
class VersionScores:
    """The scores of one model version on the test photos: P(positive), float64, shape (photos,), NaN where it failed.

    ``problem`` says why a version cannot be scored at all; its probabilities are then empty.
    """

    version: ModelVersion
    probability: NDArray[np.float64]
    threshold: float
    problem: str | None = None

    @property
    def missing(self) -> int:
        """How many photos it gave no score."""
        return int(np.isnan(self.probability).sum())

    @property
    def is_whole(self) -> bool:
        return self.problem is None and not self.missing


@dataclass(frozen=True)
class Difference:
    """How much better a challenger is on some photos, with its paired 95 % interval; positive: it is better.

    In sure errors per 1,000 photos, which is 1,000 times the difference of the Brier scores.
    """

    about: str
    photos: int
    value: float
    low: float
    high: float
    standard_error: float
    margin: float


@dataclass(frozen=True)
class Comparison:
    """A challenger against one other version, on all test photos and on each slice with enough of them.

    ``wrong`` and ``wrong_before`` are the wrong verdicts of the two.
    """

    role: Role
    against: ModelVersion
    overall: Difference
    slices: tuple[Difference, ...]
    wrong: int
    wrong_before: int


@dataclass(frozen=True)
class Rule:
    """One rule of the gate, with the metrics that decided it."""

    name: str
    result: Result
    reason: str


@dataclass(frozen=True)
class Decision:
    """What the gate decided about a challenger.

    ``predecessor`` is the champion that it met, and ``reference`` the best proven version; none where there was none.
    ``next_reference`` is what the reference is once the challenger serves. ``notes`` say what the test could not see.
    """

    outcome: Outcome
    close_calls: CloseCalls  # the setting by which it was decided
    challenger: ModelVersion
    predecessor: ModelVersion | None
    reference: ModelVersion | None
    next_reference: ModelVersion
    rules: tuple[Rule, ...]
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Raises ValueError for what another version of this code wrote."""
        return TypeAdapter(cls).validate_python(given)

    @property
    def action(self) -> CloseCalls:
        """What follows: promote the challenger, keep the champion, or ask a person."""
        if self.outcome == "close call":
            return self.close_calls
        return "promote" if self.outcome == "better" else "keep"


@dataclass(frozen=True)
class Answer(JsonRecord):
    """What a person, or nobody in time, answered in a close call; challenger and champion by their sums.

    It does not count where the champion had moved on when it was given.
    """

    promote: bool
    counts: bool
    challenger: str
    predecessor: str | None
    answered_by: str
    why: str
    answered_at: str

    @property
    def promotes(self) -> bool:
        return self.promote and self.counts


@dataclass(frozen=True)
class Verdict:
    """The live server's answer about one photo; without a probability there is an ``error`` instead."""

    probability: float | None
    is_positive: bool | None
    unsure: bool | None
    threshold: float
    model_version: str
    error: str | None
    explanation: str | None = None  # a PNG as base64: the photo under a heat map; only on request
    shares: list[float] | None = None  # P(source) for each source of the question, in its order; the sum is 1
