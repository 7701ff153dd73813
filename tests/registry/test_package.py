import base64
import json
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
from include.training.scratch_network import build_network
from tests.pictures import drawing, plain

DOCUMENT = b"%PDF-1.7 a document"
BROKEN_OFF = plain(size=(400, 300))[:900]


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """An untrained network, but one that gives every photo the probability 0.64."""
    folder = tmp_path_factory.mktemp("package")
    network = build_network(image_size=32, filters=(4, 4, 4, 4))
    kinds = network.get_layer("kinds")
    kinds.set_weights([np.zeros(kinds.kernel.shape), np.log([0.64, 0.16, 0.16, 0.04])])
    network.save(folder / "network.keras")
    return save_package(folder, folder / "network.keras", DecisionRule(threshold=0.6, unsure_from=0.5, unsure_to=0.7))


@pytest.fixture(scope="module")
def loaded(package) -> PyFuncModel:
    return mlflow.pyfunc.load_model(str(package))


@pytest.fixture
def model(loaded, monkeypatch) -> PyFuncModel:
    """Its decision rule may be changed by a test."""
    own = loaded.unwrap_python_model()
    monkeypatch.setattr(own, "rule", own.rule)
    return loaded


def ask(model: PyFuncModel, *photos: bytes) -> list[dict]:
    return model.predict(pd.DataFrame({"image": photos})).to_dict("records")


def test_a_package_is_data_without_pickles_or_code(package):
    names = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert {"MLmodel", "entry.py", "artifacts/network.keras", "artifacts/decision_rule.json"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".h5", ".joblib"))]
    assert [name for name in names if name.endswith(".py")] == ["entry.py"]
    flavor = yaml.safe_load((package / "MLmodel").read_text())["flavors"]["python_function"]
    assert not flavor.get("code")
    assert not flavor.get("code_paths")
    assert "python_model" not in flavor


def test_one_bad_photo_does_not_fail_its_batch(model):
    answers = ask(model, DOCUMENT, drawing("cats", 0), BROKEN_OFF, plain("blue"), b"")
    assert [list(answer) for answer in answers] == [COLUMNS] * 5
    assert [answer["probability"] for answer in answers] == [None, pytest.approx(0.64), None, pytest.approx(0.64), None]
    assert [answer["is_cat"] for answer in answers] == [None, True, None, True, None]
    assert [answer["unsure"] for answer in answers] == [None, True, None, True, None]
    assert {(answer["threshold"], answer["model_version"]) for answer in answers} == {(0.6, "unregistered")}
    assert [str(answer["error"]).split(":")[0] for answer in answers[::2]] == ["not_an_image", "damaged", "empty"]


def test_answers_are_strict_json(model):
    """What MLflow's model server would send; NaN is no JSON."""
    served = StringIO()
    predictions_to_json(model.predict(pd.DataFrame({"image": [plain(), DOCUMENT]})), served)
    good, bad = json.loads(served.getvalue(), parse_constant=pytest.fail)["predictions"]
    assert (good["is_cat"], good["error"]) == (True, None)
    assert (bad["is_cat"], bad["probability"]) == (None, None)


def test_errors_tell_people_what_is_wrong(model):
    (document,) = ask(model, DOCUMENT)
    assert document["error"] == "not_an_image: this is not a picture in JPEG, PNG, WEBP"


def test_a_batch_without_any_good_photo_is_answered(model):
    assert [answer["is_cat"] for answer in ask(model, DOCUMENT, BROKEN_OFF)] == [None, None]


@pytest.mark.parametrize(
    ("rule", "is_cat", "unsure"),
    [
        (DecisionRule(0.5, 0.4, 0.6), True, False),
        (DecisionRule(0.5, 0.4, 0.7), True, True),
        (DecisionRule(0.7, 0.6, 0.8), False, True),
        (DecisionRule(0.7, 0.65, 0.8), False, False),
        (DecisionRule(0.64, 0.64, 0.64), True, True),  # a bound belongs to the band, the threshold to the cats
    ],
)
def test_the_verdict_follows_threshold_and_unsure_band(model, rule, is_cat, unsure):
    own = model.unwrap_python_model()
    own.rule = rule if rule.threshold != 0.64 else DecisionRule(*[ask(model, plain())[0]["probability"]] * 3)
    (answer,) = ask(model, plain())
    assert answer["probability"] == pytest.approx(0.64)
    assert (answer["is_cat"], answer["unsure"], answer["threshold"]) == (is_cat, unsure, own.rule.threshold)


def test_the_probability_is_scaled_by_the_rule(model):
    model.unwrap_python_model().rule = DecisionRule(0.5, 0.4, 0.6, slope=2.0, intercept=-2.0)
    (answer,) = ask(model, plain())
    odds = (16 / 9) ** 2 * np.exp(-2)
    assert answer["probability"] == pytest.approx(odds / (1 + odds))
    assert (answer["is_cat"], answer["unsure"]) == (False, False)


def test_an_explanation_is_a_picture_and_comes_only_where_it_is_asked_for(model):
    photos = pd.DataFrame({"image": [drawing("cats", 0), DOCUMENT]})
    assert [row["explanation"] for row in ask(model, *photos["image"])] == [None, None]
    told, nothing = model.predict(photos, params={"explain": True}).to_dict("records")
    with Image.open(BytesIO(base64.b64decode(told["explanation"]))) as picture:
        assert picture.format == "PNG"
    assert told["probability"] == pytest.approx(0.64)
    assert nothing["explanation"] is None
    assert nothing["error"].startswith("not_an_image")


def test_answers_are_told_by_the_pixels_alone(tmp_path):
    """An untrained network, as it comes: the same photo as PNG and as lossless WebP, alone and in company."""
    keras.utils.set_random_seed(0)
    network = build_network(image_size=32, filters=(16, 16, 16, 16))
    network.save(tmp_path / "network.keras")
    model = mlflow.pyfunc.load_model(
        str(save_package(tmp_path, tmp_path / "network.keras", DecisionRule(0.5, 0.4, 0.6)))
    )
    png, webp = plain("red", kind="PNG"), plain("red", kind="WEBP", lossless=True)
    first, second, other = (answer["probability"] for answer in ask(model, png, webp, drawing("dogs", 1)))
    assert first == second != other
    assert ask(model, webp)[0]["probability"] == pytest.approx(first, abs=1e-6)
    assert 0 < first < 1


@pytest.fixture
def tree(tmp_path) -> Path:
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
def test_any_change_of_a_file_changes_the_sum(tree, change):
    before = tree_sha256(tree)
    assert tree_sha256(tree) == before
    change(tree)
    assert tree_sha256(tree) != before


def test_the_sum_is_the_same_wherever_the_files_lie(tree, tmp_path):
    before = tree_sha256(tree)
    assert tree_sha256(tree.rename(tmp_path / "elsewhere")) == before


def test_what_mlflow_adds_to_a_download_does_not_count(tree):
    before = tree_sha256(tree)
    (tree / "registered_model_meta").write_text("model_name: are-you-a-cat")
    assert tree_sha256(tree) == before
