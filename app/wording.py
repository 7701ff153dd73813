"""The words of the app: a verdict that fits its number, and promises that are kept."""

from datetime import datetime
from typing import Any

from include.dataset.splits import bucket, split_of_bucket
from include.question import NEGATIVE, POSITIVE, Question
from include.records import Interval, Verdict

SURE, LIKELY = 0.9, 0.65  # P(what is said) from which it is said flatly, and from which it is said at all
NOUNS = {"cats": "a cat", "dogs": "a dog", "selfies": "a person", "misc": "something else"}
Figures = dict[str, Any]


def told(verdict: Verdict) -> str:
    """What a visitor is told: positive, negative, or unsure.

    A model may call a photo positive at less than one half; nobody reads that number as a yes, so it is unsure.
    """
    if verdict.probability is None or verdict.unsure or _certainty(verdict) < LIKELY:
        return "unsure"
    return POSITIVE if verdict.is_positive else NEGATIVE


def headline(verdict: Verdict, question: Question, icon: str = "") -> str:
    """The verdict in a few words; ``icon`` follows a plain yes."""
    label = told(verdict)
    if label == "unsure":
        return "Hard to tell"
    words = question.words_for(label)
    if _certainty(verdict) < SURE:
        return f"You are probably {words}"
    return f"You are {words}! {icon}".strip() if label == POSITIVE else f"You are {words}"


def subline(verdict: Verdict, question: Question) -> str:
    """The number, and what the photo is most like."""
    likeness = f"{question.noun.capitalize()}: {percent(verdict.probability or 0)}."
    shares = named_shares(verdict, question)
    if not shares:
        return likeness
    source, share = max(shares, key=lambda item: item[1])
    return likeness if source == question.noun else f"{likeness} Most like {source}: {percent(share)}."


def named_shares(verdict: Verdict, question: Question) -> list[tuple[str, float]]:
    """Each source in words, and P(source); empty where the server gave none for these sources."""
    shares = verdict.shares or []
    if len(shares) != len(question.sources):
        return []
    return [(noun_of(source), share) for source, share in zip(question.sources, shares, strict=True)]


def noun_of(source: str) -> str:
    """A source as people say it; one of another question by the name of its folder."""
    return NOUNS.get(source, source)


def percent(share: float) -> str:
    """Whole per cents that never round to certainty."""
    return "under 1 %" if share < 0.01 else "over 99 %" if share > 0.99 else f"{share:.0%}".replace("%", " %")


def describe_quality(version: str, report: Figures | None, question: Question) -> str:
    """Which model answered, how good it is and when it was trained; ``report`` is that of its run, if it is known."""
    if report is None:
        return f"Model version {version} answered."
    day = day_of(report.get("registered_at"))
    trained = f", trained on {day}," if day else ""
    test = {name: Interval(**report["test"][name]) for name in ("precision", "recall")}
    return (
        f"Model version {version}{trained} answered. On its test photos it is right {_of_100(test['precision'])} times "
        f"when it says “{question.noun}”, and finds {_of_100(test['recall'])} of those that are. "
        "Photos from elsewhere are harder."
    )


def day_of(moment: str | None) -> str:
    """A moment in ISO 8601 as a day: 27 November 2026."""
    return f"{datetime.fromisoformat(moment):%-d %B %Y}" if moment else ""


def _of_100(metric: Interval) -> str:
    if metric.low is None or metric.high is None:
        return f"{metric.value:.0%}".removesuffix("%") + " of 100"
    return f"{100 * metric.value:.0f} of 100 ({100 * metric.low:.0f} to {100 * metric.high:.0f})"


def answers_for(verdict: Verdict, question: Question) -> dict[str, str]:
    """The buttons: what each answer means, and its words. Where nothing was claimed, nobody can be right."""
    label = told(verdict)
    neither = "Neither"
    if label == "unsure":
        return {POSITIVE: question.noun.capitalize(), NEGATIVE: f"Not {question.noun}", "neither": neither}
    other = NEGATIVE if label == POSITIVE else POSITIVE
    return {label: "Right", other: "Wrong", "neither": neither}


def promise(sha256: str, answer: str | None, *, kept: bool) -> str:
    """What becomes of the photo and the answer. The split of a photo follows from its bytes, so it is known now."""
    if not kept:
        return "Your answer is counted. The photo is not kept."
    if answer is None:
        return "The photo is kept. It can teach only with your answer."
    if answer == "neither":
        return "Photo and answer are kept. With “neither” no model learns from the photo; the answer counts."
    if split_of_bucket(bucket(sha256)) == "train":
        return (
            "Photo and answer are kept. The next training uses them, unless a check objects: to a duplicate, to a "
            "label that looks wrong, to very many photos from one visitor."
        )
    return (
        "Photo and answer are kept. This photo waits until a person has reviewed it, and then measures models. It "
        "trains none: one photo in five is set aside like this."
    )


def _certainty(verdict: Verdict) -> float:
    probability = verdict.probability or 0.0
    return probability if verdict.is_positive else 1 - probability
