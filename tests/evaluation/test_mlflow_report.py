"""What an evaluation leaves in its MLflow run, from drawn scores of a few photos."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from include.backbone import FEATURES
from include.dataset.embeddings import write_embeddings
from include.evaluation.mlflow_report import log_evaluation_report
from include.evaluation.slices import slice_metrics
from include.lake.local import LocalStore
from include.records import DecisionRule, label_of
from tests.pictures import add_base, plain

CHOSEN = {"rule": "even_odds", "precision_floor": 0.8, "sure_from": 0.8}
CHOSEN |= {"photos": 100, "cats": 25, "scores": "out of fold"}
DOUBT = {"unsure": 0.1, "cats_denied": 0.0, "others_taken": 0.0}


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> MlflowClient:
    return MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")


@pytest.fixture
def photos(lake) -> pd.DataFrame:
    """Twelve cats and as many dogs, half of them on the train split, and how they look."""
    sources = ["cats", "dogs"] * 12
    keys = [add_base(lake, source, plain((9 * place, 90, 200))) for place, source in enumerate(sources)]
    write_embeddings(lake, keys, np.random.default_rng(1).random((24, FEATURES)).astype(np.float16))
    looks = {name: np.random.default_rng(2).random(24) for name in ("brightness", "size", "sharpness")}
    labels = [label_of(source) for source in sources]
    splits = ["train"] * 12 + ["test"] * 12
    return pd.DataFrame({"key": keys, "source": sources, "label": labels, "split": splits, **looks})


def show(client: MlflowClient, lake: LocalStore, photos: pd.DataFrame, cache: Path, *, run: str, certain: bool) -> str:
    """The page of a model that either knows every label or calls all photos cats."""
    said = np.where((photos["label"] == "cat") | (not certain), 0.9, 0.1)
    scores = photos.assign(probability=said)[photos["split"] == "test"].reset_index(drop=True)
    slices = slice_metrics(scores, threshold=0.5, seed=0)
    about = {"version": "7", "mlflow_run": run, "dataset": "d1", "decision_rule": asdict(DecisionRule(0.5, 0.2, 0.8))}
    about |= {"chosen": CHOSEN, "doubt": DOUBT}
    about |= {"slices": {part.name: {name: asdict(value) for name, value in part.figures.items()} for part in slices}}
    log_evaluation_report(client, lake, about, scores, slices, train=photos[photos["split"] == "train"], cache=cache)
    return Path(client.download_artifacts(run, "evaluation/evaluation.html")).read_text()


def new_run(client: MlflowClient, folder: Path) -> str:
    experiment = client.create_experiment(folder.name, artifact_location=str(folder))
    return client.create_run(experiment).info.run_id


def test_every_error_stands_beside_five_training_photos(client, lake, photos, tmp_path):
    page = show(client, lake, photos, tmp_path / "cache", run=new_run(client, tmp_path), certain=False)
    assert "Its 6 errors" in page
    assert page.count("dogs, P(cat) 0.90") == 6
    assert page.count("data:image/jpeg") == 6 * (1 + 5)
    on_test = photos.loc[photos["split"] == "test"]
    assert not [key for key in on_test.loc[on_test["label"] == "cat", "key"] if key in page]


def test_showing_it_again_adds_nothing(client, lake, photos, tmp_path):
    run = new_run(client, tmp_path)
    for _ in range(2):
        page = show(client, lake, photos, tmp_path / "cache", run=run, certain=True)
        assert "It made no mistake on these photos" in page
    for name in ("threshold", "test/recall", "test interval/recall low"):
        assert len(client.get_metric_history(run, name)) == 1
    files = {Path(file.path).name for file in client.list_artifacts(run, "evaluation")}
    pictures = {f"{name}.png" for name in ("precision_recall", "reliability", "confusion", "slices")}
    assert files == pictures | {"evaluation.html", "evaluation.json", "predictions.parquet"}
