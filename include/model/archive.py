"""Looks at a model version before anything of it is deserialised or run; whatever is not known to be data is refused.

A checksum says that the files are those that were registered. This says that they are harmless even if whoever
registered them was not: no pickle, no foreign code, and in the network only layers that compute.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from include.errors import ModelError

ENTRY = Path(__file__).with_name("entry.py")
ADDED_BY_DOWNLOAD = {"registered_model_meta"}  # MLflow writes it beside the files of a registered version
NETWORK, RULE = "artifacts/network.keras", "artifacts/decision_rule.json"
FILES = {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", ENTRY.name, NETWORK, RULE}
LOADER = "mlflow.pyfunc.loaders.code_model"

MEMBERS = {"metadata.json": 100_000, "config.json": 5_000_000, "model.weights.h5": 500_000_000}  # bytes, at most
LAYERS = """
    Activation Add Average AveragePooling2D BatchNormalization CenterCrop Concatenate Conv2D Cropping2D Dense
    DepthwiseConv2D Dropout ELU Flatten GlobalAveragePooling2D GlobalMaxPooling2D GroupNormalization Identity InputLayer
    LayerNormalization LeakyReLU MaxPooling2D Maximum Minimum Multiply Normalization PReLU Permute ReLU Rescaling
    Reshape Resizing SeparableConv2D Softmax SpatialDropout2D Subtract UnitNormalization UpSampling2D ZeroPadding2D
"""
INITIALIZERS = """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform Ones Orthogonal RandomNormal
    RandomUniform TruncatedNormal VarianceScaling Zeros
"""
ALLOWED = {
    *(("keras.layers", name) for name in LAYERS.split()),
    *(("keras.initializers", name) for name in INITIALIZERS.split()),
    *(("keras.regularizers", name) for name in ("L1", "L1L2", "L2")),
    *(("keras", name) for name in ("DTypePolicy", "Functional", "Model", "Sequential")),
    ("keras.src.models.functional", "Functional"),
    ("None", "__keras_tensor__"),
}


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


def check_archive(path: Path) -> None:
    """A ``.keras`` file: its members, their sizes, and every class that its configuration names. Raises ModelError."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive)
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        raise ModelError(f"{path.name} is no whole .keras archive ({error}): save it with `network.save`") from error
    _check_config(path.name, config)


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


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    if strange := [name for name in names if name not in MEMBERS]:
        raise ModelError(f"a .keras archive has no member {strange[0]!r}: save the network with `network.save`")
    if sorted(names) != sorted(MEMBERS):
        raise ModelError(f"a .keras archive has each of {', '.join(MEMBERS)} once, not {names}: save the network anew")
    for member in members:
        if member.file_size > (most := MEMBERS[member.filename]):
            raise ModelError(f"{member.filename} has {member.file_size:,} bytes; at most {most:,} are read")
    if broken := archive.testzip():
        raise ModelError(f"{broken} in the .keras archive is damaged: save the network anew")


def _check_config(file: str, config: Any) -> None:
    if not isinstance(config, dict):
        raise ModelError(f"config.json in {file} describes no network: save it with `network.save`")
    config = {name: value for name, value in config.items() if name != "compile_config"}  # Keras is told to skip it
    for named in _classes(config):
        module, name, registered = str(named.get("module")), str(named["class_name"]), named.get("registered_name")
        if (module, name) not in ALLOWED or registered not in (None, name):
            raise ModelError(
                f"the network in {file} asks for {module}.{name}"
                f"{f' registered as {registered}' if registered else ''}, which is not on the list of layers that only "
                "compute: build it from the layers in include/model/archive.py"
            )


def _classes(config: Any) -> Iterator[dict[str, Any]]:
    """Every object that Keras would make, however deep it lies."""
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "class_name" in item:
                yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
