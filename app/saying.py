"""The view of a visitor's say: right or wrong, whether the photo may stay, and the way back."""

import logging
from collections.abc import Callable
from functools import partial

import streamlit as st

from app import say
from app.monitoring import ERRORS
from app.services import get_settings
from app.shown import Shown
from app.widgets import current, small
from app.wording import answers_for, promise, told
from include.ingestion.spool import Wish

log = logging.getLogger(__name__)

CONSENT = (
    "Let this photo stay, so that later models can learn from it. It is a photo of me, or I have permission to give it."
)
DETAILS = (
    "The photo is kept with the project, reduced to 1,024 pixels, without the place, time and camera that phones write "
    "into it. It is used to train and to test models, and for nothing else. No name and no address goes with it. You "
    "can take it back here as long as this page is open; afterwards nobody can tell which photo was yours. "
    "What you take back is deleted at once and never used again, but a backup may hold it for some weeks more."
)
CHOSEN = "background: color-mix(in srgb, currentColor 18%, transparent); border-color: currentColor;"
NOT_KEPT = "That could not be saved just now; it is not your fault. Try again in a minute."


def offer_say(shown: Shown) -> None:
    """One tap counts; another one changes it. With consent the photo stays, too."""
    assert shown.verdict
    unsure = told(shown.verdict) == "unsure"
    st.header("What is it?" if unsure else "Was that right?", anchor=False)
    with st.container(horizontal=True):
        for value, words in answers_for(shown.verdict, get_settings().question).items():
            label = f"✓ {words}" if shown.answer == value else words
            st.button(label, key=value, on_click=_answer, args=(value,))
    if shown.answer:  # by style: a button of another type would be another one, and take the focus away
        st.html(f"<style>.st-key-{shown.answer} button {{ {CHOSEN} }}</style>")
    st.checkbox(CONSENT, value=shown.kept, key=_box(shown), on_change=_consent)
    with st.expander("What happens to my photo?"):
        st.markdown(DETAILS)
    if shown.fault == NOT_KEPT:
        return
    if shown.said:
        st.success(shown.said, icon=":material/check:")
    if shown.answer or shown.kept:
        st.button("Undo", on_click=_undo)


def offer_way_back(shown: Shown | None) -> None:
    """The photos that were kept earlier in this session."""
    earlier = {name: wish for name, wish in _kept().items() if shown is None or name != shown.id}
    if earlier:
        small(f"Photos that you let stay before: {len(earlier)}.")
        st.button("Take them all back", on_click=_take_all_back, args=(list(earlier),))
        if fault := st.session_state.get("fault"):
            st.warning(fault, icon=":material/warning:")


def _kept() -> dict[str, Wish]:
    """What this session gave, by the id of its photo."""
    kept: dict[str, Wish] = st.session_state.setdefault("kept", {})
    return kept


def _visitor() -> str:
    return str(st.session_state["visitor"])


def _box(shown: Shown) -> str:
    """The box of this photo, and of no other: a tick must never outlive it."""
    return f"consent {shown.id}"


def _answer(value: str) -> None:
    shown = current()
    changed = shown.answer is not None and shown.answer != value
    if _try(shown, lambda: say.answer(shown, _visitor(), value)):
        shown.said = ("Changed. " if changed else "Thank you! ") + promise(shown.sha256, value, kept=shown.kept)


def _consent() -> None:
    shown = current()
    key = _box(shown)
    kept = bool(st.session_state[key])
    if not _try(shown, lambda: say.set_consent(shown, _visitor(), kept=kept)):
        st.session_state[key] = shown.kept
        return
    _remember(shown)
    if kept:
        shown.said = "Thank you! " + promise(shown.sha256, shown.answer, kept=True)
    else:
        counted = " Your answer still counts, without the photo." if shown.answer else ""
        shown.said = f"Taken back: the photo is deleted.{counted}"


def _undo() -> None:
    """No answer, no photo: as if nothing had been said."""
    shown = current()

    def undo() -> None:
        say.set_consent(shown, _visitor(), kept=False)
        say.answer(shown, _visitor(), None)

    if _try(shown, undo):
        shown.said = "Undone: your answer does not count, and the photo does not stay."
    st.session_state[_box(shown)] = shown.kept
    _remember(shown)


def _take_all_back(names: list[str]) -> None:
    for name in names:
        if fault := _fault_of(partial(say.take_back, _kept()[name])):
            st.session_state["fault"] = fault
            return
        del _kept()[name]
    st.session_state["fault"] = ""


def _remember(shown: Shown) -> None:
    if shown.kept:
        _kept()[shown.id] = say.wish_for(shown, _visitor(), kept=True, value=shown.answer)
    else:
        _kept().pop(shown.id, None)


def _try(shown: Shown, act: Callable[[], None]) -> bool:
    shown.fault = _fault_of(act)
    return not shown.fault


def _fault_of(act: Callable[[], None]) -> str:
    """Do it, or say that it could not be done: nothing is confirmed that did not reach the disk."""
    try:
        act()
    except OSError:
        log.exception("what a visitor said could not be kept")
        ERRORS.labels("not_kept").inc()
        return NOT_KEPT
    return ""
