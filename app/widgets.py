"""What several views draw."""

from html import escape

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.shown import Shown

STATUS, ASK = "pages/status.py", "pages/ask.py"


def current() -> Shown:
    """The photo on the page. Callbacks ask for it: Streamlit keeps what they are given as long as the session lasts."""
    shown: Shown = st.session_state["shown"]
    return shown


def announce(place: DeltaGenerator, headline: str, line: str = "") -> None:
    """A heading and a line that a screen reader reads out when they change."""
    # no <h2>, to which Streamlit adds a link of 16 pixels
    text = f'<p role="heading" aria-level="2">{escape(headline)}</p>' + (f"<p>{escape(line)}</p>" if line else "")
    place.markdown(f'<div class="verdict" role="status">{text}</div>', unsafe_allow_html=True)


def small(text: str) -> None:
    """Small print in the full contrast of the theme, which st.caption has not."""
    st.markdown(f'<p class="small">{escape(text)}</p>', unsafe_allow_html=True)


def draw_picture(picture: bytes, *, width: int, alt: str) -> None:
    """A picture so many pixels wide. Given a width, st.image would decode, shrink and encode it in every run."""
    with st.container(width=width):
        st.image(picture, width="stretch", alt=alt)


def link_pages() -> None:
    st.divider()
    st.page_link(STATUS, label="How the model is doing", icon=":material/monitoring:")
