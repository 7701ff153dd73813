"""What Airflow needs before it starts: its tables, two users and the pool. Safe to repeat.

A changed secret becomes the new password: put another one into the file, and start `airflow-init` again.
"""

import subprocess
from pathlib import Path

from include.configuration import settings_or_exit
from include.settings import CHAMPION_POOL

SECRETS = Path("/run/secrets")
# The person, and the pipeline, whose tasks write the notes of runs.
ROLES = {"admin": "Admin", "pipeline": "User"}


def main() -> None:
    settings_or_exit()  # what is wrong is told here, once, and not by each DAG
    subprocess.run(["airflow", "db", "migrate"], check=True)
    for user, role in ROLES.items():
        set_user(user, role, (SECRETS / f"airflow_{user}_password").read_text().strip())
    subprocess.run(["airflow", "pools", "set", CHAMPION_POOL, "1", "what moves the alias champion"], check=True)


def set_user(name: str, role: str, password: str) -> None:
    """By FAB's own functions: the command `airflow users create` takes the password on the command line."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        manager = builder.sm
        if user := manager.find_user(username=name):
            manager.reset_password(user.id, password)
        else:
            manager.add_user(name, name, "", f"{name}@localhost", manager.find_role(role), password)


if __name__ == "__main__":
    main()
