"""Whether a challenger may replace the champion. Pure: scores in, decision out. docs/gate.md says what it promises."""

from collections.abc import Iterator
from dataclasses import dataclass

from include.evaluation.metrics import Bools, calibration_error
from include.promotion.differences import brier_losses, measure_difference
from include.promotion.gate_photos import GatePhotos
from include.promotion.gate_words import describe_difference, describe_errors, note_limits
from include.records import (
    CloseCalls,
    Comparison,
    Cost,
    Decision,
    ModelVersion,
    Outcome,
    Result,
    Role,
    Rule,
    VersionScores,
)

FEW = 10  # photos: fewer make no slice
RESAMPLES = 200  # of a calibration error


@dataclass(frozen=True)
class Limits:
    """What the gate decides by. ``margin`` is in sure errors per 1,000 photos; the others are the settings' own."""

    min_precision: float
    min_recall: float
    margin: float
    max_calibration_increase: float
    max_latency_ratio: float
    max_memory_ratio: float
    close_calls: CloseCalls
    seed: int


def decide(
    photos: GatePhotos,
    challenger: VersionScores,
    champion: VersionScores | None,
    reference: VersionScores | None,
    *,
    about_photos: Rule,
    limits: Limits,
    costs: tuple[Cost, Cost] | None = None,
) -> Decision:
    """Compare a challenger with the champion and the reference on the same test photos.

    ``about_photos`` is the rule that says whether the photos can measure a model at all. ``costs`` are the challenger's
    and the champion's, where they were measured. A version that cannot be scored is not compared with; without any the
    floors decide.
    """
    rules = [about_photos, _answers(challenger)]
    comparisons: tuple[Comparison, ...] = ()
    if all(rule.result == "passed" for rule in rules):
        comparisons = tuple(_compare_all(photos, challenger, champion, reference, limits))
        rules += [*_floors(photos, challenger, limits), *_not_compared(champion, reference)]
        rules += [rule for comparison in comparisons for rule in _not_worse(comparison)]
        if champion and champion.is_whole:
            rules += [_calibrated(photos, challenger, champion, limits), *_cheap(costs, champion.version, limits)]
    return Decision(
        outcome=_outcome(rules),
        close_calls=limits.close_calls,
        challenger=challenger.version,
        predecessor=champion.version if champion else None,
        reference=reference.version if reference else None,
        next_reference=_next_reference(challenger, champion, reference, comparisons),
        rules=tuple(rules),
        comparisons=comparisons,
        notes=tuple(note_limits(comparisons, int(photos.is_positive.sum()))),
    )


def _outcome(rules: list[Rule]) -> Outcome:
    results = {rule.result for rule in rules}
    if "failed" in results:
        return "not better"
    return "close call" if "close call" in results else "better"


def _next_reference(
    challenger: VersionScores,
    champion: VersionScores | None,
    reference: VersionScores | None,
    comparisons: tuple[Comparison, ...],
) -> ModelVersion:
    """The challenger once it is proven better; else the reference stays, or the champion takes its place."""
    if any(comparison.overall.low > 0 for comparison in comparisons[-1:]):  # the reference's comes last
        return challenger.version
    standing = [scores for scores in (reference, champion) if scores and scores.is_whole]
    return standing[0].version if standing else challenger.version


def _compare_all(
    photos: GatePhotos,
    challenger: VersionScores,
    champion: VersionScores | None,
    reference: VersionScores | None,
    limits: Limits,
) -> Iterator[Comparison]:
    """With the champion, and with a reference that is another version; each if it could be scored."""
    if champion and champion.is_whole:
        yield compare("champion", photos, challenger, champion, margin=limits.margin)
    if reference and reference.is_whole and not (champion and champion.version == reference.version):
        yield compare("reference", photos, challenger, reference, margin=limits.margin)


def compare(
    role: Role, photos: GatePhotos, challenger: VersionScores, other: VersionScores, *, margin: float
) -> Comparison:
    """Overall and on each slice. A slice has its own margin: as many standard errors as the overall one."""
    new, old = (brier_losses(photos.is_positive, scores.probability) for scores in (challenger, other))
    overall = measure_difference("all test photos", new, old, margin=margin)
    slices = tuple(
        measure_difference(about, new[rows], old[rows], margin=margin * (len(rows) / rows.sum()) ** 0.5)
        for about, rows in photos.slices.items()
        if rows.sum() >= FEW
    )
    wrong, wrong_before = (int((_verdicts(scores) != photos.is_positive).sum()) for scores in (challenger, other))
    return Comparison(role, other.version, overall, slices, wrong, wrong_before)


def _verdicts(scores: VersionScores) -> Bools:
    return scores.probability >= scores.threshold


def _answers(challenger: VersionScores) -> Rule:
    name = "challenger scores every photo"
    if challenger.problem:
        return Rule(name, "failed", f"it cannot be scored: {challenger.problem}")
    count = len(challenger.probability)
    return Rule(name, _passed(challenger.is_whole), f"{challenger.missing} of {count} photos got no score")


def _floors(photos: GatePhotos, challenger: VersionScores, limits: Limits) -> list[Rule]:
    predicted, positive = _verdicts(challenger) & photos.for_floors, photos.is_positive & photos.for_floors
    hits = int((positive & predicted).sum())
    return [
        _floor("precision", hits, int(predicted.sum()), limits.min_precision),
        _floor("recall", hits, int(positive.sum()), limits.min_recall),
    ]


def _floor(name: str, hits: int, of: int, minimum: float) -> Rule:
    value = hits / of if of else 0.0
    reason = f"{name} {value:.3f} ({hits} of {of}), at least {minimum:.3f}"
    return Rule(f"minimum {name}", _passed(value >= minimum), reason)


def _not_compared(champion: VersionScores | None, reference: VersionScores | None) -> Iterator[Rule]:
    """A rule that passes for each version that is not compared with, and says why."""
    if champion is None:
        yield Rule("not worse than the champion", "passed", "there is no champion yet")
    for role, scores in (("champion", champion), ("reference", reference)):
        if scores and not scores.is_whole:
            reason = scores.problem or "it gives no score for some photos"
            about = f"version {scores.version} cannot be compared with: {reason}"
            yield Rule(f"not worse than the {role}", "passed", about)


def _not_worse(comparison: Comparison) -> list[Rule]:
    """A close call is one that the photos cannot settle. A slice fails only where it is worse beyond doubt."""
    overall, other = comparison.overall, f"version {comparison.against}"
    result: Result = "passed"
    if overall.low <= -overall.margin:
        result = "failed" if overall.value < -overall.margin else "close call"
    reason = f"{describe_difference(overall, other)}; {describe_errors(comparison)}"
    rules = [Rule(f"not worse than the {comparison.role}", result, reason)]
    if comparison.slices:
        weakest = min(comparison.slices, key=lambda part: part.high + part.margin)
        harmed = [part for part in comparison.slices if part.high < -part.margin]
        about = "; ".join(f"{part.about}: {describe_difference(part, other)}" for part in harmed or [weakest])
        reason = about if harmed else f"the weakest of {len(comparison.slices)}: {about}"
        rules.append(Rule(f"no slice worse than with the {comparison.role}", _passed(not harmed), reason))
    return rules


def _calibrated(photos: GatePhotos, challenger: VersionScores, champion: VersionScores, limits: Limits) -> Rule:
    """It fails where the whole interval of the challenger lies above what is allowed."""
    new, old = (
        calibration_error(photos.is_positive, scores.probability, seed=limits.seed, resamples=RESAMPLES)
        for scores in (challenger, champion)
    )
    highest = old.value + limits.max_calibration_increase
    interval = f"95 % interval {new.low:.3f} to {new.high:.3f}"
    reason = f"calibration error {new.value:.3f} ({interval}), that of version {champion.version} {old.value:.3f}"
    passed = new.low is None or new.low <= highest
    return Rule("calibrated like the champion", _passed(passed), f"{reason}; at most {highest:.3f}")


def _cheap(costs: tuple[Cost, Cost] | None, champion: ModelVersion, limits: Limits) -> list[Rule]:
    if costs is None:
        return []
    new, old = costs
    seconds = f"95 % of single verdicts within {1000 * new.seconds:.0f} ms"
    seconds += f", with version {champion} {1000 * old.seconds:.0f} ms; at most {limits.max_latency_ratio:g} times"
    memory = f"{new.bytes / 1e6:,.0f} MB at the peak, version {champion} {old.bytes / 1e6:,.0f} MB"
    memory += f"; at most {limits.max_memory_ratio:g} times"
    return [
        Rule("as fast as the champion", _passed(new.seconds <= limits.max_latency_ratio * old.seconds), seconds),
        Rule("as small as the champion", _passed(new.bytes <= limits.max_memory_ratio * old.bytes), memory),
    ]


def _passed(passed: bool) -> Result:
    return "passed" if passed else "failed"
