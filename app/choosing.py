"""The view before a photo: by upload, camera or example."""

import logging

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app import services
from app.examples import draw_examples
from app.monitoring import ERRORS, PHOTOS
from app.refusals import explain_refusal
from app.shown import Shown
from app.widgets import draw_picture, small
from include.errors import NotAPhoto, TransientError
from include.images.decoding import MAX_BYTES

log = logging.getLogger(__name__)

UPLOAD, CAMERA = "File", "Camera"
# Those that can be read, and pictures that cannot: a file that is not listed is refused by Streamlit, in a tooltip that
# nobody sees on a phone; one that is listed reaches us, and gets an answer.
TYPES = ["jpg", "jpeg", "jpe", "jfif", "png", "webp"]
TYPES += ["heic", "heif", "hif", "avif", "gif", "bmp", "tif", "tiff", "svg", "pdf"]
INTRODUCTION = "Show a photo, and a model that learns from its visitors says what it sees."
FATE = (
    f"JPEG, PNG or WebP, up to {MAX_BYTES // 1_000_000} MB. The model looks at your photo, and then it is forgotten, "
    "unless you let it stay."
)


def choose(place: DeltaGenerator) -> None:
    """Ask for a photo; a file that is refused leaves its reason, and nothing else."""
    place.markdown(INTRODUCTION)
    if refusal := st.session_state.get("refusal"):
        st.error(refusal, icon=":material/error:")
    number = st.session_state.setdefault("choice", 0)  # a new widget for each file: a refused one does not stay
    way = st.segmented_control(
        "How do you show a photo?", [UPLOAD, CAMERA], default=UPLOAD, required=True, label_visibility="collapsed"
    )
    if way == CAMERA:
        file = st.camera_input("Take a photo", key=f"camera {number}")
    else:
        file = st.file_uploader("Drop a photo here, or choose one", type=TYPES, key=f"upload {number}")
    small(FATE)
    if file is not None:
        _take(file, "camera" if way == CAMERA else "upload")
    _offer_examples()


def forget_photo() -> None:
    """Back to the choice; nothing that was shown stays on the page."""
    st.session_state["shown"] = None
    st.session_state["refusal"] = ""


def read_upload(body: bytes) -> tuple[Shown | None, str]:
    """The photo, or why there is none."""
    try:
        return Shown(services.clean(body)), ""
    except NotAPhoto as error:
        ERRORS.labels(error.reason).inc()
        log.info("a file of %d bytes is refused: %s", len(body), error.reason)
        return None, explain_refusal(body, error)
    except TransientError as error:  # too many photos at once
        ERRORS.labels("busy").inc()
        log.warning("a photo was not read: %s", error)
        return None, "Many people are showing photos just now: try again in a minute."
    except Exception:  # the machine has no memory, for example
        ERRORS.labels("cannot_read").inc()
        log.exception("a photo could not be read")
        return None, "The photo could not be read just now; it is not your fault. Try again in a minute."


def _take(file: UploadedFile, source: str) -> None:
    body = file.getvalue()
    st.session_state["choice"] += 1
    with st.spinner("Reading the photo …"):
        shown, refusal = read_upload(body)
    _free(file)
    st.session_state["refusal"] = refusal
    if shown:
        PHOTOS.labels(source).inc()
        st.session_state["shown"] = shown
    st.rerun()


def _free(file: UploadedFile) -> None:
    """Streamlit would keep the file in memory as long as the session lasts."""
    context = get_script_run_ctx()
    if context and hasattr(context.uploaded_file_mgr, "remove_file"):
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)


def _offer_examples() -> None:
    examples = _examples(services.get_settings().question.sources)
    if not examples:
        return
    st.markdown("No photo at hand? Try a drawing:")
    with st.container(horizontal=True):
        for name, photo in examples.items():
            with st.container(width=76, gap="xsmall"):
                draw_picture(photo, width=76, alt="")  # the button names it
                st.button(name, key=f"example {name}", on_click=_show_example, args=(name,), width="stretch")


@st.cache_data
def _examples(sources: tuple[str, ...]) -> dict[str, bytes]:
    return draw_examples(sources)


def _show_example(name: str) -> None:
    PHOTOS.labels("example").inc()
    photo = _examples(services.get_settings().question.sources)[name]
    st.session_state["shown"], st.session_state["refusal"] = Shown(photo, is_example=True), ""
