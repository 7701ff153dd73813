"""The gate on tiny test splits with known answers."""

from typing import Any

import numpy as np
import pytest

from include.promotion.gate import average_precision_differences, decide
from include.records import Decision, ModelVersion, Rule, VersionScores

POSITIVES = np.array([True] * 20 + [False] * 60)
BASE = np.ones(80, bool)
RIGHT = POSITIVES.astype(float)
RNG = np.random.default_rng(0)
NOISE = RNG.random(80)


def scored(probability: Any, number: str = "2", threshold: float = 0.5, problem: str | None = None) -> VersionScores:
    return VersionScores(ModelVersion(number, f"sum of {number}"), np.asarray(probability, float), threshold, problem)


SOUND = Rule("each picture is on one split", True, "it is")


def gate(
    challenger: VersionScores,
    champion: VersionScores | None = None,
    *,
    floor: float = 0.7,
    base: np.ndarray = BASE,
    about: Rule = SOUND,
) -> Decision:
    floors = {"min_precision": floor, "min_recall": floor}
    return decide(POSITIVES, base, challenger, champion, about_photos=about, **floors, seed=1)


def failed(decision: Decision) -> list[str]:
    return [rule.name for rule in decision.rules if not rule.passed]


def test_the_first_model_needs_only_the_floors() -> None:
    decision = gate(scored(RIGHT))
    assert decision.better
    assert decision.predecessor is None
    assert "floors only" in decision.rules[-1].reason


def test_each_floor_decides_and_names_its_metrics() -> None:
    half = RIGHT.copy()
    half[:10] = 0.2  # finds 10 of 20 positives, and nothing else
    decision = gate(scored(half))
    assert failed(decision) == ["minimum recall"]
    assert "recall 0.500 (10 of 20), at least 0.700" in [rule.reason for rule in decision.rules]
    everything = gate(scored(np.ones(80)))
    assert failed(everything) == ["minimum precision"]


def test_a_model_that_predicts_no_positive_passes_no_floor() -> None:
    assert failed(gate(scored(np.zeros(80)))) == ["minimum precision", "minimum recall"]


def test_floors_count_on_base_photos_only() -> None:
    wrong_on_uploads = RIGHT.copy()
    wrong_on_uploads[:10] = 0
    base = BASE.copy()
    base[:10] = False
    assert gate(scored(wrong_on_uploads), base=base).better


def test_an_equal_model_is_not_worse() -> None:
    assert gate(scored(RIGHT * 0.8 + NOISE * 0.2), scored(RIGHT * 0.8 + NOISE * 0.2, "1")).better


def test_a_clearly_worse_model_is_not_better() -> None:
    worse = np.where(POSITIVES, 0.6, 0.4) + (RNG.random(80) - 0.5) * 0.5
    decision = gate(scored(worse), scored(RIGHT, "1"), floor=0.1)
    assert failed(decision) == ["not worse than the champion"]
    assert str(decision.predecessor) == "1"


def test_a_slightly_worse_model_is_within_the_noise() -> None:
    slightly = RIGHT.copy()
    slightly[0] = 0.0
    decision = gate(scored(slightly * 0.9 + NOISE * 0.05), scored(RIGHT, "1"))
    assert decision.better


@pytest.mark.parametrize(
    "champion",
    [scored([], "1", problem="the files have another sum"), scored(np.where(NOISE < 0.1, np.nan, RIGHT), "1")],
    ids=["unloadable", "nan"],
)
def test_a_champion_that_cannot_be_scored_does_not_block(champion: VersionScores) -> None:
    decision = gate(scored(RIGHT), champion)
    assert decision.better
    assert str(decision.predecessor) == "1"
    assert "cannot be compared with" in decision.rules[-1].reason
    assert not gate(scored(np.zeros(80)), champion).better


def test_a_challenger_that_cannot_answer_is_not_better_without_further_rules() -> None:
    for broken in (scored(np.where(NOISE < 0.1, np.nan, RIGHT)), scored([], problem="no such file")):
        decision = gate(broken, scored(RIGHT, "1"))
        assert not decision.better
        assert failed(decision) == ["challenger scores every photo"]
        assert len(decision.rules) == 2


def test_photos_that_cannot_measure_a_model_make_none_better() -> None:
    torn = Rule("each picture is on one split", False, "one is on train and test")
    decision = gate(scored(RIGHT), scored(NOISE, "1"), about=torn)
    assert not decision.better
    assert decision.rules[0] == torn
    assert len(decision.rules) == 2


def test_the_difference_is_paired() -> None:
    """A model compared with itself shows no difference in any resample, however noisy it is."""
    assert not average_precision_differences(POSITIVES, NOISE, NOISE, seed=3).any()
    assert (average_precision_differences(POSITIVES, RIGHT, NOISE, seed=3) > 0).mean() > 0.99
