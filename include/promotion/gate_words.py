"""A decision of the gate in words that people understand."""

from collections.abc import Iterator, Sequence

from include.promotion.differences import PER, REACH, SELDOM, chance_to_pass, padding_error, sure_errors_within
from include.records import Answer, Comparison, Decision, Difference

NO_REASON = "no reason given"


def describe_difference(difference: Difference, other: str) -> str:
    """A difference to ``other`` with its interval and margin."""
    low, high = _more_or_fewer(difference.low), _more_or_fewer(difference.high)
    value = f"{abs(difference.value):.1f} sure errors {_word(difference.value)} per 1,000 photos than {other}"
    return f"{value} (95 % interval: {low} to {high}; margin {difference.margin:.1f})"


def shorten(difference: Difference) -> str:
    """The same for a table: the value, and its interval in brackets."""
    return f"{difference.value:+.1f} ({difference.low:+.1f} to {difference.high:+.1f})"


def describe_errors(comparison: Comparison) -> str:
    """The wrong verdicts of both, which people understand best."""
    photos, counts = comparison.overall.photos, (comparison.wrong, comparison.wrong_before)
    now, before = (f"{PER * count / photos:.1f}" for count in counts)
    return f"wrong verdicts per 1,000 photos: {now} instead of {before} ({counts[0]} and {counts[1]} of {photos:,})"


def summarize(decision: Decision) -> str:
    """One sentence: what the gate found, and why."""
    subject = f"Version {decision.challenger}"
    failed = [rule for rule in decision.rules if rule.result == "failed"]
    if failed:
        return f"{subject} is not better. {failed[0].name}: {failed[0].reason}."
    if not decision.comparisons:
        return f"{subject} reaches the floors; there is no model to compare it with."
    least = min(decision.comparisons, key=lambda comparison: comparison.overall.low)
    compared = f"{describe_difference(least.overall, f'version {least.against}')}; {describe_errors(least)}"
    if decision.outcome == "close call":
        return f"{subject} is a close call, which the photos cannot settle: {compared}."
    return f"{subject} is not worse beyond the margin: {compared}."


def describe_run(decision: Decision, answer: Answer | None = None) -> str:
    """The same, and what follows from it."""
    return f"{summarize(decision)} {_what_follows(decision, answer)}"


def describe_answer(answer: Answer) -> str:
    """Who answered what in a close call, for people; without the reason."""
    if not answer.answered_by:
        return "nobody answered in time, so the champion stays"
    if answer.promote and not answer.counts:
        return f"{answer.answered_by} promoted it, too late: the champion had moved on, and stays"
    return f"{'promoted' if answer.promote else 'kept back'} by {answer.answered_by}"


def _what_follows(decision: Decision, answer: Answer | None) -> str:
    if answer:
        told = describe_answer(answer)
        reason = f" Reason: {answer.why}." if answer.why else ""
        return f"{told[0].upper()}{told[1:]}.{reason}"
    follows = {"promote": "It is promoted.", "keep": "The champion stays.", "ask": "A person is asked."}
    return follows[decision.action]


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
    passes, undecided = sure_errors_within(photos, margin)
    yield (
        f"It cannot see a weakness on few photos. A challenger that is otherwise equal passes with {passes} more sure "
        f"errors on these {photos:,} photos ({positives:,} of them positive), and is a close call with up to "
        f"{undecided}. Slices show only what they are cut by."
    )
    spread = max(0.0, overall.standard_error**2 - padding_error(photos) ** 2) ** 0.5
    chance = chance_to_pass(spread, photos, margin)
    if chance < SELDOM:
        yield (
            f"These two models differ so much from photo to photo that even an equal challenger would pass in only "
            f"{100 * chance:.0f} of 100 runs: set CAT_GATE__MARGIN higher, or add photos to the lake."
        )


def _more_or_fewer(value: float) -> str:
    return f"{abs(value):.1f} {_word(value)}"


def _word(value: float) -> str:
    return "fewer" if value > 0 else "more"
