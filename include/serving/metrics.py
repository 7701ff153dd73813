"""Counts for Prometheus; those of several worker processes are added up."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from include.serving.model_loader import Served
from include.settings import Settings


@dataclass
class Counted:
    """The response that is counted; an exception counts as a failure."""

    response: Response


class Metrics:
    """Requests to /invocations: how many by status and version, and how long they took."""

    def __init__(self, settings: Settings) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "cat_requests", "Requests to /invocations", ["status", "version"], registry=self._registry
        )
        self._seconds = Histogram("cat_request_seconds", "Time to answer /invocations", registry=self._registry)
        self._shared = _folder(settings) if settings.server_workers > 1 else None

    @contextmanager
    def counting(self, served: Served | None) -> Iterator[Counted]:
        """Count the response that the block leaves."""
        began, counted = time.monotonic(), Counted(Response(status_code=500))
        try:
            yield counted
        finally:
            self._requests.labels(counted.response.status_code, served.version if served else "none").inc()
            self._seconds.observe(time.monotonic() - began)

    def response(self) -> Response:
        """As Prometheus reads it."""
        registry = self._registry
        if self._shared:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._shared))  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def share_metrics(settings: Settings) -> None:
    """Make the workers, which are started next, count in an empty folder that they share."""
    folder = _folder(settings)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.putenv("PROMETHEUS_MULTIPROC_DIR", str(folder))  # prometheus_client looks for it when it is imported


def _folder(settings: Settings) -> Path:
    return settings.home / "server-metrics"
