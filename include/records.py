"""What crosses rooms: the words of the domain, and frozen records spelled with them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from include.errors import BadRecord

Source = Literal["cats", "dogs", "selfies", "misc"]
Label = Literal["cat", "not_cat"]
Split = Literal["train", "val", "test"]
Answer = Literal["cat", "not_cat", "neither"]
ThresholdRule = Literal["even_odds", "recall_at_precision"]
ReviewVerdict = Literal["keep", "relabel", "drop"]

SOURCES: tuple[str, ...] = get_args(Source)  # also the kinds that the network learns, in this order
CLASSES = len(SOURCES)
CAT = SOURCES.index("cats")  # the place of cats among the kinds
UPLOADS = "uploads"  # the source of photos that users gave
UNKNOWN_CLASS = "unknown"  # a user says cat or not; what else it shows nobody said
SPLITS: tuple[str, ...] = get_args(Split)
LABELS: tuple[str, ...] = get_args(Label)
SLICE_PROPERTIES = {  # what a photo is sorted by, and the names of its thirds
    "brightness": ("dark", "middling", "bright"),
    "size": ("small", "medium", "large"),
    "sharpness": ("soft", "ordinary", "sharp"),
}
SCHEMA_VERSION = 1
CONTRACT = 3  # of a model version: raise it when input, output or files change; a reader refuses what it does not know


def label_of(source: str) -> str:
    """The label that a base source gives to its photos."""
    return "cat" if source == "cats" else "not_cat"


class JsonRecord:
    """A dataclass that travels as one JSON object; unknown keys are ignored, so newer writers do not break readers."""

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Parse and check; raises BadRecord, naming what is wrong."""
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

    ``taken_at`` is ISO 8601 in UTC, ``session`` a salted hash, ``probability`` P(cat) as the user was told.
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
    """A user's answer about one photo. The last one counts; ``neither`` never trains."""

    photo_id: str
    answer: str
    said_at: str

    def __post_init__(self) -> None:
        _check("answer", self.answer, get_args(Answer))


@dataclass(frozen=True)
class Review(JsonRecord):
    """A person's final word about one upload; ``label`` is needed to relabel and ignored otherwise."""

    photo_id: str
    verdict: str
    by: str
    at: str
    label: str | None = None

    def __post_init__(self) -> None:
        _check("verdict", self.verdict, get_args(ReviewVerdict))
        if self.verdict == "relabel":
            _check("label", str(self.label), LABELS)


@dataclass(frozen=True)
class RetrainParams:
    """The knobs of one run of ``retrain``, as the Airflow UI offers them."""

    images_per_source: int
    epochs: int
    min_precision: float
    min_recall: float
    fine_tune_epochs: int = 0
    force: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        return cls(**{field.name: given[field.name] for field in fields(cls) if field.name in given})

    def effective(self) -> dict[str, Any]:
        """All that can change a result: ``force`` cannot."""
        return {name: value for name, value in asdict(self).items() if name != "force"}


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; of a slice with few photos it has none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class DecisionRule:
    """How a model turns logits into a verdict; part of the model.

    P(cat) is the logistic function of ``slope`` times the log-odds of cat against all other kinds, plus ``intercept``
    (Platt scaling). A photo with a P(cat) of at least ``threshold`` is called a cat; the verdict is unsure from
    ``unsure_from`` to ``unsure_to``, which lie on both sides of the threshold.
    """

    threshold: float
    unsure_from: float
    unsure_to: float
    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True)
class VersionScores:
    """What one model version said of the test photos: P(cat), float64, shape (photos,), NaN where it said nothing.

    ``problem`` tells why a version cannot be scored at all; its probabilities are then empty.
    """

    version: str
    probability: NDArray[np.float64]
    threshold: float
    problem: str | None = None


@dataclass(frozen=True)
class Rule:
    """One rule of the gate, with the figures that it was judged by."""

    name: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class Decision:
    """What the gate decided: whether ``challenger`` replaces ``predecessor`` (none: there was no champion)."""

    better: bool
    challenger: str
    predecessor: str | None
    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        rules = tuple(Rule(**rule) for rule in given["rules"])
        return cls(given["better"], given["challenger"], given["predecessor"], rules)


@dataclass(frozen=True)
class Verdict:
    """The live server's answer about one photo; without a probability there is an ``error`` instead."""

    probability: float | None
    is_cat: bool | None
    unsure: bool | None
    threshold: float
    model_version: str
    error: str | None
    explanation: str | None = None  # a PNG as base64: the photo under a heat map; only where it was asked for
