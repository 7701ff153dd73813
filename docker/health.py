"""Health checks of the containers, without an import that costs seconds: exit code 0 means healthy.

health.py url URL            whether it answers below 400
health.py airflow COMPONENT  what Airflow's API says of the scheduler, dag_processor or triggerer
health.py worker QUEUE       whether this Celery worker answers a ping; behind with-secrets
"""

import json
import os
import socket
import sys
from urllib.request import urlopen


def main() -> int:
    kind, name = sys.argv[1:]
    return 0 if {"url": answers, "airflow": is_healthy, "worker": worker_answers}[kind](name) else 1


def answers(url: str) -> bool:
    with urlopen(url, timeout=10) as response:
        return bool(response.status < 400)


def is_healthy(component: str) -> bool:
    host = os.environ.get("AIRFLOW_HOST", "airflow-api")
    with urlopen(f"http://{host}:8080/api/v2/monitor/health", timeout=10) as response:
        return bool(json.load(response)[component]["status"] == "healthy")


def worker_answers(queue: str) -> bool:
    from celery import Celery

    control = Celery(broker=os.environ["AIRFLOW__CELERY__BROKER_URL"]).control
    return bool(control.ping([f"{queue}@{socket.gethostname()}"], timeout=10))


if __name__ == "__main__":
    sys.exit(main())
