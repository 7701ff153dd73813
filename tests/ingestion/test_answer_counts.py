import pytest

from include.errors import BadRecord
from include.ingestion.answer_counts import feedback_precision, read_counts, save_count, share_interval
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.records import AnswerCount


def count(answer: str = "positive", verdict: str = "positive") -> AnswerCount:
    return AnswerCount("7", verdict, answer, "2026-01-01")


def test_a_later_answer_under_one_id_replaces_the_earlier_and_none_takes_it_back(store: ObjectStore) -> None:
    save_count(store, "a", count("positive"))
    save_count(store, "a", count("negative"))
    save_count(store, "b", count("neither"))
    assert sorted(read_counts(store), key=lambda item: item.answer) == [count("negative"), count("neither")]
    save_count(store, "a", None)
    save_count(store, "a", None)
    assert read_counts(store) == [count("neither")]


def test_a_count_that_cannot_be_read_is_left_out(lake: LocalStore, caplog: pytest.LogCaptureFixture) -> None:
    save_count(lake, "a", count())
    lake.write(layout.answer_count("b"), b'{"answer": "dog"}')
    assert read_counts(lake) == [count()]
    assert "counts/b.json" in caplog.text


@pytest.mark.parametrize("changed", [{"answer": "dog"}, {"verdict": "perhaps"}])
def test_unknown_words_are_refused(changed: dict[str, str]) -> None:
    with pytest.raises(BadRecord, match="is not one of"):
        count(**changed)


def test_precision_counts_what_was_claimed_and_answered() -> None:
    answers = [count("positive"), count("positive"), count("negative"), count("neither")]
    others = [count("positive", "negative"), count("positive", "unsure")]
    assert feedback_precision(answers + others) == (2, 3)
    assert feedback_precision([]) == (0, 0)


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (8, 10, 0.4902, 0.9433), (50, 100, 0.4038, 0.5962)],
)
def test_the_interval_is_that_of_wilson(part: int, whole: int, low: float, high: float) -> None:
    """Known values: of statsmodels.stats.proportion.proportion_confint(method="wilson")."""
    interval = share_interval(part, whole)
    assert interval.value == part / whole
    assert interval.low == pytest.approx(low, abs=1e-4)
    assert interval.high == pytest.approx(high, abs=1e-4)
