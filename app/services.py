"""What the pages do; nothing here draws, and no `st` but its caches."""

from datetime import UTC, datetime

import streamlit as st

from include.images.decode_pool import DecodePool
from include.ingestion.uploads import fingerprint, lake_secret, photo_id_of, save_feedback, save_upload
from include.lake.base import ObjectStore
from include.lake.opening import open_lake
from include.question import Question
from include.records import UploadRecord, Verdict
from include.serving.client import predict
from include.settings import Settings

ICONS = {Question().name: "🐱"}  # of the default question; others get a camera
CONSENT_VERSION = 1  # raise it when the words beside the box change
LONGEST_SIDE = 1024  # pixels of a photo that is kept
QUALITY = 90


@st.cache_resource(ttl=3600)
def get_settings() -> Settings:
    return Settings()


def get_icon() -> str:
    return ICONS.get(get_settings().question.name, "📷")


@st.cache_resource(ttl=3600)
def get_lake() -> ObjectStore:
    return open_lake(get_settings())


@st.cache_resource
def get_decoders() -> DecodePool:
    """For all visitors: what a picture takes is bounded, and costs nobody else his answer."""
    return DecodePool(get_settings().decoding)


def clean(photo: bytes) -> bytes:
    """The picture and nothing else: upright JPEG, at most 1,024 px, no EXIF or GPS. Raises NotAPhoto, DecodersBusy."""
    return get_decoders().clean_jpeg(photo, side=LONGEST_SIDE, quality=QUALITY)


def predict_live(photo: bytes) -> Verdict:
    """The live server's verdict on one photo. Raises ServerError, or NoModelYet before the first model."""
    settings = get_settings()
    return predict(settings.live_url, [photo], headers=settings.server_headers)[0]


def keep_photo(lake: ObjectStore, photo: bytes, *, visitor: str, verdict: Verdict | None) -> str:
    """Store a cleaned photo that its user agreed to give; the same photo of one visitor is stored once.

    ``visitor`` is a random name of one browser session; only its keyed hash is stored. Returns the photo's id.
    """
    session = fingerprint(lake_secret(lake), visitor)
    photo_id = photo_id_of(lake, session, photo)
    record = UploadRecord(
        photo_id=photo_id,
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        session=session,
        consent_version=CONSENT_VERSION,
        model_version=verdict.model_version if verdict else "",
        probability=verdict.probability if verdict else None,
    )
    save_upload(lake, photo, record)
    return photo_id


def keep_answer(lake: ObjectStore, photo_id: str, answer: str) -> None:
    """positive, negative or neither; a later answer replaces it."""
    save_feedback(lake, photo_id, answer)
