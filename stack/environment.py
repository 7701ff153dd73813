"""What the processes of the local stack find in their environment."""

import json
import os
import sys
from pathlib import Path

from include.configuration import read_settings
from include.settings import LOOPBACK, ROOT, Settings
from stack.plain_paths import plain_folder

MARK = "CAT_STACK"  # every process of a stack carries it, whatever process group it moves to
BUCKET = "s3://cat-lake"


def local_settings(*, base_data: str | None = None, lake: str = "folder") -> Settings:
    """The settings, with what the command line chose; ``lake`` s3 means the S3 server of the stack."""
    settings = read_settings(base_data=base_data) if base_data else read_settings()
    if lake == "s3":
        settings = settings.model_copy(update={"lake_url": BUCKET, "s3_endpoint_url": own_s3_url(settings)})
    return settings


def stack_environment(settings: Settings) -> dict[str, str]:
    """Ours, then Airflow's, MLflow's and what keeps libraries quiet, at home, and on loopback."""
    scripts = Path(sys.executable).parent
    inner = settings.model_copy(update={"state_dir": plain_folder(settings.state_dir)})
    return {
        **os.environ,
        **_own(inner),
        **_airflow(inner),
        **_libraries(),
        **own_s3_credentials(settings),
        "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        MARK: str(settings.home),
    }


def has_own_s3(settings: Settings) -> bool:
    """Whether the lake lies in the S3 server of the stack itself."""
    return settings.s3_endpoint_url == own_s3_url(settings)


def own_s3_url(settings: Settings) -> str:
    return f"http://{LOOPBACK}:{settings.s3_port}"


def own_s3_credentials(settings: Settings) -> dict[str, str]:
    """moto takes any credentials but wants some; for a bucket elsewhere boto3 finds the user's own."""
    if not has_own_s3(settings):
        return {}
    return {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}


def _own(settings: Settings) -> dict[str, str]:
    """A group of settings travels as one JSON object, which pydantic-settings reads as such."""
    values = settings.model_dump(mode="json", exclude_none=True)
    texts = {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in values.items()}
    folders = {"CAT_HOME": str(settings.home), "CAT_SECRETS_DIR": str(settings.secrets)}
    return {f"CAT_{name.upper()}": text for name, text in texts.items()} | folders


def _airflow(settings: Settings) -> dict[str, str]:
    url = f"http://{LOOPBACK}:{settings.airflow_port}"
    options = {
        "CORE__DAGS_FOLDER": ROOT / "dags",
        "CORE__PLUGINS_FOLDER": ROOT / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": 4,
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "API__BASE_URL": settings.airflow_page,
        "API__HOST": LOOPBACK,
        "API__PORT": settings.airflow_port,
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{settings.home}/airflow/airflow.db",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 60,
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 5,
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 20,
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 20,
        "DAG_PROCESSOR__REFRESH_INTERVAL": 30,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 30,
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    return {"AIRFLOW_HOME": str(settings.home / "airflow")} | {f"AIRFLOW__{k}": str(v) for k, v in options.items()}


def _libraries() -> dict[str, str]:
    return {
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_CONFIGURE_LOGGING": "false",  # its own handler writes to stderr, which Airflow marks as errors
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "DO_NOT_TRACK": "true",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "SPT_NOENV": "1",  # else setproctitle, which Airflow uses, writes over the mark that we look for
    }
