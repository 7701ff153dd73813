"""What a .keras file may hold. tests/registry/test_package_check.py has the same through the registry."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from include.backbone.architecture import build_backbone
from include.errors import ModelError
from include.training import safe_keras
from include.training.safe_keras import check_archive, load_network
from include.training.scratch_network import build_network, compile_network


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "network.keras"
    network = build_network(image_size=32, filters=(4, 4, 4, 4))
    compile_network(network, learning_rate=0.01, steps=3, positive=[0])
    network.save(path)
    return path


def rewrite(saved: Path, target: Path, change: Callable[[dict], None]) -> Path:
    """The same archive with another configuration."""
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            body = old.read(name)
            if name == "config.json":
                config = json.loads(body)
                change(config)
                body = json.dumps(config).encode()
            new.writestr(name, body)
    return target


def with_layer(**layer: Any) -> Callable[[dict], None]:
    def add(config: dict) -> None:
        config["config"]["layers"].append({"config": {}} | layer)

    return add


def test_our_networks_are_accepted(saved: Path) -> None:
    check_archive(saved)


def test_the_backbone_is_accepted(tmp_path: Path) -> None:
    backbone = build_backbone()
    x = keras.layers.GlobalAveragePooling2D()(backbone.output)
    keras.Model(backbone.input, keras.layers.Dense(4)(x)).save(tmp_path / "backbone.keras")
    check_archive(tmp_path / "backbone.keras")


@pytest.mark.parametrize(
    "layer",
    [
        {"module": "keras.layers", "class_name": "Lambda"},
        {"module": "keras.layers", "class_name": "TFSMLayer"},
        {"module": "keras.layers", "class_name": "TorchModuleWrapper"},
        {"module": "keras.layers", "class_name": "FlaxLayer"},
        {"module": "keras.layers", "class_name": "JaxLayer"},
        {"module": "keras.src.layers.core.lambda_layer", "class_name": "Lambda"},
        {"module": "builtins", "class_name": "function", "config": "exec"},
        {"module": "builtins", "class_name": "__lambda__"},
        {"module": "os", "class_name": "system"},
        {"module": ["keras.layers"], "class_name": ["Dense"]},
        {"class_name": "Dense"},
        {"module": "keras.layers", "class_name": "Dense", "registered_name": "cat>partial_label_loss"},
        {"module": "keras.layers", "class_name": "Dense", "config": {"activation": [{"class_name": "Lambda"}]}},
    ],
    ids=str,
)
def test_any_other_class_is_rejected_at_any_depth(saved: Path, tmp_path: Path, layer: dict) -> None:
    with pytest.raises(ModelError, match="which is not on the list of layers that only compute"):
        check_archive(rewrite(saved, tmp_path / "network.keras", with_layer(**layer)))


def test_a_network_is_checked_before_keras_loads_it(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras.models, "load_model", pytest.fail)
    hostile = rewrite(saved, tmp_path / "n.keras", with_layer(module="keras.layers", class_name="Lambda"))
    with pytest.raises(ModelError, match=r"n\.keras asks for keras\.layers\.Lambda"):
        load_network(str(hostile))


@pytest.mark.parametrize(
    "name", ["../evil.py", "/tmp/evil.py", "assets/words.txt", "config.json/", "model.weights.npz"]
)
def test_other_members_are_rejected(saved: Path, tmp_path: Path, name: str) -> None:
    hostile = rewrite(saved, tmp_path / "network.keras", lambda _: None)
    with zipfile.ZipFile(hostile, "a") as opened:
        opened.writestr(name, "evil")
    with pytest.raises(ModelError, match="has no member"):
        check_archive(hostile)


def test_a_duplicate_member_is_rejected(saved: Path, tmp_path: Path) -> None:
    hostile = rewrite(saved, tmp_path / "network.keras", lambda _: None)
    with zipfile.ZipFile(hostile, "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr("config.json", "{}")
    with pytest.raises(ModelError, match="each of metadata.json, config.json, model.weights.h5 once"):
        check_archive(hostile)


def test_a_missing_member_is_rejected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "network.keras", "w") as opened:
        opened.writestr("config.json", "{}")
    with pytest.raises(ModelError, match="once, not"):
        check_archive(tmp_path / "network.keras")


def test_a_member_that_would_fill_the_memory_is_rejected_unread(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(safe_keras.MEMBERS, "model.weights.h5", 1000)
    monkeypatch.setattr(zipfile.ZipFile, "read", pytest.fail)
    with pytest.raises(ModelError, match=r"model\.weights\.h5 has [\d,]+ bytes; at most 1,000 are read"):
        check_archive(saved)


def test_a_flipped_byte_is_detected(saved: Path, tmp_path: Path) -> None:
    body = bytearray(saved.read_bytes())
    body[body.index(b"\x89HDF") + 5000] ^= 1
    (tmp_path / "network.keras").write_bytes(body)
    with pytest.raises(ModelError, match=r"model\.weights\.h5 in the \.keras archive is damaged"):
        check_archive(tmp_path / "network.keras")


@pytest.mark.parametrize("config", [b"[]", b"{", b"\xff", b"[" * 100_000], ids=["list", "half", "no text", "deep"])
def test_a_configuration_that_describes_nothing_is_rejected(tmp_path: Path, config: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "network.keras", "w") as opened:
        for name in safe_keras.MEMBERS:
            opened.writestr(name, config)
    with pytest.raises(ModelError, match="no whole .keras archive|describes no network"):
        check_archive(tmp_path / "network.keras")


def test_random_bytes_are_not_an_archive(tmp_path: Path) -> None:
    (tmp_path / "network.keras").write_bytes(os.urandom(1000))
    with pytest.raises(ModelError, match=r"network\.keras is no whole \.keras archive"):
        check_archive(tmp_path / "network.keras")
