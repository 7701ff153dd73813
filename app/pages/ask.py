"""A photo in, a verdict and its reason out, and a say for who showed it."""

import streamlit as st

from app.choosing import choose
from app.saying import offer_say, offer_way_back
from app.services import get_settings
from app.shown import Shown
from app.verdict_view import look
from app.widgets import link_pages

st.title(get_settings().question.text, anchor=False)
place = st.empty()  # of the verdict: emptied before another photo is looked at
choosing, showing = st.empty(), st.empty()  # one of the two views; the other one goes at once, not when the run ends
shown: Shown | None = st.session_state.get("shown")
if shown is None:
    with choosing.container():
        choose(place)
else:
    with showing.container():
        look(place, shown)
        if shown.verdict and not shown.is_example:
            offer_say(shown)
offer_way_back(shown)
link_pages()
