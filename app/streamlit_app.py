"""Are you a cat? The app's navigation."""

import streamlit as st

st.set_page_config(page_title="Are you a cat?", page_icon="🐱")
st.navigation([st.Page("pages/ask.py", title="Are you a cat?")], position="hidden").run()
