"""What a setting can be besides a number: a port, a URL, a folder, the place of a lake, a schedule.

Each check says in words what would work; `include.configuration` adds the name of the setting.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote_to_bytes, urlsplit

from pydantic import AfterValidator, Field

PRESETS = ("@once", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
BUCKET = r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]"


@dataclass(frozen=True)
class LakePlace:
    """Where a lake is: a ``folder``, or a ``bucket`` and the ``prefix`` of its keys there, which ends with a slash."""

    folder: Path | None = None
    bucket: str = ""
    prefix: str = ""


def parse_lake_url(url: str) -> LakePlace:
    """``file:///folder``, ``s3://bucket`` or ``s3://bucket/prefix``; %XX is a byte. Raises ValueError."""
    scheme, _, location = url.partition("://")
    if scheme == "file":
        return LakePlace(folder=_folder_of(location))
    if scheme != "s3":
        raise ValueError("it is neither file:///folder nor s3://bucket")
    bucket, _, prefix = location.partition("/")
    if not re.fullmatch(BUCKET, bucket):
        raise ValueError(f"{bucket!r} cannot be a bucket: write s3://bucket, or s3://bucket/prefix")
    prefix = unquote_to_bytes(prefix).decode().strip("/")
    if re.search(r"[?#\\]|//|^\.{1,2}$|(^|/)\.{1,2}(/|$)", prefix):
        raise ValueError(f"{prefix!r} cannot be a prefix: write names joined by single slashes")
    return LakePlace(bucket=bucket, prefix=f"{prefix}/" if prefix else "")


def _folder_of(location: str) -> Path:
    if not location.startswith("/"):
        raise ValueError("a folder is named from the root, with three slashes: file:///folder")
    if location.startswith("/~"):
        raise ValueError("~ means nothing in a URL: write the whole path, such as file:///home/you/lake")
    folder = Path(os.fsdecode(unquote_to_bytes(os.fsencode(location))))
    if folder == Path("/"):
        raise ValueError("the root cannot be a lake: name a folder in it")
    return folder


def _lake_url(given: str) -> str:
    if given:
        parse_lake_url(given)
    return given


def _http_url(given: str) -> str:
    """Without a slash at its end; empty stays empty."""
    try:
        parts = urlsplit(given)
        is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # of a port that is no number
        is_whole = False
    if given and (not is_whole or re.search(r"\s", given)):
        raise ValueError("write the whole URL, such as http://host:9000")
    return given.rstrip("/")


def _in_home(given: Path) -> Path:
    """``~`` is the home of the user also where no shell has replaced it."""
    return given.expanduser()


def _schedule(given: str) -> str:
    try:
        from croniter import croniter  # Airflow's own; where that is not installed nothing runs by a schedule
    except ImportError:
        return given
    if given not in PRESETS and not (len(given.split()) == 5 and croniter.is_valid(given)):
        raise ValueError(f"it is neither a cron expression of five fields nor one of {', '.join(PRESETS)}")
    return given


Port = Annotated[int, Field(ge=1, le=65535)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
LakeUrl = Annotated[str, AfterValidator(_lake_url)]
Folder = Annotated[Path, AfterValidator(_in_home)]
Schedule = Annotated[str, AfterValidator(_schedule)]
