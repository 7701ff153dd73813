"""What the pages do; nothing here draws, and no `st` but its caches."""

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from app.limits import RateLimit
from app.model_reports import Report, read_reports
from app.refreshed import Refreshed
from include.configuration import read_settings
from include.errors import CatError
from include.images.decode_pool import DecodePool
from include.ingestion.answer_counts import read_counts
from include.ingestion.spool import Spool
from include.ingestion.spool_sender import SpoolSender
from include.lake.base import ObjectStore
from include.lake.opening import open_lake
from include.question import Question
from include.records import AnswerCount, Verdict
from include.serving.client import live, predict
from include.settings import Settings

log = logging.getLogger(__name__)

ICONS = {Question().name: "🐱"}  # of the default question; others get a camera
LONGEST_SIDE = 1024  # pixels of a photo that is kept
QUALITY = 90
PATIENCE = 3.0  # seconds in which a busy model server is asked again: a visitor waits
LIVE_SECONDS = 5.0  # to wait for what is live: a page that says it can do without
REFRESH_SECONDS = 30.0  # the age of what a page says about models


@st.cache_resource(ttl=3600)
def get_settings() -> Settings:
    return read_settings()


def get_icon() -> str:
    return ICONS.get(get_settings().question.name, "📷")


@st.cache_resource(ttl=3600)
def get_lake() -> ObjectStore:
    return open_lake(get_settings())


@st.cache_resource
def get_spool() -> Spool:
    return Spool(get_settings().spool)


@st.cache_resource(on_release=SpoolSender.stop)
def get_sender() -> SpoolSender:
    """The thread that sends what is in the spool; it starts with the first call."""
    sender = SpoolSender(get_spool(), get_lake)
    sender.start()
    return sender


@st.cache_resource
def get_rate_limit() -> RateLimit:
    """Of all visitors together."""
    return RateLimit(get_settings().requests_per_minute)


@st.cache_resource
def get_decoders() -> DecodePool:
    """For all visitors: what a picture takes is bounded, and costs nobody else his answer."""
    return DecodePool(get_settings().decoding)


def clean(photo: bytes) -> bytes:
    """The picture and nothing else: upright JPEG, at most 1,024 px, no EXIF or GPS. Raises NotAPhoto, DecodersBusy."""
    return get_decoders().clean_jpeg(photo, side=LONGEST_SIDE, quality=QUALITY)


def predict_live(photo: bytes, *, request_id: str = "", explain: bool = False) -> Verdict:
    """The live server's verdict on one photo. Raises ServerError, or NoModelYet before the first model."""
    settings, began = get_settings(), time.monotonic()
    headers = settings.server_headers | ({"X-Request-ID": request_id} if request_id else {})
    try:
        (verdict,) = predict(
            settings.live_url,
            [photo],
            explain=explain,
            headers=headers,
            timeout=settings.verdict_seconds,
            patience=PATIENCE,
        )
    except CatError as error:
        log.warning("request %s failed after %.2f s: %s", request_id, time.monotonic() - began, error)
        raise
    log.info("request %s: version %s in %.2f s", request_id, verdict.model_version, time.monotonic() - began)
    return verdict


@dataclass(frozen=True)
class ModelNews:
    """What is live, as /live says it (empty where the server does not answer), and the reports of runs."""

    live: dict[str, Any]
    reports: list[Report]


@st.cache_resource
def get_model_news() -> Refreshed[ModelNews]:
    return Refreshed(_read_model_news, seconds=REFRESH_SECONDS)


@st.cache_resource
def get_counts() -> Refreshed[list[AnswerCount]]:
    """The answers of all visitors."""
    return Refreshed(lambda: read_counts(get_lake()), seconds=REFRESH_SECONDS)


def _read_model_news() -> ModelNews:
    settings = get_settings()
    try:
        serving = live(settings.live_url, headers=settings.server_headers, timeout=LIVE_SECONDS)
    except CatError:
        serving = {}
    return ModelNews(serving, read_reports(get_lake()))


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
