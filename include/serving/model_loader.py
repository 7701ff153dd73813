"""The model that is served: watches the alias `champion`; downloads, verifies, loads and warms it, then swaps.

Several worker processes of a server share the copies on disk: who adds or removes one holds the lock alone, who loads
one holds it with others.
"""

import json
import logging
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.pyfunc import PyFuncModel
from PIL import Image

from include.errors import ModelError
from include.files import locked, replacing
from include.records import CONTRACT, ModelVersion
from include.registry.package import EXPLAIN, CatModel, tree_sha256
from include.registry.versions import champion_version, download_and_verify, load
from include.serving.client import STARTING
from include.serving.memory import give_back
from include.settings import Settings
from include.training.mlflow_runs import DATASET_TAG, connect

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0  # seconds
REJECTED_SECONDS = 30.0  # before a rejected version is tried again: somebody may have mended it
LAST_GOOD, LOCK = "last_good.json", "lock"
SERVING, NO_MODEL = "serving", "no model yet"  # what the server says of itself


@dataclass(frozen=True)
class CachedVersion:
    """A verified version on this machine's disk: its number, its sum and its dataset."""

    version: str
    dataset: str
    sha256: str
    contract: int = CONTRACT


@dataclass(frozen=True)
class Served:
    """The model that answers; requests hold the one that they began with."""

    model: PyFuncModel
    version: str
    sha256: str
    dataset: str
    since: str

    @property
    def python_model(self) -> CatModel:
        model: CatModel = self.model.unwrap_python_model()
        return model


class ChampionWatcher:
    """Holds what is served. One thread polls, loads and swaps; readers only take ``served``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.folder = settings.home / "server"
        self.served: Served | None = None
        self.rejected: dict[str, str] = {}  # sum of a version -> why
        self.trouble: str | None = None  # why the champion could not be had at the last poll
        self.ended = threading.Event()
        self._looked = False  # on the disk and into the registry, once each
        self._retry_at: dict[str, float] = {}
        self._client = connect(settings)

    @property
    def state(self) -> str:
        """SERVING, STARTING as long as a first model may still be loaded, or NO_MODEL."""
        if self.served:
            return SERVING
        return NO_MODEL if self._looked else STARTING

    def run(self, clock: Callable[[], float]) -> None:
        """Serve the last good copy, then poll until ended; whatever goes wrong, the model that serves goes on."""
        MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(0)  # the next poll is the retry
        MLFLOW_HTTP_REQUEST_TIMEOUT.set(10)
        self._fall_back()
        while not self.ended.is_set():
            try:
                self.poll(clock())
                self.trouble = None
            except Exception as error:  # MLflow is down, a disk is full ...: logged once a poll, and tried again
                self.trouble = f"cannot load the champion now: {str(error).partition(chr(10))[0]}"
                log.warning("%s", self.trouble)
                self._fall_back()
            self._looked = True
            self.ended.wait(POLL_SECONDS)

    def poll(self, now: float) -> None:
        """Load the champion if its sum is new; reject it with a reason if verification fails."""
        champion = champion_version(self._client)
        self._forget_rejections(champion)
        if champion is None or self.served and self.served.sha256 == champion.sha256:
            return
        if now < self._retry_at.get(champion.sha256, now):
            return
        try:
            self._serve(self._download(champion))
            self.rejected.pop(champion.sha256, None)
        except ModelError as error:
            log.error("version %s is rejected: %s", champion.number, error)
            self.rejected[champion.sha256] = str(error)
            self._retry_at[champion.sha256] = now + REJECTED_SECONDS
            self._fall_back()

    def _forget_rejections(self, champion: ModelVersion | None) -> None:
        """A version that is no longer champion may be mended before it becomes champion again."""
        kept = {champion.sha256} if champion else set()
        self.rejected = {version: reason for version, reason in self.rejected.items() if version in kept}
        self._retry_at = {version: at for version, at in self._retry_at.items() if version in kept}

    def _download(self, version: ModelVersion) -> CachedVersion:
        """Download and verify a version into a folder of its own; a good copy is not downloaded again."""
        tags = self._client.get_model_version(self._client.name, version.number).tags
        wanted = CachedVersion(version.number, tags.get(DATASET_TAG, ""), version.sha256)
        with self._alone():
            if self._last_good() != wanted:
                incoming = self._place(f"{version.sha256}.incoming")  # a rejected version must not cost its good copy
                shutil.rmtree(incoming, ignore_errors=True)
                incoming.mkdir(parents=True)
                download_and_verify(self._client, version, incoming, self._settings.question)
                shutil.rmtree(self._place(version.sha256), ignore_errors=True)
                incoming.replace(self._place(version.sha256))
        return wanted

    def _serve(self, copy: CachedVersion) -> None:
        """Load, warm, swap; then remember the copy as the last good one and drop the others."""
        with locked(self.folder / LOCK, shared=True):
            model = load(self._place(copy.sha256), copy.version)
        _warm(model)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        self.served = Served(model, copy.version, copy.sha256, copy.dataset, since)
        del model
        give_back()  # of the model that is replaced, and of what loading this one took
        log.info("version %s is served", copy.version)
        with self._alone():
            self._save_last_good(copy)

    def _save_last_good(self, copy: CachedVersion) -> None:
        if copy != self._recorded():  # a disk that is full can keep what it has
            with replacing(self.folder / LAST_GOOD) as draft:
                draft.write_text(json.dumps(asdict(copy)))
        for other in self.folder.iterdir():
            if other.is_dir() and other.name != copy.sha256:
                shutil.rmtree(other, ignore_errors=True)

    def _last_good(self) -> CachedVersion | None:
        copy = self._recorded()
        if copy is None or copy.contract != CONTRACT:
            return None
        return copy if tree_sha256(self._place(copy.sha256)) == copy.sha256 else None

    def _recorded(self) -> CachedVersion | None:
        """The copy that was served last, which may be damaged by now."""
        try:
            return CachedVersion(**json.loads((self.folder / LAST_GOOD).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _place(self, name: str) -> Path:
        return self.folder / name

    def _alone(self) -> AbstractContextManager[None]:
        return locked(self.folder / LOCK)

    def _fall_back(self) -> None:
        """Where nothing is served, serve the last good copy: at the start, and where the champion cannot be had."""
        try:
            if self.served is None and (copy := self._last_good()):
                log.warning("serving the last good copy, version %s", copy.version)
                self._serve(copy)
        except Exception:  # whatever it is: the thread must live to see the next champion
            log.exception("the last good copy cannot be served")


def _predict(model: PyFuncModel, photo: bytes) -> dict[str, Any]:
    answer = model.predict(pd.DataFrame({"image": [photo]}), params={EXPLAIN: True})
    return dict(answer.to_dict("records")[0])


def _warm(model: PyFuncModel) -> None:
    """The first answer and explanation prepare what later ones use; raises ModelError when the model has none."""
    buffer = BytesIO()
    Image.new("RGB", (64, 64), "grey").save(buffer, "JPEG")
    try:
        answer = _predict(model, buffer.getvalue())
    except Exception as error:  # Keras raises many kinds
        raise ModelError(f"the model fails on a plain photo: {str(error)[:200]}") from error
    if answer["error"] is not None or not 0 <= answer["probability"] <= 1:
        raise ModelError(f"the model cannot answer a plain photo: {answer}")
