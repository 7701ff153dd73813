"""What an evaluation logs to its MLflow run, from simulated scores of a few photos."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.backbone import FEATURES
from include.dataset.embeddings import write_embeddings
from include.evaluation.mlflow_report import errors_of, log_evaluation_report
from include.evaluation.slices import slice_metrics
from include.lake.local import LocalStore
from include.question import NEGATIVE, POSITIVE
from include.records import DecisionRule
from include.settings import Settings
from include.training.mlflow_runs import Mlflow
from tests.models import QUESTION
from tests.pictures import add_base, plain

CHOSEN: dict[str, object] = {"rule": "even_odds", "precision_floor": 0.8, "sure_from": 0.8}
CHOSEN |= {"photos": 100, "positives": 25, "scores": "out of fold"}
UNCERTAINTY = {"unsure": 0.1, "sure_false_negatives": 0.0, "sure_false_positives": 0.0}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Mlflow:
    return Mlflow(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db", QUESTION.name)


@pytest.fixture
def photos(lake: LocalStore) -> pd.DataFrame:
    """Twelve cats and twelve dogs, half of them on the train split, with their image properties."""
    sources = ["cats", "dogs"] * 12
    keys = [add_base(lake, source, plain((9 * place, 90, 200))) for place, source in enumerate(sources)]
    write_embeddings(lake, keys, np.random.default_rng(1).random((24, FEATURES)).astype(np.float16))
    properties = {name: np.random.default_rng(2).random(24) for name in ("brightness", "size", "sharpness")}
    labels = [QUESTION.label_of(source) for source in sources]
    splits = ["train"] * 12 + ["test"] * 12
    return pd.DataFrame({"key": keys, "source": sources, "label": labels, "split": splits, **properties})


def page_of(client: Mlflow, lake: LocalStore, photos: pd.DataFrame, *, run: str, perfect: bool) -> str:
    """The page of a model that either knows every label or predicts that all photos are positive."""
    probability = np.where((photos["label"] == POSITIVE) | (not perfect), 0.9, 0.1)
    scores = photos.assign(probability=probability)[photos["split"] == "test"].reset_index(drop=True)
    slices, rule = slice_metrics(scores, QUESTION, threshold=0.5, seed=0), DecisionRule(0.5, 0.2, 0.8, (0,))
    evaluation = {"mlflow_run": run, "dataset": "d1", "decision_rule": asdict(rule)}
    evaluation |= {"chosen": CHOSEN, "uncertainty": UNCERTAINTY}
    evaluation["slices"] = {part.name: {name: asdict(each) for name, each in part.metrics.items()} for part in slices}
    train = photos[photos["split"] == "train"]
    log_evaluation_report(client, lake, evaluation, scores, slices, train=train, settings=Settings())
    return Path(client.download_artifacts(run, "evaluation/evaluation.html")).read_text()


def new_run(client: Mlflow, folder: Path) -> str:
    experiment = client.create_experiment(folder.name, artifact_location=str(folder))
    return str(client.create_run(experiment).info.run_id)


def test_every_error_stands_beside_five_training_photos(
    client: Mlflow, lake: LocalStore, photos: pd.DataFrame, tmp_path: Path
) -> None:
    page = page_of(client, lake, photos, run=new_run(client, tmp_path), perfect=False)
    assert "Its 6 errors" in page
    assert page.count("dogs, P(positive) 0.90") == 6
    assert page.count("data:image/jpeg") == 6 * (1 + 5)
    on_test = photos.loc[photos["split"] == "test"]
    assert not [key for key in on_test.loc[on_test["label"] == POSITIVE, "key"] if key in page]


def test_logging_it_again_adds_nothing(client: Mlflow, lake: LocalStore, photos: pd.DataFrame, tmp_path: Path) -> None:
    run = new_run(client, tmp_path)
    for _ in range(2):
        page = page_of(client, lake, photos, run=run, perfect=True)
        assert "It made no error on these photos" in page
    for name in ("threshold", "slope", "test/recall", "test interval/recall low"):
        assert len(client.get_metric_history(run, name)) == 1
    files = {Path(file.path).name for file in client.list_artifacts(run, "evaluation")}
    pictures = {f"{name}.png" for name in ("precision_recall", "reliability", "confusion", "slices")}
    assert files == pictures | {"evaluation.html", "evaluation.json", "predictions.parquet"}


def test_the_worst_error_is_the_most_confident_one() -> None:
    labels = [POSITIVE, NEGATIVE, POSITIVE, POSITIVE]
    photos = pd.DataFrame({"label": labels, "probability": [0.2, 0.9, 0.1, 0.8]})
    assert list(errors_of(photos, 0.5).index) == [1, 2, 0]


def test_a_model_without_errors_has_none_to_show() -> None:
    photos = pd.DataFrame({"key": ["a", "b"], "label": [POSITIVE, NEGATIVE], "probability": [0.9, 0.1]})
    assert len(errors_of(photos, 0.5)) == 0
    assert errors_of(photos, 0.95)["key"].tolist() == ["a"]
