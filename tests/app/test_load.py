"""Fifty visitors at once: nobody meets an error. How fast they are answered is measured by bench/app_load.py."""

import asyncio
from pathlib import Path

import httpx
import pytest

from bench.app_load import run
from tests.app.served import serve

pytestmark = [pytest.mark.functional, pytest.mark.slow]


def test_fifty_visitors_meet_no_error(tmp_path: Path) -> None:
    with serve(tmp_path, CAT_VERDICT_SECONDS="60") as app:
        result = asyncio.run(run(app.url, users=50, every=5, seconds=30, pid=None))
        assert result.errors == []
        assert len(result.seconds) == app.model.verdicts >= 50
        told = 'cat_app_verdicts_total{told="positive",version="7"}'
        assert f"{told} {float(len(result.seconds))}" in httpx.get(f"{app.url}/metrics").text


def test_a_limit_for_all_stops_those_who_are_too_many(tmp_path: Path) -> None:
    with serve(tmp_path, CAT_REQUESTS_PER_MINUTE="10") as app:
        result = asyncio.run(run(app.url, users=8, every=1, seconds=5, pid=None))
        assert len(result.seconds) == app.model.verdicts == 10
        assert all("Many people are asking just now" in error for error in result.errors)
        assert result.errors
