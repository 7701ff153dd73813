"""The only reader of the environment. ``.env.example`` explains every setting; `include.configuration` checks them."""

import hashlib
import os
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from include.params import RetrainParams
from include.question import Question
from include.records import CloseCalls, ThresholdRule
from include.setting_types import Folder, HttpUrl, LakeUrl, Port, Schedule

ROOT = Path(__file__).resolve().parent.parent
# The pool in Airflow, of one slot, for what moves the alias. The local stack makes it; elsewhere:
# airflow pools set champion 1 ""
CHAMPION_POOL = "champion"
DRAIN_SECONDS = 20  # a stopping model server lets requests end; whoever stops it must wait longer
LOOPBACK = "127.0.0.1"  # what every local server binds to, but for the app where CAT_APP_HOST says otherwise
LONGEST_NAME = 80  # bytes of the name of a folder in that of its local state: file systems allow 255
SAMPLE = "sample"
SAMPLE_SET = "sample-1"  # raise the number when the drawing code draws other pictures

Network = Literal["efficientnet_lite0", "scratch"]
EPOCHS = {"efficientnet_lite0": 20, "scratch": 10}  # at most, where nothing else is set
# The settings that change what the same photos give, by network.
RECIPE: dict[str, tuple[str, ...]] = {
    "efficientnet_lite0": ("l2_penalty", "tune_trials"),
    "scratch": ("image_size", "batch_size", "learning_rate"),
}


class Group(BaseModel):
    """Settings that belong together; each is finite."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Quality(Group):
    """Below or above what a photo teaches nothing. Sources: .env.example."""

    min_side: int = Field(default=32, ge=1)
    min_aspect_ratio: float = Field(default=0.35, ge=0, le=1)
    min_entropy: float = Field(default=1.5, ge=0)
    min_lightest: float = Field(default=0.32, ge=0, le=1)
    max_darkest: float = Field(default=0.95, ge=0, le=1)
    min_sharpness: float = Field(default=3, ge=0)


class NearDuplicates(Group):
    """When two photos show the same picture. Sources: .env.example."""

    max_distance: int = Field(default=10, ge=0, le=20)
    min_similarity: float = Field(default=0.84, ge=0, le=1)
    max_cluster: int = Field(default=20, ge=2)


class Labels(Group):
    """When a label counts as an issue. Sources: .env.example."""

    max_quality: float = Field(default=0.15, ge=0, le=1)
    min_agreement: float = Field(default=0.3, ge=0, le=1)
    max_per_session: int = Field(default=20, ge=1)
    max_share_of_class: float = Field(default=0.2, ge=0, le=1)
    min_allowance_per_class: int = Field(default=50, ge=0)


class Validation(Group):
    """When photos differ too much to train on them, and when a model counts as weak. Sources: .env.example."""

    stops: str = "labels,test,champion"
    photos: int = Field(default=2000, ge=100, le=10_000)  # Deepchecks looks at 10,000 at the most
    min_photos: int = Field(default=50, ge=10)
    max_label_drift: float = Field(default=0.15, ge=0, le=1)
    max_property_drift: float = Field(default=0.2, ge=0, le=1)
    max_dataset_drift: float = Field(default=0.1, ge=0, le=1)
    max_correlation_change: float = Field(default=0.2, ge=0, le=1)
    max_heatmap_difference: float = Field(default=12, ge=0, le=255)
    max_outliers: float = Field(default=0.05, ge=0, le=1)
    max_weakness: float = Field(default=0.2, ge=0, le=1)
    max_error_ratio: float = Field(default=0.9, ge=0)
    max_prediction_drift: float = Field(default=0.15, ge=0, le=1)
    python: Folder = ROOT / ".venv-validation" / "bin" / "python"
    seconds: float = Field(default=1200, gt=0)

    @field_validator("stops")
    @classmethod
    def _known(cls, given: str) -> str:
        """A misspelled name would let through what it was meant to stop."""
        unknown = {name.strip() for name in given.split(",")} - {"labels", "test", "champion", "uploads", "none"}
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: not among labels, test, champion and uploads, or none")
        return given

    @property
    def stopping(self) -> set[str]:
        """The comparisons that stop a run when they fail; the others warn."""
        return {name.strip() for name in self.stops.split(",")} - {"none"}

    @property
    def limits(self) -> dict[str, float]:
        """By the name of the setting."""
        return {name: value for name, value in self.model_dump().items() if name.startswith("max_")}


class Gate(Group):
    """When a challenger counts as no worse than the champion. Sources: .env.example and docs/gate.md."""

    margin: float | None = Field(default=None, gt=0)
    close_calls: CloseCalls = "keep"
    answer_hours: float = Field(default=24, gt=0)
    max_calibration_increase: float = Field(default=0.02, ge=0, le=1)
    max_latency_ratio: float = Field(default=1.5, ge=1)
    max_memory_ratio: float = Field(default=1.25, ge=1)


class Decoding(Group):
    """What decoding a photo may take, in the app and in the model server. Sizing: docs/sizing.md."""

    workers: int = Field(default=2, ge=1)
    seconds: float = Field(default=20, gt=0)
    memory: int = Field(default=1_000_000_000, ge=100_000_000)


class Limits(Group):
    """What the model server takes on at once. Sizing: docs/sizing.md."""

    verdicts: int = Field(default=2, ge=1)
    verdicts_waiting: int = Field(default=32, ge=0)
    slow: int = Field(default=1, ge=1)
    slow_waiting: int = Field(default=24, ge=0)
    wait_seconds: float = Field(default=45, gt=0)
    header_seconds: float = Field(default=10, gt=0)
    body_seconds: float = Field(default=30, gt=0)
    body_bytes: int = Field(default=96_000_000, ge=1_000_000)
    connections: int = Field(default=256, ge=8)
    request_pixels: int = Field(default=400_000_000, ge=1_000_000)


class Policy(Group):
    """All rules that decide which photos a dataset takes. A dataset's report holds the policy it was made by."""

    quality: Quality = Quality()
    near_duplicates: NearDuplicates = NearDuplicates()
    labels: Labels = Labels()


class Settings(BaseSettings):
    """Read from ``CAT_*`` variables, else from ``.env`` in the project's folder, else these defaults."""

    model_config = SettingsConfigDict(
        env_prefix="CAT_",
        env_file=ROOT / ".env",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
    )

    question: Question = Question()
    base_data: str = SAMPLE
    state_dir: Folder = ROOT / ".local"
    lake_url: LakeUrl = ""
    s3_endpoint_url: HttpUrl | None = None
    seed: int = Field(default=2025, ge=0, lt=2**31)

    secrets_dir: Folder | None = None

    airflow_port: Port = 8080
    airflow_url: HttpUrl = ""
    mlflow_port: Port = 5000
    mlflow_url: HttpUrl = ""
    mlflow_page_url: HttpUrl = ""
    s3_port: Port = 9000
    server_port: Port = 5001
    server_url: HttpUrl = ""
    app_host: str = LOOPBACK
    app_port: Port = 8501
    max_request_bytes: int = Field(default=32_000_000, ge=1_000_000)
    max_batch: int = Field(default=64, ge=1)
    max_explained: int = Field(default=4, ge=1)
    verdict_seconds: float = Field(default=20, gt=0)
    requests_per_minute: int = Field(default=1200, ge=1)
    session_requests_per_minute: int = Field(default=30, ge=1)
    server_workers: int = Field(default=1, ge=1)
    limits: Limits = Limits()
    decoding: Decoding = Decoding()
    deploy_timeout_seconds: float = Field(default=180, gt=0)

    network: Network = "efficientnet_lite0"

    alert_webhook: HttpUrl | None = None
    retrain_schedule: Schedule | None = None
    ingest_schedule: Schedule | None = None
    images_per_source: int = Field(default=2000, ge=10)
    epochs: int = Field(default_factory=lambda read: EPOCHS[read.get("network", "scratch")], ge=1, le=1000)
    min_precision: float = Field(default=0.7, ge=0, le=1)
    min_recall: float = Field(default=0.7, ge=0, le=1)
    gate: Gate = Gate()

    shard_size: int = Field(default=4000, ge=1)

    policy: Policy = Policy()
    validation: Validation = Validation()

    l2_penalty: float = Field(default=0.078125, ge=0)
    tune_trials: int = Field(default=12, ge=0)
    tune_seconds: float = Field(default=60, gt=0)
    image_size: int = Field(default=96, ge=32)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    threshold_rule: ThresholdRule = "even_odds"
    precision_floor: float = Field(default=0.8, ge=0, le=1)
    sure_from: float = Field(default=0.8, ge=0.5, lt=1)

    @field_validator("base_data")
    @classmethod
    def _absolute(cls, given: str) -> str:
        """Processes of the stack start in other folders; a path means the same to all of them."""
        return given if given == SAMPLE else str(Path(given).expanduser().resolve())

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        taken: dict[int, str] = {}
        for name in (name for name in type(self).model_fields if name.endswith("_port")):
            other = taken.setdefault(getattr(self, name), f"CAT_{name.upper()}")
            if other != f"CAT_{name.upper()}":
                raise ValueError(f"{other} and CAT_{name.upper()} are both {getattr(self, name)}: give each its own")
        return self

    @property
    def base_set(self) -> str:
        """The id of the base set: of the drawings, or of one folder (its name and a hash of its path).

        Of the name only what every program takes in a path, and no more than leaves room for the rest.
        """
        if self.base_data == SAMPLE:
            return SAMPLE_SET
        folder = os.fsencode(self.base_data)
        name = re.sub(r"[^\w.-]+", "-", os.path.basename(folder)[:LONGEST_NAME].decode(errors="ignore"))
        return f"{name.strip('-') or 'photos'}-{hashlib.sha256(folder).hexdigest()[:8]}"

    @property
    def home(self) -> Path:
        """All local state of one question and base set, so that drawings and photos never mix."""
        digest = self.question.digest
        question = "" if digest == Question().digest else f"{self.question.name}-{digest[:6]}-"
        lake = "-s3" if self.lake_url.startswith("s3://") else ""
        return self.state_dir.absolute() / f"{question}{self.base_set}{lake}"

    @property
    def lake(self) -> str:
        return self.lake_url or (self.home / "lake").as_uri()

    @property
    def spool(self) -> Path:
        """Where the app keeps what visitors gave until the lake has it."""
        return self.home / "spool"

    @property
    def embedding_cache(self) -> Path:
        """Where the embeddings of base photos are cached."""
        return self.home / "cache" / "embeddings"

    @property
    def airflow_page(self) -> str:
        """Airflow's address for a person's browser."""
        return self.airflow_url or f"http://{LOOPBACK}:{self.airflow_port}"

    @property
    def tracking_url(self) -> str:
        return self.mlflow_url or f"http://{LOOPBACK}:{self.mlflow_port}"

    @property
    def tracking_page(self) -> str:
        """MLflow's address for a person's browser."""
        return self.mlflow_page_url or self.tracking_url

    @property
    def live_url(self) -> str:
        """The model server."""
        return self.server_url or f"http://{LOOPBACK}:{self.server_port}"

    @property
    def secrets(self) -> Path:
        """The folder with a file for each secret."""
        return self.secrets_dir or self.home / "secrets"

    def secret(self, name: str) -> str | None:
        """What the file of this secret holds, without the last newline; none where there is no such file."""
        path = self.secrets / name
        return path.read_text().strip() if path.is_file() else None

    @property
    def server_token(self) -> str | None:
        """What clients of the model server must show; none: it asks for no token."""
        return self.secret("server_token")

    @property
    def server_headers(self) -> dict[str, str]:
        """The headers of a request to the model server."""
        return {"Authorization": f"Bearer {self.server_token}"} if self.server_token else {}

    @property
    def mlflow_login(self) -> tuple[str, str] | None:
        """MLflow's user and password: the pipeline's where it is given, else the reader's; none: no login."""
        given = {user: self.secret(f"mlflow_{user}_password") for user in ("pipeline", "reader")}
        return next(((user, password) for user, password in given.items() if password), None)

    @property
    def retrain_params(self) -> RetrainParams:
        """The params of `retrain` where nobody chooses others."""
        return RetrainParams(self.images_per_source, self.epochs, self.min_precision, self.min_recall)

    @property
    def recipe(self) -> dict[str, object]:
        """The settings, besides a run's params, that make another model of the same photos."""
        names = ("network", *RECIPE[self.network], "threshold_rule", "precision_floor", "sure_from", "seed")
        return {name: getattr(self, name) for name in names} | {"question": self.question.digest}
