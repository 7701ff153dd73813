"""The view of one photo: the verdict in its place, the photo, and the reason on demand."""

import base64
import io
import logging
from html import escape

import streamlit as st
from PIL import Image
from streamlit.delta_generator import DeltaGenerator

from app.choosing import forget_photo
from app.http_log import new_id
from app.limits import RateLimit
from app.model_reports import report_of
from app.monitoring import ERRORS, SECONDS, VERDICTS
from app.services import get_icon, get_model_news, get_rate_limit, get_settings, predict_live
from app.shown import Shown
from app.widgets import announce, current, draw_picture, small
from app.wording import describe_quality, headline, named_shares, percent, subline, told
from include.errors import CatError, NoModelYet, ServerBusy, ServerStarting

log = logging.getLogger(__name__)

WIDEST, HIGHEST = 420, 300  # pixels of the photo on the page: the verdict and the photo fit on a phone's first screen
LOOKING = "Looking at your photo …"
THINKING = "Looking for the reason …"
TOO_FAST = "That was very fast: wait a minute, then ask again."
TOO_MANY = "Many people are asking just now: wait a minute, then ask again."
NO_MODEL = "No model is ready yet. Come back in a few minutes."
STARTING = "The model is starting. Ask again in half a minute."
NO_ANSWER = "The model does not answer right now. Your photo is fine: ask again in a minute."
UNREADABLE = "The model cannot read this photo. Try another one."
NO_REASON = "The model cannot give its reason right now. Try again in a minute."
KNOWN_FAILURES: dict[type[CatError], tuple[str, str]] = {
    NoModelYet: ("no_model", NO_MODEL),
    ServerStarting: ("starting", STARTING),
    ServerBusy: ("busy", TOO_MANY),
}


def look(place: DeltaGenerator, shown: Shown) -> None:
    """Draw the photo with its verdict; ask for it, once, if it is not known."""
    waiting = st.empty()
    picture = st.empty()
    if shown.verdict is None and not shown.problem:
        announce(place, LOOKING)
        _draw_photo(picture, shown)
        with waiting, st.spinner(""):  # the words stand above it
            ask(shown)
        waiting.empty()
    if shown.verdict is None:
        announce(place, "No verdict yet", shown.problem)
        _draw_photo(picture, shown)
        _buttons(shown)
        return
    question = get_settings().question
    announce(place, headline(shown.verdict, question, get_icon()), subline(shown.verdict, question))
    if shown.shows_why and shown.explanation is None:
        _draw_photo(picture, shown)
        with waiting, st.spinner(THINKING):
            ask_why(shown)
        waiting.empty()
    _draw_photo(picture, shown)
    _buttons(shown)
    _draw_shares(shown)


def ask(shown: Shown) -> None:
    """One request for a verdict; what goes wrong becomes a sentence, and the photo stays for another try."""
    request_id = new_id()
    if problem := _limit():
        shown.problem = problem
        return
    try:
        with SECONDS.time():
            verdict = predict_live(shown.photo, request_id=request_id)
    except Exception as error:
        shown.problem = _explain_failure(error, request_id)
        return
    if verdict.probability is None:
        ERRORS.labels("unreadable").inc()
        shown.problem = UNREADABLE
        return
    VERDICTS.labels(told(verdict), verdict.model_version).inc()
    shown.verdict = verdict


def ask_why(shown: Shown) -> None:
    """One request for the reason; what goes wrong becomes a sentence, and the verdict stays."""
    request_id = new_id()
    if problem := _limit():
        shown.fault, shown.shows_why = problem, False
        return
    try:
        picture = predict_live(shown.photo, request_id=request_id, explain=True).explanation
        explanation = base64.b64decode(picture or "", validate=True)
        _width(explanation)
    except Exception as error:  # among them: what came is no picture
        _explain_failure(error, request_id)
        shown.fault, shown.shows_why = f"{NO_REASON} (Request {request_id})", False
        return
    shown.explanation = explanation


def _limit() -> str:
    """Why no request may be made now; empty where one may."""
    own: RateLimit = st.session_state.setdefault("limit", RateLimit(get_settings().session_requests_per_minute))
    problem = TOO_FAST if not own.allows() else TOO_MANY if not get_rate_limit().allows() else ""
    if problem:
        ERRORS.labels("too_fast" if problem is TOO_FAST else "too_many").inc()
    return problem


def _explain_failure(error: Exception, request_id: str) -> str:
    for kind, (reason, words) in KNOWN_FAILURES.items():
        if isinstance(error, kind):
            ERRORS.labels(reason).inc()
            return words
    if not isinstance(error, CatError):
        log.error("request %s failed", request_id, exc_info=error)
    ERRORS.labels("no_answer").inc()
    return f"{NO_ANSWER} (Request {request_id})"


def _ask_again() -> None:
    current().problem = ""


def _toggle_why() -> None:
    shown = current()
    shown.fault, shown.shows_why = "", not shown.shows_why


def _draw_photo(place: DeltaGenerator, shown: Shown) -> None:
    question = get_settings().question
    with place.container():
        if shown.shows_why and shown.explanation:
            alt = f"Your photo in grey: red where it speaks for {question.noun}, blue where it speaks against it"
            draw_picture(shown.explanation, width=_width(shown.explanation), alt=alt)
            small(f"Red speaks for {question.noun}, blue against it. The stronger the colour, the more it weighs.")
        else:
            alt = "The drawing that you chose" if shown.is_example else "Your photo"
            draw_picture(shown.photo, width=_width(shown.photo), alt=alt)


def _width(picture: bytes) -> int:
    """In pixels, so that the picture is neither too wide nor too high."""
    with Image.open(io.BytesIO(picture)) as image:
        return round(min(WIDEST, HIGHEST * image.width / image.height))


def _buttons(shown: Shown) -> None:
    with st.container(horizontal=True):
        if shown.verdict:
            words = "Hide the reason" if shown.shows_why else "Why?"
            st.button(words, key="why", on_click=_toggle_why)
        elif shown.problem != UNREADABLE:
            st.button("Ask again", on_click=_ask_again)
        st.button("Another photo", on_click=forget_photo)
    if shown.fault:
        st.warning(shown.fault, icon=":material/warning:")


def _draw_shares(shown: Shown) -> None:
    assert shown.verdict
    question = get_settings().question
    rows = [
        f'<li style="--share: {share:.3f}"><span>{escape(name)}</span><span>{percent(share)}</span></li>'
        for name, share in named_shares(shown.verdict, question)
    ]
    if rows:
        st.html(f'<ul class="shares" aria-label="What the photo is like">{"".join(rows)}</ul>')
    news = get_model_news().get(wait=0.5)
    report = report_of(news.reports, news.live, shown.verdict.model_version) if news else None
    small(describe_quality(shown.verdict.model_version, report, question))
