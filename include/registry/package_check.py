"""Looks at a model version before anything of it is deserialised or run; whatever is not known to be data is refused.

A checksum says that the files are those that were registered. This says that they are harmless even if whoever
registered them was not: no pickle, no foreign code, and in the network only layers that compute.
"""

from pathlib import Path

import yaml

from include.errors import ModelError
from include.training.safe_keras import check_archive

ENTRY = Path(__file__).with_name("package_entry.py")
ADDED_BY_DOWNLOAD = {"registered_model_meta"}  # MLflow writes it beside the files of a registered version
NETWORK, RULE = "artifacts/network.keras", "artifacts/decision_rule.json"
FILES = {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", ENTRY.name, NETWORK, RULE}
LOADER = "mlflow.pyfunc.loaders.code_model"


def check_package(folder: Path) -> None:
    """The files of a model version: exactly those that we write, our own entry file among them. Raises ModelError."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not _is_folder(path)}
    names = set(found) - ADDED_BY_DOWNLOAD
    if strange := sorted(names - FILES) or [name for name, path in found.items() if path.is_symlink()]:
        raise ModelError(f"a model version has no file {strange[0]!r}: `retrain` registers data only")
    if missing := sorted(FILES - names):
        raise ModelError(f"the file {missing[0]!r} of the model version is missing: register it anew")
    if found[ENTRY.name].read_bytes() != ENTRY.read_bytes():
        raise ModelError(f"{ENTRY.name} is not the one of this code, which alone is run: register the version anew")
    _check_flavor(found["MLmodel"])
    check_archive(found[NETWORK])


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _check_flavor(path: Path) -> None:
    """What MLflow would import and run: its loader of entry files, on ours, without any code beside it."""
    try:
        flavors = yaml.safe_load(path.read_text())["flavors"]
        flavor = flavors["python_function"]
        asked = (list(flavors), flavor["loader_module"], flavor.get("code"), flavor.get("python_model"))
        runs = Path(flavor["model_code_path"]).name
        artifacts = sorted(artifact["path"] for artifact in flavor["artifacts"].values())
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelError(f"MLmodel cannot be read ({error!r}): register the version anew") from error
    if asked != (["python_function"], LOADER, None, None) or runs != ENTRY.name or artifacts != [RULE, NETWORK]:
        raise ModelError(f"MLmodel asks for other code than {ENTRY.name} ({asked}, {runs}, {artifacts}): it is not run")
