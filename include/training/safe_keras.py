"""Load a saved network only after a check of every class that its file names; nothing is deserialised before.

Only layers that compute are allowed: no foreign code, no pickle.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from include.errors import ModelError

MEMBERS = {"metadata.json": 100_000, "config.json": 5_000_000, "model.weights.h5": 500_000_000}  # maximum size in bytes
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


def load_network(path: str) -> Any:
    """Load a saved network for inference: known layers only, safe mode, no optimizer. Raises ModelError."""
    import keras  # loads TensorFlow, which ``check_archive`` does not need

    check_archive(Path(path))
    return keras.models.load_model(path, compile=False, safe_mode=True)


def check_archive(path: Path) -> None:
    """Check a ``.keras`` file: its members, their sizes, and every class in its configuration. Raises ModelError."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive)
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        raise ModelError(f"{path.name} is no whole .keras archive ({error}): save it with `network.save`") from error
    _check_config(path.name, config)


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    if unknown := [name for name in names if name not in MEMBERS]:
        raise ModelError(f"a .keras archive has no member {unknown[0]!r}: save the network with `network.save`")
    if sorted(names) != sorted(MEMBERS):
        raise ModelError(f"a .keras archive has each of {', '.join(MEMBERS)} once, not {names}: save the network anew")
    for member in members:
        if member.file_size > (limit := MEMBERS[member.filename]):
            raise ModelError(f"{member.filename} has {member.file_size:,} bytes; at most {limit:,} are read")
    if damaged := archive.testzip():
        raise ModelError(f"{damaged} in the .keras archive is damaged: save the network anew")


def _check_config(file: str, config: Any) -> None:
    if not isinstance(config, dict):
        raise ModelError(f"config.json in {file} describes no network: save it with `network.save`")
    config = {name: value for name, value in config.items() if name != "compile_config"}  # ``compile=False`` skips it
    for item in _classes(config):
        module, name, registered = str(item.get("module")), str(item["class_name"]), item.get("registered_name")
        if (module, name) not in ALLOWED or registered not in (None, name):
            raise ModelError(
                f"the network in {file} asks for {module}.{name}"
                f"{f' registered as {registered}' if registered else ''}, which is not on the list of layers that only "
                "compute: build it from the layers in include/training/safe_keras.py"
            )


def _classes(config: Any) -> Iterator[dict[str, Any]]:
    """Every object in the configuration that Keras would build, at any depth."""
    remaining = [config]
    while remaining:
        item = remaining.pop()
        if isinstance(item, dict):
            if "class_name" in item:
                yield item
            remaining.extend(item.values())
        elif isinstance(item, list):
            remaining.extend(item)
