"""The gate on small test splits with known answers."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from include.promotion.gate import Limits, compare, decide
from include.promotion.gate_photos import GatePhotos
from include.promotion.gate_words import describe_run, summarize
from include.records import Cost, Decision, ModelVersion, Rule, VersionScores

COUNT = 400
POSITIVES = np.arange(COUNT) < COUNT // 4
RIGHT = np.where(POSITIVES, 0.97, 0.03)
SOUND = Rule("each picture is on one split", "passed", "it is")
LIMITS = Limits(
    min_precision=0.7,
    min_recall=0.7,
    margin=10,
    max_calibration_increase=0.05,
    max_latency_ratio=1.5,
    max_memory_ratio=1.25,
    close_calls="keep",
    seed=1,
)


def scored(probability: Any, number: str = "2", threshold: float = 0.5, problem: str | None = None) -> VersionScores:
    return VersionScores(ModelVersion(number, f"sum of {number}"), np.asarray(probability, float), threshold, problem)


def photos(*, for_floors: np.ndarray | None = None, **slices: np.ndarray) -> GatePhotos:
    return GatePhotos(POSITIVES, np.ones(COUNT, bool) if for_floors is None else for_floors, slices)


def gate(
    challenger: VersionScores,
    champion: VersionScores | None = None,
    reference: VersionScores | None = None,
    *,
    about: GatePhotos | None = None,
    sound: Rule = SOUND,
    costs: tuple[Cost, Cost] | None = None,
    **limits: Any,
) -> Decision:
    chosen = Limits(**{**asdict(LIMITS), **limits})
    about = about or photos()
    return decide(about, challenger, champion, reference, about_photos=sound, limits=chosen, costs=costs)


def with_errors(count: int, *, spread: float = 0.0, seed: int = 0) -> np.ndarray:
    """P(positive) of a model with so many sure errors, spread over the photos; ``spread`` adds noise to all others."""
    draw = np.random.default_rng(seed)
    probability = np.clip(RIGHT + draw.normal(0, spread, COUNT) if spread else RIGHT, 0.001, 0.999)
    wrong = np.linspace(0, COUNT - 1, count).astype(int) if count else np.empty(0, int)
    probability[wrong] = np.where(POSITIVES[wrong], 0.0, 1.0)
    return np.asarray(probability)


def not_passed(decision: Decision) -> list[tuple[str, str]]:
    return [(rule.name, rule.result) for rule in decision.rules if rule.result != "passed"]


def reason_of(decision: Decision, name: str) -> str:
    return next(rule.reason for rule in decision.rules if rule.name == name)


def test_the_first_model_needs_only_the_floors() -> None:
    decision = gate(scored(RIGHT))
    assert (decision.outcome, decision.predecessor, decision.comparisons) == ("better", None, ())
    assert decision.rules[-1].reason == "there is no champion yet"
    assert decision.next_reference == decision.challenger
    assert summarize(decision) == "Version 2 reaches the floors; there is no model to compare it with."


def test_each_floor_decides_and_names_its_metrics() -> None:
    half = RIGHT.copy()
    half[:50] = 0.2  # finds 50 of 100 positives, and nothing else
    decision = gate(scored(half))
    assert not_passed(decision) == [("minimum recall", "failed")]
    assert reason_of(decision, "minimum recall") == "recall 0.500 (50 of 100), at least 0.700"
    assert not_passed(gate(scored(np.ones(COUNT)))) == [("minimum precision", "failed")]
    assert summarize(decision) == f"Version 2 is not better. minimum recall: {decision.rules[-2].reason}."


def test_a_model_that_predicts_no_positive_passes_no_floor() -> None:
    names = [name for name, _ in not_passed(gate(scored(np.zeros(COUNT))))]
    assert names == ["minimum precision", "minimum recall"]


def test_floors_count_only_their_photos() -> None:
    wrong = RIGHT.copy()
    wrong[:50] = 0
    assert gate(scored(wrong), about=photos(for_floors=np.arange(COUNT) >= 50)).outcome == "better"


def test_an_equal_model_is_better_by_the_margin() -> None:
    decision = gate(scored(with_errors(4)), scored(with_errors(4), "1"))
    assert (decision.outcome, decision.action) == ("better", "promote")
    assert decision.comparisons[0].overall.value == 0
    wrong = "wrong verdicts per 1,000 photos: 10.0 instead of 10.0 (4 and 4 of 400)"
    assert wrong in reason_of(decision, "not worse than the champion")
    assert wrong in summarize(decision)


@pytest.mark.parametrize(
    ("errors", "outcome"), [(0, "better"), (2, "close call"), (4, "close call"), (8, "not better"), (40, "not better")]
)
def test_the_point_estimate_and_the_interval_decide(errors: int, outcome: str) -> None:
    """With a margin of 10 sure errors per 1,000 photos, 4 of 400 photos are the margin."""
    decision = gate(scored(with_errors(errors)), scored(RIGHT, "1"))
    assert decision.outcome == outcome
    overall = decision.comparisons[0].overall
    assert overall.value == pytest.approx(-errors * 1000 / 400, abs=0.1)
    assert (overall.low > -10, overall.value >= -10) == {
        "better": (True, True),
        "close call": (False, True),
        "not better": (False, False),
    }[outcome]


@pytest.mark.parametrize(("setting", "action"), [("keep", "keep"), ("promote", "promote"), ("ask", "ask")])
def test_a_setting_says_what_follows_a_close_call(setting: str, action: str) -> None:
    decision = gate(scored(with_errors(2)), scored(RIGHT, "1"), close_calls=setting)
    assert (decision.outcome, decision.action) == ("close call", action)
    assert "is a close call, which the photos cannot settle: 5.0 sure errors more per 1,000" in summarize(decision)
    follows = {"keep": "The champion stays.", "promote": "It is promoted.", "ask": "A person is asked."}
    assert describe_run(decision).endswith(follows[setting])
    assert gate(scored(with_errors(40)), scored(RIGHT, "1"), close_calls=setting).action == "keep"


def test_small_losses_do_not_add_up() -> None:
    """Each challenger is a quarter of the margin worse than the one before: one photo of 400."""
    reference = champion = scored(with_errors(0), "0")
    promoted = 0
    for step in range(1, 10):
        challenger = scored(with_errors(step), str(step))
        decision = gate(challenger, champion, reference, close_calls="promote")
        assert decision.next_reference == reference.version
        if decision.action != "promote":
            break
        champion, promoted = challenger, step
    assert 1 <= promoted <= 4, "at most the margin is lost in all, also where close calls are promoted"
    assert ("not worse than the reference", "failed") in not_passed(decision)
    assert gate(challenger, champion).outcome != "not better", "the last champion alone would let it pass"


def test_the_reference_moves_only_on_proven_gain() -> None:
    old = scored(with_errors(12, spread=0.05), "1")
    slightly, clearly = scored(with_errors(11, spread=0.05, seed=1)), scored(with_errors(1, spread=0.02))
    for challenger, proven in ((slightly, False), (clearly, True)):
        decision = gate(challenger, old, old, margin=40)
        assert decision.outcome == "better"
        assert (decision.comparisons[0].overall.low > 0) == proven
        assert decision.next_reference == (challenger.version if proven else old.version)


def test_a_reference_that_is_the_champion_is_compared_once() -> None:
    champion = scored(with_errors(4), "1")
    assert [each.role for each in gate(scored(RIGHT), champion, champion).comparisons] == ["champion"]
    other = scored(with_errors(5), "0")
    assert [each.role for each in gate(scored(RIGHT), champion, other).comparisons] == ["champion", "reference"]


BROKEN = [
    scored([], "1", problem="the files have another sum"),
    scored(np.where(np.arange(COUNT) % 9 == 0, np.nan, RIGHT), "1"),
]


@pytest.mark.parametrize("champion", BROKEN, ids=["unloadable", "nan"])
def test_a_champion_that_cannot_be_scored_does_not_block(champion: VersionScores) -> None:
    decision = gate(scored(RIGHT), champion, champion)
    assert decision.outcome == "better"
    assert decision.predecessor == champion.version
    names = {rule.name for rule in decision.rules if "cannot be compared with" in rule.reason}
    assert names == {"not worse than the champion", "not worse than the reference"}
    assert decision.next_reference == decision.challenger
    assert gate(scored(np.zeros(COUNT)), champion).outcome == "not better"


@pytest.mark.parametrize("broken", BROKEN, ids=["unloadable", "nan"])
def test_of_champion_and_reference_the_one_that_can_be_scored_is_compared(broken: VersionScores) -> None:
    whole = scored(RIGHT, "0")
    assert gate(scored(with_errors(40)), broken, whole).outcome == "not better"
    decision = gate(scored(with_errors(40)), whole, broken)
    assert decision.outcome == "not better"
    assert decision.next_reference == whole.version, "the champion takes the place of a reference that is gone"


def test_a_challenger_that_cannot_answer_is_not_better_without_further_rules() -> None:
    for broken in (scored(np.where(np.arange(COUNT) % 9, np.nan, RIGHT)), scored([], problem="no such file")):
        decision = gate(broken, scored(RIGHT, "1"))
        assert not_passed(decision) == [("challenger scores every photo", "failed")]
        assert len(decision.rules) == 2


def test_photos_that_cannot_measure_a_model_make_none_better() -> None:
    torn = Rule("each picture is on one split", "failed", "one is on train and test")
    decision = gate(scored(RIGHT), scored(RIGHT, "1"), sound=torn)
    assert decision.outcome == "not better"
    assert decision.rules[0] == torn
    assert len(decision.rules) == 2


def test_a_slice_fails_only_on_proven_harm_beyond_its_own_margin() -> None:
    dogs = np.arange(COUNT) >= 300  # a quarter of the photos: twice the margin
    for wrong, fails in ((2, False), (6, False), (30, True)):
        probability = RIGHT.copy()
        probability[300 : 300 + wrong] = 1.0
        decision = gate(scored(probability), scored(RIGHT, "1"), about=photos(dogs=dogs), margin=40)
        assert decision.comparisons[0].slices[0].margin == 80
        assert (("no slice worse than with the champion", "failed") in not_passed(decision)) == fails
    blind_on_dogs = scored(np.where(np.arange(COUNT) >= 345, 1.0, RIGHT))
    decision = gate(blind_on_dogs, scored(RIGHT, "1"), about=photos(dogs=dogs), margin=60)
    assert ("no slice worse than with the champion", "failed") in not_passed(decision)
    assert reason_of(decision, "no slice worse than with the champion").startswith("dogs: ")


def test_a_slice_of_a_few_photos_is_none() -> None:
    few = np.arange(COUNT) < 9
    comparison = compare("champion", photos(few=few), scored(RIGHT), scored(RIGHT, "1"), margin=10)
    assert comparison.slices == ()


def test_a_worse_calibration_fails_and_an_equal_one_passes() -> None:
    """Every verdict is right, and no model surer than it may be; but P(positive) of half the photos is far off."""
    shy = np.where(POSITIVES, 0.75, 0.25)
    decision = gate(scored(shy), scored(RIGHT, "1"), margin=1000)
    assert not_passed(decision) == [("calibrated like the champion", "failed")]
    assert gate(scored(shy), scored(shy, "1"), margin=1000).outcome == "better"


@pytest.mark.parametrize(
    ("new", "failed"),
    [
        (Cost(0.029, 1_240_000_000), []),
        (Cost(0.031, 1_000_000_000), ["as fast as the champion"]),
        (Cost(0.020, 1_260_000_000), ["as small as the champion"]),
    ],
)
def test_latency_and_memory_stay_within_bounds(new: Cost, failed: list[str]) -> None:
    decision = gate(scored(RIGHT), scored(RIGHT, "1"), costs=(new, Cost(0.020, 1_000_000_000)))
    assert [name for name, _ in not_passed(decision)] == failed


def test_the_decision_says_what_the_test_cannot_see() -> None:
    decision = gate(scored(with_errors(4, spread=0.1)), scored(with_errors(4, spread=0.1, seed=1), "1"), margin=20)
    assert "passes with 3 more sure errors on these 400 photos (100 of them positive)" in decision.notes[1]
    assert "is a close call with up to 8" in decision.notes[1]
    assert "20.0 sure errors per 1,000 photos" in decision.notes[0]
    assert len(decision.notes) == 2
    narrow = gate(scored(with_errors(4, spread=0.3)), scored(with_errors(4, spread=0.3, seed=1), "1"), margin=1)
    assert narrow.notes[2].endswith("set CAT_GATE__MARGIN higher, or add photos to the lake.")


def test_a_decision_survives_json() -> None:
    decision = gate(scored(with_errors(2)), scored(RIGHT, "1"), scored(RIGHT, "0"), about=photos(dogs=~POSITIVES))
    assert Decision.of(json.loads(json.dumps(asdict(decision)))) == decision
