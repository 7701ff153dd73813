"""The only reader of the environment. ``.env.example`` explains every setting."""

import hashlib
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = "sample"
SAMPLE_SET = "sample-1"  # raise the number when the drawing code draws other pictures


class Settings(BaseSettings):
    """Read from ``CAT_*`` variables, else from ``.env`` in the project's folder, else these defaults."""

    model_config = SettingsConfigDict(
        env_prefix="CAT_", env_file=ROOT / ".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    base_data: str = SAMPLE
    state_dir: Path = ROOT / ".local"
    lake_url: str = ""
    s3_endpoint_url: str | None = None
    seed: int = Field(default=2025, ge=0, lt=2**31)

    host: str = "127.0.0.1"
    airflow_port: int = 8080
    mlflow_port: int = 5000
    s3_port: int = 9000
    mlflow_url: str = ""
    server_port: int = 5001
    server_url: str = ""
    app_port: int = 8501
    max_request_bytes: int = 32_000_000
    max_batch: int = Field(default=64, ge=1)
    live_within_seconds: float = Field(default=180, gt=0)

    retrain_schedule: str | None = None
    ingest_schedule: str | None = None
    images_per_source: int = Field(default=2000, ge=10)
    epochs: int = Field(default=24, ge=1)
    min_precision: float = Field(default=0.7, ge=0, le=1)
    min_recall: float = Field(default=0.7, ge=0, le=1)

    shard_size: int = Field(default=500, ge=1)

    image_size: int = Field(default=96, ge=32)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    unsure_band: float = Field(default=0.1, ge=0, le=0.5)

    @field_validator("base_data")
    @classmethod
    def _absolute(cls, given: str) -> str:
        """Processes of the stack start in other folders; a path means the same to all of them."""
        return given if given == SAMPLE else str(Path(given).resolve())

    @property
    def base_set(self) -> str:
        """The id of the base set: of the drawings, or of one folder (its name and a hash of its path)."""
        if self.base_data == SAMPLE:
            return SAMPLE_SET
        folder = Path(self.base_data)
        return f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"

    @property
    def home(self) -> Path:
        """All local state of one base set, so that drawings and photos never mix."""
        kind_of_lake = "-s3" if self.lake_url.startswith("s3://") else ""
        return self.state_dir.resolve() / (self.base_set + kind_of_lake)

    @property
    def lake(self) -> str:
        return self.lake_url or f"file://{self.home / 'lake'}"

    @property
    def tracking_url(self) -> str:
        return self.mlflow_url or f"http://{self.host}:{self.mlflow_port}"

    @property
    def live_url(self) -> str:
        """The model server."""
        return self.server_url or f"http://{self.host}:{self.server_port}"

    @property
    def recipe(self) -> dict[str, object]:
        """The settings, besides a run's params, that make another model of the same photos."""
        names = ("image_size", "batch_size", "learning_rate", "unsure_band", "seed")
        return {name: getattr(self, name) for name in names}
