"""Answers of users as figures: counted without photo and without consent, for they tell of nobody."""

import logging
import math
from collections.abc import Iterable

from include.errors import BadRecord
from include.lake import layout
from include.lake.base import ObjectStore, read_existing
from include.question import NEGATIVE, POSITIVE
from include.records import AnswerCount, Interval

log = logging.getLogger(__name__)

Z = 1.959964  # standard errors on both sides of a 95 % interval


def save_count(store: ObjectStore, count_id: str, count: AnswerCount | None) -> None:
    """Count an answer; a later one under the same id replaces it, and none takes it back."""
    key = layout.answer_count(count_id)
    if count is None:
        store.delete(key)
    else:
        store.write(key, count.to_json())


def read_counts(store: ObjectStore) -> list[AnswerCount]:
    """All answers that were counted; what cannot be read is left out, with a warning."""
    keys = list(store.keys(layout.COUNTS))
    counts = []
    for key, body in zip(keys, read_existing(store, keys), strict=True):
        if body is None:  # taken back just now
            continue
        try:
            counts.append(AnswerCount.from_json(body))
        except BadRecord as error:
            log.warning("%s: %s", key, error)
    return counts


def feedback_precision(counts: Iterable[AnswerCount]) -> tuple[int, int]:
    """Of the photos that were called positive and that a user answered for, how many were: (right, answered).

    A verdict that was told as unsure claims nothing, and "neither" says nothing about it.
    """
    answers = [count.answer for count in counts if count.verdict == POSITIVE and count.answer in (POSITIVE, NEGATIVE)]
    return answers.count(POSITIVE), len(answers)


def share_interval(part: int, whole: int) -> Interval:
    """A share with its 95 % Wilson score interval (Wilson, 1927); ``whole`` is at least 1."""
    share = part / whole
    middle = (share + Z**2 / (2 * whole)) / (1 + Z**2 / whole)
    reach = Z / (1 + Z**2 / whole) * math.sqrt(share * (1 - share) / whole + Z**2 / (4 * whole**2))
    return Interval(share, max(0.0, middle - reach), min(1.0, middle + reach))
