"""The search for hyperparameters: its order, what a kill costs, when it runs at all, and which trial wins."""

import logging
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from include.backbone import FEATURES
from include.dataset.embeddings import write_embeddings
from include.dataset.examples import Examples, load_train_and_val
from include.dataset.manifest import read_manifest
from include.lake import layout
from include.lake.formats import read_json, write_table
from include.lake.local import LocalStore
from include.params import RetrainParams
from include.settings import ROOT, Settings
from include.training.head import fit_head
from include.training.hyperparameters import Hyperparameters, read_chosen
from include.training.mlflow_runs import connect
from include.tuning import search
from include.tuning.mlflow_trials import Trial, draw_trials, log_trials
from include.tuning.tune import tune
from tests.models import CLASSES, QUESTION

DEFAULTS = Hyperparameters()
SLOWER = Hyperparameters(learning_rate=0.004)
PARAMS = RetrainParams(images_per_source=50, epochs=3, min_precision=0.7, min_recall=0.7)


def trial(values: Hyperparameters, *losses: float, penalty: float = 0.0) -> Trial:
    return Trial(values, np.array(losses), penalty)


def loss_of(values: Hyperparameters) -> Trial:
    """A stand-in for a training: the lower the learning rate the better, on every photo alike."""
    return trial(values, *(values.learning_rate + np.linspace(0, 1e-9, 20)))


def key_of(number: int) -> str:
    return layout.base(QUESTION.sources[number % CLASSES], sha256(f"{number}".encode()).hexdigest())


def publish(lake: LocalStore, digest: str, numbers: range) -> None:
    """A dataset version of these photos; every eighth is on val."""
    photos = pd.DataFrame({"key": [key_of(number) for number in numbers]})
    photos["source"] = photos["class_name"] = [layout.parse_base(key).source for key in photos["key"]]
    photos["sha256"] = [layout.parse_base(key).sha256 for key in photos["key"]]
    photos["split"] = ["val" if number // CLASSES % 8 == 0 else "train" for number in numbers]
    photos = photos.assign(label=photos["source"].map(QUESTION.label_of), weight=1.0)
    write_table(lake, layout.manifest(digest), photos.assign(label_origin="source", cluster=""))


@pytest.fixture
def filled(lake: LocalStore) -> LocalStore:
    """A lake with a dataset version of 200 photos, whose embeddings are Gaussian around the mean of their class."""
    publish(lake, "d1", range(200))
    draw = np.random.default_rng(1)
    means = draw.normal(size=(CLASSES, FEATURES))
    embeddings = [means[number % CLASSES] + draw.normal(size=FEATURES) * 8 for number in range(220)]
    write_embeddings(lake, [key_of(number) for number in range(220)], np.array(embeddings, np.float16))
    return lake


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Hyperparameters]:
    """The values of each trial that really ran, in order; nothing is trained, and nothing is logged to MLflow."""
    values: list[Hyperparameters] = []

    def run(train: Examples, val: Examples, chosen: Hyperparameters, **options: Any) -> Trial:
        values.append(chosen)
        return loss_of(chosen)

    monkeypatch.setattr(search, "_run", run)
    monkeypatch.setattr(search, "log_trials", lambda *logged: None)
    return values


def settings(**given: Any) -> Settings:
    """Four trials, unless ``given`` asks for others."""
    options: dict[str, Any] = {"tune_trials": 4} | given
    return Settings(**options)


def order(folder: Path, *known: Hyperparameters, seed: int, count: int = 6) -> list[Hyperparameters]:
    """The values that a search tries, in order."""
    trials = search.search(loss_of, known or (DEFAULTS,), count=count, folder=folder, settings=settings(seed=seed))
    return [trial.values for trial in trials]


@pytest.mark.parametrize("seed", [0, 2025])
def test_a_seed_gives_the_same_trials_each_time(tmp_path: Path, seed: int) -> None:
    first = order(tmp_path, seed=seed)
    assert len(set(first)) == 6
    assert order(tmp_path, seed=seed) == first
    assert order(tmp_path, seed=seed + 1) != first


def test_known_values_are_tried_first(tmp_path: Path) -> None:
    assert order(tmp_path, SLOWER, DEFAULTS, seed=1)[:2] == [SLOWER, DEFAULTS]


def test_trials_are_compared_by_the_loss_that_stops_training(filled: LocalStore) -> None:
    cache, penalty = Settings().embedding_cache, Settings().l2_penalty
    train, val = load_train_and_val(filled, read_manifest(filled, "d1"), QUESTION, cache)
    losses = []

    def on_epoch(_: int, metrics: dict[str, float]) -> None:
        losses.append(metrics["val_loss"])

    fit_head(train, val, DEFAULTS, epochs=3, seed=2025, l2_penalty=penalty, on_epoch=on_epoch)
    measured = search._run(train, val, DEFAULTS, epochs=3, settings=Settings())
    assert measured.val_loss == pytest.approx(min(losses), abs=1e-5)
    assert len(measured.losses) == len(val)


def test_the_defaults_stay_unless_beaten_by_more_than_a_standard_error() -> None:
    default = trial(DEFAULTS, 1.0, 1.0, 1.0, 1.0)
    noisy = trial(SLOWER, 0.0, 2.0, 1.0, 0.9)  # 0.025 better, with a standard error of 0.41
    steady = trial(SLOWER, 0.9, 0.8, 0.9, 0.8)  # 0.15 better, with a standard error of 0.03
    assert search.choose_trial([default, noisy])[0] == DEFAULTS
    assert search.choose_trial([steady, default])[0] == SLOWER
    heavy = replace(steady, penalty=0.14)  # the penalty takes all but 0.01 of the lead
    chosen, reason = search.choose_trial([default, heavy])
    assert chosen == DEFAULTS
    measured = "0.01000 below their loss, with a standard error of 0.02887"
    assert reason == f"the defaults: the best of 2 trials is only {measured}"


def test_a_lower_penalty_does_not_make_up_for_a_higher_loss() -> None:
    default = trial(DEFAULTS, 1.0, 1.0, 1.0, 1.0, penalty=0.5)
    light = trial(SLOWER, 1.1, 1.1, 1.1, 1.1, penalty=0.1)
    assert search.choose_trial([default, light])[0] == DEFAULTS


def test_a_run_trains_with_the_result_of_its_search(
    filled: LocalStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logged = []
    monkeypatch.setattr(search, "log_trials", lambda *given: logged.append(given))
    caplog.set_level(logging.INFO)
    answer = tune(filled, "r1", "d1", PARAMS, settings=settings(tune_trials=2))
    ((client, digest, _, trials, chosen, reason),) = logged
    assert client.name == QUESTION.name
    assert digest == "d1"
    assert len(trials) == 2
    assert search.choose_trial(trials) == (chosen, reason)
    assert read_chosen(filled, "r1", "d1") == chosen
    assert answer["reason"] == reason
    assert reason in caplog.text
    assert read_json(filled, layout.progress("r1", "tune")) == {"done": 2, "total": 2, "unit": "trials"}
    assert not (Settings().home / "tuning").exists()


def test_a_search_that_ran_out_of_time_warns(
    filled: LocalStore, ran: list[Hyperparameters], caplog: pytest.LogCaptureFixture
) -> None:
    tune(filled, "r1", "d1", PARAMS, settings=settings(tune_seconds=1e-9))
    assert ran == [DEFAULTS], "the known values are tried in any case"
    assert "1 of 4 trials ran within CAT_TUNE_SECONDS" in caplog.text
    assert read_chosen(filled, "r1", "d1") == DEFAULTS


@pytest.mark.parametrize("kill", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
def test_a_killed_search_repeats_no_finished_trial_and_comes_to_the_same_end(
    filled: LocalStore,
    ran: list[Hyperparameters],
    monkeypatch: pytest.MonkeyPatch,
    kill: type[BaseException],
    torn: bool,
) -> None:
    run = search._run

    def killed(*given: Any, **options: Any) -> Trial:
        if len(ran) == 2:
            raise kill
        return run(*given, **options)

    monkeypatch.setattr(search, "_run", killed)
    with pytest.raises(kill):
        tune(filled, "r1", "d1", PARAMS, settings=settings())
    for state in (settings().home / "tuning").glob("*/keras-tuner/*.json"):
        state.write_text("{" if torn else state.read_text())
    monkeypatch.setattr(search, "_run", run)
    answer = tune(filled, "r1", "d1", PARAMS, settings=settings())
    resumed = list(ran)
    assert len(set(resumed)) == len(resumed) == 4
    filled.delete(next(filled.keys("tuned/")))
    assert tune(filled, "r2", "d1", PARAMS, settings=settings()) == answer
    assert ran[4:] == resumed


def test_a_search_that_could_not_reach_mlflow_repeats_no_trial(
    filled: LocalStore, ran: list[Hyperparameters], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as once:
        once.setattr(search, "log_trials", unreachable)
        with pytest.raises(ConnectionError):
            tune(filled, "r1", "d1", PARAMS, settings=settings())
    assert not list(filled.keys("tuned/"))
    tune(filled, "r1", "d1", PARAMS, settings=settings())
    assert len(ran) == 4


def test_a_killed_search_is_resumed_by_no_other_search() -> None:
    def name(digest: str = "d1", known: Hyperparameters = DEFAULTS, epochs: int = 20, **given: Any) -> str:
        return search.search_name(settings(**given), digest, [known], epochs=epochs)

    names = [name(), name(digest="d2"), name(known=SLOWER), name(epochs=5), name(l2_penalty=0.5), name(seed=1)]
    assert len(set(names)) == 6
    assert name() == names[0]


@pytest.mark.slow
def test_a_search_killed_with_signal_9_resumes(
    filled: LocalStore, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAT_MLFLOW_URL", mlflow_url)
    program = f"from tests.tuning.test_tune import search_in; search_in({str(filled.root)!r})"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.DEVNULL) as task:
        while len(list((settings().home / "tuning").glob("*/*.json"))) < 2:
            assert task.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
        task.kill()
    repeated, run = [], search._run

    def count(*given: Any, **options: Any) -> Trial:
        repeated.append(given[2])
        return run(*given, **options)

    monkeypatch.setattr(search, "_run", count)
    answer = tune(filled, "r1", "d1", PARAMS, settings=settings())
    assert len(repeated) <= 2
    filled.delete(next(filled.keys("tuned/")))
    assert tune(filled, "r2", "d1", PARAMS, settings=settings()) == answer


def search_in(lake: str) -> None:
    tune(LocalStore(Path(lake)), "r1", "d1", PARAMS, settings=settings())


def test_an_error_in_a_trial_is_raised_unchanged(
    filled: LocalStore, ran: list[Hyperparameters], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any, **options: Any) -> Trial:
        raise ValueError("no space left")

    monkeypatch.setattr(search, "_run", broken)
    with pytest.raises(ValueError, match="no space left"):
        tune(filled, "r1", "d1", PARAMS, settings=settings())


@pytest.mark.parametrize(("new", "searches"), [(8, False), (12, True)])
def test_the_last_result_is_reused_while_few_photos_are_new(
    filled: LocalStore, ran: list[Hyperparameters], new: int, searches: bool
) -> None:
    first = tune(filled, "r1", "d1", PARAMS, settings=settings())
    best = read_chosen(filled, "r1", "d1")
    assert best != DEFAULTS
    del ran[:]
    publish(filled, "d2", range(new, 200 + new))
    second = tune(filled, "r2", "d2", PARAMS, settings=settings())
    assert ran[:2] == ([best, DEFAULTS] if searches else [])
    assert ("of the photos are new" in second["reason"]) is not searches
    assert first["reason"].startswith("trial ")
    assert read_chosen(filled, "r2", "d2").learning_rate <= best.learning_rate


@pytest.mark.parametrize("change", [{"l2_penalty": 0.5}, {"tune_trials": 5}])
def test_another_penalty_or_more_trials_start_another_search(
    filled: LocalStore, ran: list[Hyperparameters], change: dict[str, Any]
) -> None:
    tune(filled, "r1", "d1", PARAMS, settings=settings())
    del ran[:]
    tune(filled, "r2", "d1", PARAMS, settings=settings(**change))
    assert ran


def test_a_search_on_a_deleted_dataset_is_repeated(filled: LocalStore, ran: list[Hyperparameters]) -> None:
    tune(filled, "r1", "d1", PARAMS, settings=settings())
    publish(filled, "d2", range(200))
    filled.delete(layout.manifest("d1"))
    del ran[:]
    tune(filled, "r2", "d2", PARAMS, settings=settings())
    assert len(ran) == 4


def test_without_trials_nothing_is_searched(filled: LocalStore, ran: list[Hyperparameters]) -> None:
    answer = tune(filled, "r1", "d1", PARAMS, settings=settings(tune_trials=0))
    assert ran == []
    assert read_chosen(filled, "r1", "d1") == DEFAULTS
    assert "CAT_TUNE_TRIALS" in answer["reason"]


def test_the_network_from_scratch_is_not_tuned(filled: LocalStore, ran: list[Hyperparameters]) -> None:
    answer = tune(filled, "r1", "d1", PARAMS, settings=settings(network="scratch"))
    assert ran == []
    assert read_chosen(filled, "r1", "d1") == DEFAULTS
    assert "scratch" in answer["reason"]


def test_a_search_is_logged_once_with_its_trials_as_nested_runs(
    mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back after the test
    client = connect(Settings(mlflow_url=mlflow_url))
    trials = [trial(DEFAULTS, 0.1, 0.2, penalty=0.05), trial(SLOWER, 0.1, 0.1, penalty=0.05)]
    for _ in range(2):
        log_trials(client, "d1", "one-search", trials, SLOWER, "trial 1 wins")
    experiment = client.get_experiment_by_name(QUESTION.name).experiment_id
    runs = {run.data.tags.get("trial"): run for run in client.search_runs([experiment], "tags.search = 'one-search'")}
    assert sorted(runs, key=str) == ["00", "01", None]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parent = runs[None]
    assert {runs[name].data.tags["mlflow.parentRunId"] for name in ("00", "01")} == {parent.info.run_id}
    assert "trial 1 wins" in parent.data.tags["mlflow.note.content"]
    assert [file.path for file in client.list_artifacts(parent.info.run_id, "tuning")] == ["tuning/trials.png"]
    assert runs["01"].data.params["learning_rate"] == "0.004"
    (point,) = client.get_metric_history(runs["01"].info.run_id, "val_loss")
    assert point.value == pytest.approx(0.15)


def legend_of(figure: Figure) -> list[str]:
    legend = figure.axes[0].get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def test_the_plot_marks_the_defaults_and_the_chosen_trial() -> None:
    other = replace(DEFAULTS, batch_size=128)
    trials = [trial(DEFAULTS, 0.3), trial(SLOWER, 0.2), trial(other, 0.4)]
    figure = draw_trials(trials, SLOWER)
    assert legend_of(figure) == ["the defaults", "chosen", "other trials"]
    lines = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in figure.axes[0].get_lines()}
    assert lines["chosen"] == pytest.approx([0, 1, 0, 0, 0, 0, 0])
    assert lines["the defaults"] == pytest.approx([1, 1, 0, 0, 0, 0.5, 0.5])
    assert "the defaults, chosen" in legend_of(draw_trials(trials, DEFAULTS))
