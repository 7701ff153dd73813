"""A photo in, a verdict and its reason out, and a say for who showed it."""

import streamlit as st

<<<<<<< HEAD
from app.choosing import choose
from app.saying import offer_say, offer_way_back
from app.services import get_settings
from app.shown import Shown
from app.verdict_view import look
from app.widgets import link_pages
=======
from app.services import clean, get_icon, get_lake, get_settings, keep_answer, keep_photo, predict_live
from include.errors import CatError, DecodersBusy, NoModelYet, NotAPhoto
from include.question import NEGATIVE, POSITIVE
>>>>>>> issue-18

st.title(get_settings().question.text, anchor=False)
place = st.empty()  # of the verdict: emptied before another photo is looked at
shown: Shown | None = st.session_state.get("shown")
if shown is None:
    choose(place)
else:
<<<<<<< HEAD
    look(place, shown)
    if shown.verdict and not shown.is_example:
        offer_say(shown)
offer_way_back(shown)
link_pages()
=======
    upload = st.file_uploader("A photo of you", type=["jpg", "jpeg", "png", "webp"])
if upload is None:
    st.info("Show me a photo first.")
    st.stop()

try:
    photo = clean(upload.getvalue())
except NotAPhoto as error:
    st.warning(f"I cannot see a photo in this: {error}. Try a JPEG, PNG or WebP picture.")
    st.stop()
except DecodersBusy:
    st.warning("Too many people are showing me photos just now; try again in a minute.")
    st.stop()
if source != "Use the camera":  # the camera shows its picture by itself
    st.image(photo, width=320)

try:
    verdict = predict_live(photo)
except NoModelYet:
    st.info("I have not learned to see yet. Come back in a few minutes.")
    st.stop()
except CatError as error:
    log.warning("%s", error)
    st.error("The model does not answer right now; try again in a minute. Nothing is stored meanwhile.")
    st.stop()
if verdict.probability is None:
    st.warning("I cannot read this photo. Try another one.")
    st.stop()

noun = QUESTION.noun
if verdict.unsure:
    st.subheader("I am not sure … " + (f"{noun}, perhaps?" if verdict.is_positive else f"probably not {noun}."))
else:
    st.subheader(f"You are {noun}! {get_icon()}" if verdict.is_positive else f"You are not {noun}.")
st.progress(verdict.probability, text=f"{noun}: {verdict.probability:.0%}")
st.caption(f'Model version {verdict.model_version}; it answers "{noun}" at {verdict.threshold:.0%} or more.')

state_key = f"kept {upload.file_id}"  # consent is for one photo, not for the next one
photo_id = st.session_state.get(state_key)
consent = st.checkbox(
    "Keep this photo, so that the next model can learn from it. Its EXIF and GPS data are removed. "
    "Once kept, it cannot be taken back on this page.",
    value=photo_id is not None,
    key=f"consent {upload.file_id} {photo_id is None}",
    disabled=photo_id is not None,
)
if consent and photo_id is None:
    with show_storage_errors():
        st.session_state[state_key] = keep_photo(get_lake(), photo, visitor=visitor, verdict=verdict)
    st.rerun()  # the box is drawn again, ticked for good

with st.form(f"feedback {upload.file_id}", border=False):
    answer = st.radio("Am I right? You are …", list(ANSWERS), format_func=ANSWERS.get, index=None)
    sent = st.form_submit_button("Send")
if sent and answer is None:
    st.warning("Choose an answer first.")
elif sent and photo_id is None:
    st.info("Thank you. Nothing was stored, because the box above is not ticked.")
elif sent and answer and photo_id:
    with show_storage_errors():
        keep_answer(get_lake(), photo_id, answer)
    st.success(
        "Thank you! " + ("I will not learn from it." if answer == "neither" else "The next model can learn from it.")
    )
>>>>>>> issue-18
