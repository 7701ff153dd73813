"""A decision of the gate in words that people understand."""

from collections.abc import Iterator, Sequence

from include.promotion.differences import PER, REACH, chance_to_pass, padding_error
from include.records import Comparison, Decision, Difference

OFTEN_ENOUGH = 0.9  # runs in which an equal challenger passes


def describe_difference(difference: Difference, other: str) -> str:
    """A difference to ``other`` with its interval and margin."""
    low, high = _more_or_fewer(difference.low), _more_or_fewer(difference.high)
    interval = f"95 % interval: {low} to {high}"
    value = f"{abs(difference.value):.1f} sure errors {_word(difference.value)} per 1,000 photos than {other}"
    return f"{value} ({interval}; margin {difference.margin:.1f})"


def summarize(decision: Decision) -> str:
    """One sentence: what was decided, and why."""
    subject = f"Version {decision.challenger}"
    failed = [rule for rule in decision.rules if rule.result == "failed"]
    if failed:
        return f"{subject} is not better. {failed[0].name}: {failed[0].reason}."
    if not decision.comparisons:
        return f"{subject} is good enough by the floors; there is nothing to compare it with."
    first = min(decision.comparisons, key=lambda comparison: comparison.overall.low)
    compared = describe_difference(first.overall, f"version {first.against}")
    if decision.outcome == "close call":
        return f"{subject} is a close call: {compared}. The photos cannot settle it."
    return f"{subject} is no worse: {compared}."


def note_limits(comparisons: Sequence[Comparison], positives: int) -> Iterator[str]:
    """What the test could have seen, and what it cannot see; about the comparison that sees least."""
    if not comparisons:
        return
    overall = max((comparison.overall for comparison in comparisons), key=lambda part: part.standard_error)
    margin, photos = overall.margin, overall.photos
    yield (
        f"Of challengers that are worse by the margin, {margin:.1f} sure errors per 1,000 photos, 1 in 40 passes as "
        f"better; of those worse by twice the margin practically none. A loss is proven from "
        f"{REACH * overall.standard_error:.1f} on."
    )
    yield (
        f"It cannot see a weakness on few photos: {int(margin * photos / PER)} of the {photos:,} test photos "
        f"({positives:,} of them positive) may turn from surely right to surely wrong within the margin. Slices show "
        "only what they are cut by."
    )
    spread = max(0.0, overall.standard_error**2 - padding_error(photos) ** 2) ** 0.5
    passes = chance_to_pass(spread, photos, margin)
    if passes < OFTEN_ENOUGH:
        yield (
            f"These two models differ so much from photo to photo that even an equal challenger would pass in only "
            f"{100 * passes:.0f} of 100 runs: set CAT_GATE__MARGIN higher, or add photos to the lake."
        )


def _more_or_fewer(value: float) -> str:
    return f"{abs(value):.1f} {_word(value)}"


def _word(value: float) -> str:
    return "fewer" if value > 0 else "more"


def describe_outcome(decision: Decision) -> str:
    return "a close call" if decision.outcome == "close call" else decision.outcome
