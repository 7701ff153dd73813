"""The app's navigation."""

import streamlit as st

from app.services import get_icon, get_settings

title = get_settings().question.text
st.set_page_config(page_title=title, page_icon=get_icon())
st.navigation([st.Page("pages/ask.py", title=title)], position="hidden").run()
