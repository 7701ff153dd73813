"""Hostile versions with a correct sum, through the registry: their author could write tags as well."""

import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import keras
import mlflow
import pytest
import yaml

from include.errors import ModelError
from include.records import CONTRACT, DecisionRule
from include.registry.package import save_package, tree_sha256
from include.registry.versions import CONTRACT_TAG, QUESTION_TAG, SUM_TAG, download_and_verify, find_version, load
from include.settings import Settings
from include.training.mlflow_runs import Mlflow, connect
from tests.models import QUESTION, red_network

Spoil = Callable[[Path, Path], None]
RULE = DecisionRule(0.5, 0.4, 0.6, (0,))


class Evil:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.mark,))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "network.keras"
    red_network().save(path)
    return path


@pytest.fixture
def client(mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> Mlflow:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back after the test
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    return connect(Settings(mlflow_url=mlflow_url))


@pytest.fixture
def smuggle(client: Mlflow, network: Path, tmp_path: Path) -> Callable[[Spoil, Path], str]:
    """Register a package after ``spoil`` has changed it, with the sum of the changed files."""

    def smuggle(spoil: Spoil, mark: Path) -> str:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        package = save_package(scratch, network, RULE)
        spoil(package, mark)
        with mlflow.start_run() as active:
            client.log_artifacts(active.info.run_id, str(package), "model")
        tags = {SUM_TAG: tree_sha256(package), CONTRACT_TAG: str(CONTRACT), QUESTION_TAG: QUESTION.digest}
        return str(mlflow.register_model(f"runs:/{active.info.run_id}/model", client.name, tags=tags).version)

    return smuggle


def lambda_layer(package: Path, mark: Path) -> None:
    text = str(mark)
    evil = keras.layers.Lambda(lambda x: (__import__("pathlib").Path(text).touch(), x)[1])
    keras.Sequential([keras.Input((32, 32, 3)), evil]).save(package / "artifacts" / "network.keras")
    mark.unlink()  # building the layer ran it


def pickled_network(package: Path, mark: Path) -> None:
    (package / "artifacts" / "network.keras").write_bytes(pickle.dumps(Evil(mark)))


def pickle_beside(package: Path, mark: Path) -> None:
    (package / "python_model.pkl").write_bytes(pickle.dumps(Evil(mark)))


def change_flavor(package: Path, **change: str) -> None:
    description = yaml.safe_load((package / "MLmodel").read_text())
    description["flavors"]["python_function"] |= change
    if "python_model" in change:
        del description["flavors"]["python_function"]["model_code_path"]
    (package / "MLmodel").write_text(yaml.safe_dump(description))


def pickled_model(package: Path, mark: Path) -> None:
    """No extra file: MLmodel asks to unpickle the file of the network."""
    pickled_network(package, mark)
    change_flavor(package, loader_module="mlflow.pyfunc.model", python_model="artifacts/network.keras")


def foreign_loader(package: Path, mark: Path) -> None:
    change_flavor(package, loader_module="antigravity")


def code_paths(package: Path, mark: Path) -> None:
    (package / "code").mkdir()
    (package / "code" / "include.py").write_text(f"open({str(mark)!r}, 'w')")
    change_flavor(package, code="code")


def own_entry(package: Path, mark: Path) -> None:
    (package / "package_entry.py").write_text(f"open({str(mark)!r}, 'w')")


def h5_network(package: Path, mark: Path) -> None:
    red_network().save(package / "h5.h5")
    (package / "h5.h5").replace(package / "artifacts" / "network.keras")


def h5_beside(package: Path, mark: Path) -> None:
    red_network().save(package / "artifacts" / "network.h5")


def climbing_zip(package: Path, mark: Path) -> None:
    with zipfile.ZipFile(package / "artifacts" / "network.keras", "a") as archive:
        archive.writestr("../" * 20 + str(mark).lstrip("/"), "written")


def flipped_byte(package: Path, mark: Path) -> None:
    path = package / "artifacts" / "network.keras"
    body = bytearray(path.read_bytes())
    body[body.index(b"\x89HDF") + 2100] ^= 1
    path.write_bytes(body)


HOSTILE: dict[Spoil, str] = {
    lambda_layer: "asks for keras.layers.Lambda",
    pickled_network: "no whole .keras archive",
    pickle_beside: "no file 'python_model.pkl'",
    pickled_model: "MLmodel cannot be read",
    foreign_loader: "MLmodel asks for other code",
    code_paths: "no file 'code/include.py'",
    own_entry: "package_entry.py is not the one of this code",
    h5_network: "no whole .keras archive",
    h5_beside: "no file 'artifacts/network.h5'",
    climbing_zip: "no member '../",
    flipped_byte: "model.weights.h5 in the .keras archive is damaged",
}


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize(("spoil", "reason"), HOSTILE.items(), ids=[spoil.__name__ for spoil in HOSTILE])
def test_a_hostile_version_is_rejected_before_anything_is_deserialised(
    client: Mlflow,
    smuggle: Callable[[Spoil, Path], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Spoil,
    reason: str,
) -> None:
    mark, fetched = tmp_path / "mark", tmp_path / "fetched"
    version = smuggle(spoil, mark)
    monkeypatch.setattr(mlflow.pyfunc, "load_model", pytest.fail)
    monkeypatch.setattr(keras.models, "load_model", pytest.fail)
    fetched.mkdir()
    with pytest.raises(ModelError, match=reason):
        download_and_verify(client, find_version(client, version), fetched, QUESTION)
    with pytest.raises(ModelError, match=reason):  # and so is a copy that came to the disk in another way
        load(fetched, version)
    assert not mark.exists()


def test_the_same_package_unchanged_is_accepted(
    client: Mlflow, smuggle: Callable[[Spoil, Path], str], tmp_path: Path
) -> None:
    version = smuggle(lambda *_: None, tmp_path / "mark")
    (tmp_path / "fetched").mkdir()
    model = load(download_and_verify(client, find_version(client, version), tmp_path / "fetched", QUESTION), version)
    assert model.unwrap_python_model().model_version == version


@pytest.mark.parametrize("spoil", [pickled_model, own_entry], ids=["pickle", "entry"])
def test_without_the_check_mlflow_would_have_run_it(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Spoil
) -> None:
    """So the hostile versions above are real."""
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    package = save_package(tmp_path, network, RULE)
    spoil(package, tmp_path / "mark")
    with suppress(Exception):  # the result does not matter
        mlflow.pyfunc.load_model(str(package))
    assert (tmp_path / "mark").exists()


def test_without_safe_mode_keras_would_have_run_it(network: Path, tmp_path: Path) -> None:
    package = save_package(tmp_path, network, RULE)
    lambda_layer(package, tmp_path / "mark")
    keras.models.load_model(package / "artifacts" / "network.keras", safe_mode=False)
    assert (tmp_path / "mark").exists()
