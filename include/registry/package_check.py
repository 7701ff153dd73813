"""Check a model version before any of it is deserialised or run; reject everything that is not known to be data.

A checksum shows that the files are those that were registered. This check shows that they are harmless even if an
attacker registered them: no pickle, no foreign code, and in the network only layers that compute.
"""

from pathlib import Path

import yaml

from include.errors import ModelError
from include.training.safe_keras import check_archive

ENTRY = Path(__file__).with_name("package_entry.py")
ADDED_BY_DOWNLOAD = {"registered_model_meta"}  # MLflow adds it to the files of a registered version
NETWORK, RULE = "artifacts/network.keras", "artifacts/decision_rule.json"
FILES = {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", ENTRY.name, NETWORK, RULE}
LOADER = "mlflow.pyfunc.loaders.code_model"


def check_package(folder: Path) -> None:
    """Check the names of all files, the entry file, MLmodel and the network. Raises ModelError."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not _is_folder(path)}
    names = set(files) - ADDED_BY_DOWNLOAD
    if unexpected := sorted(names - FILES) or [name for name, path in files.items() if path.is_symlink()]:
        raise ModelError(f"a model version has no file {unexpected[0]!r}: `retrain` registers data only")
    if missing := sorted(FILES - names):
        raise ModelError(f"the file {missing[0]!r} of the model version is missing: register it anew")
    if files[ENTRY.name].read_bytes() != ENTRY.read_bytes():
        raise ModelError(f"{ENTRY.name} is not the one of this code, which alone is run: register the version anew")
    _check_flavor(files["MLmodel"])
    check_archive(files[NETWORK])


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _check_flavor(path: Path) -> None:
    """Check what MLflow would import and run: its loader for entry files, on our entry file, without other code."""
    try:
        flavors = yaml.safe_load(path.read_text())["flavors"]
        flavor = flavors["python_function"]
        requested = (list(flavors), flavor["loader_module"], flavor.get("code"), flavor.get("python_model"))
        entry = Path(flavor["model_code_path"]).name
        artifacts = sorted(artifact["path"] for artifact in flavor["artifacts"].values())
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelError(f"MLmodel cannot be read ({error!r}): register the version anew") from error
    if requested != (["python_function"], LOADER, None, None) or entry != ENTRY.name or artifacts != [RULE, NETWORK]:
        raise ModelError(
            f"MLmodel asks for other code than {ENTRY.name} ({requested}, {entry}, {artifacts}): it is not run"
        )
