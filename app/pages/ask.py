"""A photo in, a verdict out, and the question whether it was right."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from app.services import ask_live, clean, get_lake, keep_answer, keep_photo
from include.errors import NoModelYet, NotAPhoto, ServerError

ANSWERS = {"cat": "a cat", "not_cat": "not a cat", "neither": "neither, or I would rather not say"}
log = logging.getLogger(__name__)


@contextmanager
def told_if_it_fails() -> Iterator[None]:
    """Whatever a store can do to us, a visitor reads one sentence and the log the rest."""
    try:
        yield
    except Exception:
        log.exception("could not store")
        st.error("I could not keep that just now; it is not your fault. Try again in a minute.")
        st.stop()


visitor = st.session_state.setdefault("visitor", secrets.token_hex(16))

st.title("Are you a cat?")
way = st.radio("How do you show yourself?", ["Upload a photo", "Use the camera"], horizontal=True)
if way == "Use the camera":
    given = st.camera_input("A photo of you")
else:
    given = st.file_uploader("A photo of you", type=["jpg", "jpeg", "png", "webp"])
if given is None:
    st.info("Show me your face first.")
    st.stop()

try:
    photo = clean(given.getvalue())
except NotAPhoto as error:
    st.warning(f"I cannot see a photo in this: {error}. Try a JPEG, PNG or WebP picture.")
    st.stop()
if way != "Use the camera":  # that one shows its picture by itself
    st.image(photo, width=320)

try:
    verdict = ask_live(photo)
except NoModelYet:
    st.info("I have not learned to see yet. Come back in a few minutes.")
    st.stop()
except ServerError as error:
    log.warning("%s", error)
    st.error("My brain does not answer right now; try again in a minute. Nothing is stored meanwhile.")
    st.stop()
if verdict.probability is None:
    st.warning("I cannot make anything of this photo. Try another one.")
    st.stop()

if verdict.unsure:
    st.subheader("I am not sure … " + ("a cat, perhaps?" if verdict.is_cat else "probably not a cat."))
else:
    st.subheader("You are a cat! 🐱" if verdict.is_cat else "You are not a cat.")
st.progress(verdict.probability, text=f"Cat: {verdict.probability:.0%}")
st.caption(f"Model version {verdict.model_version}; it says cat from {verdict.threshold:.0%} on.")

place = f"kept {given.file_id}"  # consent is for one photo, not for the next one
photo_id = st.session_state.get(place)
consent = st.checkbox(
    "Keep this photo, so that the next model can learn from it. Its EXIF and GPS data are removed. "
    "Once kept, it cannot be taken back on this page.",
    value=photo_id is not None,
    key=f"consent {given.file_id} {photo_id is None}",
    disabled=photo_id is not None,
)
if consent and photo_id is None:
    with told_if_it_fails():
        st.session_state[place] = keep_photo(get_lake(), photo, visitor=visitor, verdict=verdict)
    st.rerun()  # the box is drawn again, ticked for good

with st.form(f"feedback {given.file_id}", border=False):
    answer = st.radio("Am I right? You are …", list(ANSWERS), format_func=ANSWERS.get, index=None)
    sent = st.form_submit_button("Tell me")
if sent and answer is None:
    st.warning("Choose an answer first.")
elif sent and photo_id is None:
    st.info("Thank you. Nothing was stored, because the box above is not ticked.")
elif sent:
    with told_if_it_fails():
        keep_answer(get_lake(), photo_id, answer)
    st.success(
        "Thank you! " + ("I will not learn from it." if answer == "neither" else "The next model can learn from it.")
    )
