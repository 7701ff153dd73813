"""The script of the app: its pages, and what all of them share."""

import secrets
from pathlib import Path

import streamlit as st

from app.services import get_icon, get_settings

title = get_settings().question.text
st.set_page_config(page_title=title, page_icon=get_icon())
st.html(Path(__file__).with_name("style.css"))
st.session_state.setdefault("visitor", secrets.token_hex(16))
pages = [st.Page("pages/ask.py", title=title), st.Page("pages/status.py", title="How the model is doing")]
st.navigation(pages, position="hidden").run()
