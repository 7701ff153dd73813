"""What a visitor says of a verdict, and whether the photo may stay: into the spool, from where it reaches the lake."""

from dataclasses import replace
from datetime import UTC, datetime

from app.monitoring import ANSWERS
from app.services import get_sender, get_spool, now
from app.shown import Shown
from app.wording import told
from include.ingestion.spool import Wish, grant
from include.lake.base import ObjectStore
from include.records import AnswerCount, Verdict

CONSENT_VERSION = 2  # raise it when the words beside the box change


def answer(shown: Shown, visitor: str, value: str | None) -> None:
    """Count an answer, and store it where the photo is kept; none takes it back. Raises OSError where the disk is full.

    Safe to repeat: the same answer again changes nothing.
    """
    if value == shown.answer:
        return
    if shown.kept:
        _put(shown, visitor, kept=True, value=value)
    get_spool().put_count(shown.id, _count(shown, value) if value else None)
    get_sender().notify()
    shown.answer = value
    ANSWERS.labels(value or "undone").inc()


def set_consent(shown: Shown, visitor: str, *, kept: bool) -> None:
    """Keep the photo with its answer, or take both back. Raises OSError where that cannot be kept."""
    if kept == shown.kept:
        return
    _put(shown, visitor, kept=kept, value=shown.answer)
    get_sender().notify()
    shown.kept = kept


def wish_for(shown: Shown, visitor: str, *, kept: bool, value: str | None) -> Wish:
    verdict = shown.verdict
    return Wish(
        visitor=visitor,
        photo_sha256=shown.sha256,
        kept=kept,
        taken_at=now(),
        consent_version=CONSENT_VERSION,
        model_version=verdict.model_version if verdict else "",
        probability=verdict.probability if verdict else None,
        answer=value if kept else None,
        answered_at=now() if kept and value else None,
    )


def give(lake: ObjectStore, photo: bytes, *, visitor: str, verdict: Verdict | None, answer: str) -> str:
    """A photo with consent and answer, straight into the lake; returns its id. For visitors without a browser."""
    wish = wish_for(Shown(photo, verdict=verdict), visitor, kept=True, value=answer)
    return grant(lake, wish, photo)


def take_back(wish: Wish) -> None:
    """Take back a photo that was kept earlier in this session. Raises OSError where that cannot be kept."""
    get_spool().put(replace(wish, kept=False, answer=None, answered_at=None), b"")
    get_sender().notify()


def _put(shown: Shown, visitor: str, *, kept: bool, value: str | None) -> None:
    get_spool().put(wish_for(shown, visitor, kept=kept, value=value), shown.photo)


def _count(shown: Shown, value: str) -> AnswerCount:
    assert shown.verdict is not None
    day = datetime.now(UTC).date().isoformat()
    return AnswerCount(shown.verdict.model_version, told(shown.verdict), value, day)
