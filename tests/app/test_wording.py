"""What is said of a verdict and promised of a photo, as pure functions."""

import hashlib
from typing import Any

import pytest

from app.wording import answers_for, describe_quality, headline, percent, promise, subline, told
from include.dataset.splits import bucket, split_of_bucket
from include.question import Question
from include.records import Verdict
from tests.app.stand_in import VERDICT

QUESTION = Question()


def verdict(**changed: Any) -> Verdict:
    return Verdict(**{**VERDICT, **changed})


@pytest.mark.parametrize(
    ("given", "words", "label"),
    [
        ({"probability": 0.97}, "You are a cat!", "positive"),
        ({"probability": 0.8}, "You are probably a cat", "positive"),
        ({"probability": 0.05, "is_positive": False}, "You are not a cat", "negative"),
        ({"probability": 0.3, "is_positive": False}, "You are probably not a cat", "negative"),
        ({"probability": 0.46}, "Hard to tell", "unsure"),  # above the threshold of some model, and a yes to nobody
        ({"probability": 0.3}, "Hard to tell", "unsure"),
        ({"probability": 0.55, "is_positive": False}, "Hard to tell", "unsure"),
        ({"probability": 0.97, "unsure": True}, "Hard to tell", "unsure"),
    ],
)
def test_a_verdict_has_words_that_fit_its_number(given: dict[str, Any], words: str, label: str) -> None:
    assert headline(verdict(**given), QUESTION) == words
    assert told(verdict(**given)) == label


def test_an_icon_goes_with_a_plain_yes_alone() -> None:
    assert headline(verdict(), QUESTION, "*") == "You are a cat! *"
    assert "*" not in headline(verdict(probability=0.8), QUESTION, "*")


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "under 1 %"), (0.012, "1 %"), (0.5, "50 %"), (0.994, "over 99 %"), (1.0, "over 99 %")]
)
def test_a_share_never_rounds_to_certainty(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize("shares", [None, [], [0.5, 0.5]])
def test_without_shares_of_these_sources_none_are_named(shares: Any) -> None:
    assert subline(verdict(shares=shares), QUESTION) == "A cat: 97 %."


def test_the_likeness_is_named_where_it_is_another_one() -> None:
    dog = verdict(probability=0.02, is_positive=False, shares=[0.02, 0.9, 0.0, 0.08])
    assert subline(dog, QUESTION) == "A cat: 2 %. Most like a dog: 90 %."


@pytest.mark.parametrize("is_positive", [True, False])
def test_right_means_what_was_said(is_positive: bool) -> None:
    answers = answers_for(verdict(is_positive=is_positive, probability=0.95 if is_positive else 0.05), QUESTION)
    assert answers["positive" if is_positive else "negative"] == "Right"
    assert answers["negative" if is_positive else "positive"] == "Wrong"
    assert list(answers) == (["positive", "negative"] if is_positive else ["negative", "positive"]) + ["neither"]


def test_where_nothing_was_claimed_nobody_can_be_right() -> None:
    assert answers_for(verdict(unsure=True), QUESTION) == {
        "positive": "A cat",
        "negative": "Not a cat",
        "neither": "Neither",
    }


def test_the_promise_follows_the_split_that_the_dataset_will_use() -> None:
    promises = {"train": set(), "held out": set()}  # type: dict[str, set[str]]
    for number in range(200):
        sha256 = hashlib.sha256(bytes([number])).hexdigest()
        split = "train" if split_of_bucket(bucket(sha256)) == "train" else "held out"
        promises[split].add(promise(sha256, "positive", kept=True))
    assert len(promises["train"]) == len(promises["held out"]) == 1
    assert "next training uses them" in promises["train"].pop()
    assert "waits until a person has reviewed it" in promises["held out"].pop()


def test_no_promise_for_what_teaches_nothing() -> None:
    for answer, kept in [("positive", False), ("neither", True), (None, True)]:
        assert "next training" not in promise("00", answer, kept=kept)
    assert promise("00", "positive", kept=False) == "Your answer is counted. The photo is not kept."


def test_metrics_without_an_interval_are_told_without_one() -> None:
    alone = {"value": 0.5, "low": None, "high": None}
    report = {"test": {"precision": alone, "recall": alone}, "registered_at": None}
    assert "it is right 50 of 100 times" in describe_quality("3", report, QUESTION)
    assert describe_quality("3", None, QUESTION) == "Model version 3 answered."
