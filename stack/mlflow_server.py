"""Start MLflow's server with our rules: `python -m stack.mlflow_server <options of mlflow server>`.

No secret stands on the command line. MLflow's own database of users lives as long as the server: the passwords are
those of the secrets' files.
"""

import os
import secrets
import sys
import tempfile
from pathlib import Path

from stack.mlflow_access import PIPELINE, password_of

CONFIG = """[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/users.db
admin_username = {admin}
authorization_function = stack.mlflow_access:authorize
"""


def main() -> None:
    """Become MLflow's server. Raises SystemExit where the pipeline has no password."""
    if not password_of(PIPELINE):
        raise SystemExit(f"{os.environ['CAT_SECRETS_DIR']}/mlflow_pipeline_password is missing: run make secrets")
    folder = Path(tempfile.mkdtemp(prefix="mlflow-users-"))
    (folder / "auth.ini").write_text(CONFIG.format(folder=folder, admin=PIPELINE))
    os.environ |= {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": secrets.token_urlsafe(24),  # never used: stack.mlflow_access knows the real one
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(24),
    }
    os.execvp("mlflow", ["mlflow", "server", "--app-name", "basic-auth", *sys.argv[1:]])


if __name__ == "__main__":
    main()
