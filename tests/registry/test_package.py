"""A packaged model: bytes in, verdicts out; and the sum over its files."""

import base64
import json
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.scoring_server import predictions_to_json
from PIL import Image

from include.records import DecisionRule
from include.registry.package import COLUMNS, save_package, tree_sha256
from include.training.losses import HEAD
from include.training.scratch_network import build_network
from tests.pictures import drawing, plain

POSITIVES = (0,)
DOCUMENT = b"%PDF-1.7 a document"
TRUNCATED = plain(size=(400, 300))[:900]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network that gives every photo the probability 0.64."""
    folder = tmp_path_factory.mktemp("package")
    network = build_network(image_size=32, filters=(4, 4, 4, 4))
    head = network.get_layer(HEAD)
    head.set_weights([np.zeros(head.kernel.shape), np.log([0.64, 0.16, 0.16, 0.04])])
    network.save(folder / "network.keras")
    return save_package(folder, folder / "network.keras", DecisionRule(0.6, 0.5, 0.7, POSITIVES))


@pytest.fixture(scope="module")
def loaded(package: Path) -> PyFuncModel:
    return mlflow.pyfunc.load_model(str(package))


@pytest.fixture
def model(loaded: PyFuncModel, monkeypatch: pytest.MonkeyPatch) -> PyFuncModel:
    """A test may change its decision rule."""
    unwrapped = loaded.unwrap_python_model()
    monkeypatch.setattr(unwrapped, "rule", unwrapped.rule)
    return loaded


def predict(model: PyFuncModel, *photos: bytes) -> list[dict]:
    return model.predict(pd.DataFrame({"image": photos})).to_dict("records")


def test_a_package_is_data_without_pickles_or_code(package: Path) -> None:
    names = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert {"MLmodel", "package_entry.py", "artifacts/network.keras", "artifacts/decision_rule.json"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".h5", ".joblib"))]
    assert [name for name in names if name.endswith(".py")] == ["package_entry.py"]
    flavor = yaml.safe_load((package / "MLmodel").read_text())["flavors"]["python_function"]
    assert not flavor.get("code")
    assert not flavor.get("code_paths")
    assert "python_model" not in flavor


def test_one_bad_photo_does_not_fail_its_batch(model: PyFuncModel) -> None:
    answers = predict(model, DOCUMENT, drawing("cats", 0), TRUNCATED, plain("blue"), b"")
    assert [list(answer) for answer in answers] == [COLUMNS] * 5
    assert [answer["probability"] for answer in answers] == [None, pytest.approx(0.64), None, pytest.approx(0.64), None]
    assert [answer["is_positive"] for answer in answers] == [None, True, None, True, None]
    assert [answer["unsure"] for answer in answers] == [None, True, None, True, None]
    assert {(answer["threshold"], answer["model_version"]) for answer in answers} == {(0.6, "unregistered")}
    assert [str(answer["error"]).split(":")[0] for answer in answers[::2]] == ["not_an_image", "damaged", "empty"]


def test_answers_are_strict_json(model: PyFuncModel) -> None:
    """As MLflow's model server would send them; NaN is not JSON."""
    sent = StringIO()
    predictions_to_json(model.predict(pd.DataFrame({"image": [plain(), DOCUMENT]})), sent)
    good, bad = json.loads(sent.getvalue(), parse_constant=pytest.fail)["predictions"]
    assert (good["is_positive"], good["error"]) == (True, None)
    assert (bad["is_positive"], bad["probability"]) == (None, None)


def test_an_error_names_the_accepted_formats(model: PyFuncModel) -> None:
    (document,) = predict(model, DOCUMENT)
    assert document["error"] == "not_an_image: this is a PDF document, and JPEG, PNG and WebP are read: send a photo"


def test_a_batch_of_unreadable_photos_is_answered(model: PyFuncModel) -> None:
    assert [answer["is_positive"] for answer in predict(model, DOCUMENT, TRUNCATED)] == [None, None]


@pytest.mark.parametrize(
    ("rule", "is_positive", "unsure"),
    [
        (DecisionRule(0.5, 0.4, 0.6, POSITIVES), True, False),
        (DecisionRule(0.5, 0.4, 0.7, POSITIVES), True, True),
        (DecisionRule(0.7, 0.6, 0.8, POSITIVES), False, True),
        (DecisionRule(0.7, 0.65, 0.8, POSITIVES), False, False),
        (DecisionRule(0.64, 0.64, 0.64, POSITIVES), True, True),  # bounds are unsure, the threshold is positive
    ],
)
def test_the_verdict_follows_threshold_and_unsure_band(
    model: PyFuncModel, rule: DecisionRule, is_positive: bool, unsure: bool
) -> None:
    if rule.threshold == 0.64:  # exactly what the network computes
        threshold = predict(model, plain())[0]["probability"]
        rule = DecisionRule(threshold, threshold, threshold, POSITIVES)
    model.unwrap_python_model().rule = rule
    (answer,) = predict(model, plain())
    assert answer["probability"] == pytest.approx(0.64)
    assert (answer["is_positive"], answer["unsure"], answer["threshold"]) == (is_positive, unsure, rule.threshold)


def test_the_probability_is_scaled_by_the_rule(model: PyFuncModel) -> None:
    model.unwrap_python_model().rule = DecisionRule(0.5, 0.4, 0.6, POSITIVES, slope=2.0, intercept=-2.0)
    (answer,) = predict(model, plain())
    odds = (16 / 9) ** 2 * np.exp(-2)
    assert answer["probability"] == pytest.approx(odds / (1 + odds))
    assert (answer["is_positive"], answer["unsure"]) == (False, False)


def test_the_probability_of_two_positive_classes_is_their_sum(model: PyFuncModel) -> None:
    model.unwrap_python_model().rule = DecisionRule(0.5, 0.4, 0.6, (1, 2))
    (answer,) = predict(model, plain())
    assert answer["probability"] == pytest.approx(0.32)
    assert answer["is_positive"] is False


def test_an_explanation_is_a_picture_and_comes_only_on_request(model: PyFuncModel) -> None:
    photos = pd.DataFrame({"image": [drawing("cats", 0), DOCUMENT]})
    assert [row["explanation"] for row in predict(model, *photos["image"])] == [None, None]
    explained, unreadable = model.predict(photos, params={"explain": True}).to_dict("records")
    with Image.open(BytesIO(base64.b64decode(explained["explanation"]))) as picture:
        assert picture.format == "PNG"
    assert explained["probability"] == pytest.approx(0.64)
    assert unreadable["explanation"] is None
    assert unreadable["error"].startswith("not_an_image")


def test_answers_depend_on_pixels_alone(tmp_path: Path) -> None:
    """An untrained network: the same photo as PNG and as lossless WebP, alone and in a batch."""
    keras.utils.set_random_seed(0)
    network = build_network(image_size=32, filters=(16, 16, 16, 16))
    network.save(tmp_path / "network.keras")
    package = save_package(tmp_path, tmp_path / "network.keras", DecisionRule(0.5, 0.4, 0.6, POSITIVES))
    model = mlflow.pyfunc.load_model(str(package))
    png, webp = plain("red", kind="PNG"), plain("red", kind="WEBP", lossless=True)
    first, second, other = (answer["probability"] for answer in predict(model, png, webp, drawing("dogs", 1)))
    assert first == second != other
    assert predict(model, webp)[0]["probability"] == pytest.approx(first, abs=1e-6)
    assert 0 < first < 1


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "inner").mkdir(parents=True)
    (folder / "one").write_bytes(b"first")
    (folder / "inner/two").write_bytes(b"second")
    return folder


def flip_a_byte(tree: Path) -> None:
    (tree / "inner/two").write_bytes(b"sfcond")


def rename(tree: Path) -> None:
    (tree / "one").rename(tree / "One")


def move(tree: Path) -> None:
    (tree / "inner/two").rename(tree / "two")


def add(tree: Path) -> None:
    (tree / "three").touch()


def swap(tree: Path) -> None:
    (tree / "one").write_bytes(b"second")
    (tree / "inner/two").write_bytes(b"first")


@pytest.mark.parametrize("change", [flip_a_byte, rename, move, add, swap])
def test_any_change_of_a_file_changes_the_sum(tree: Path, change: Callable[[Path], None]) -> None:
    before = tree_sha256(tree)
    assert tree_sha256(tree) == before
    change(tree)
    assert tree_sha256(tree) != before


def test_the_sum_does_not_depend_on_the_folder(tree: Path, tmp_path: Path) -> None:
    before = tree_sha256(tree)
    assert tree_sha256(tree.rename(tmp_path / "elsewhere")) == before


def test_the_file_that_mlflow_adds_to_a_download_does_not_count(tree: Path) -> None:
    before = tree_sha256(tree)
    (tree / "registered_model_meta").write_text("model_name: are-you-a-cat")
    assert tree_sha256(tree) == before
