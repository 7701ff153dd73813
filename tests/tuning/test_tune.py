"""The search for hyperparameters: its order, what a kill costs, when it is made at all, and who wins."""

import logging
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.dataset.embeddings import write_embeddings
from include.dataset.examples import load_examples
from include.lake import layout
from include.lake.formats import read_json, write_table
from include.lake.local import LocalStore
from include.records import SOURCES, RetrainParams, label_of
from include.settings import ROOT, Settings
from include.training import mlflow_runs
from include.training.head import fit_head
from include.training.hyperparameters import Hyperparameters, chosen_for
from include.tuning import search
from include.tuning.mlflow_trials import Trial, draw_trials, log_trials
from include.tuning.tune import tune

DEFAULTS = Hyperparameters()
SLOWER = Hyperparameters(learning_rate=0.004)
PARAMS = RetrainParams(images_per_source=50, epochs=3, min_precision=0.7, min_recall=0.7)


def trial(values: Hyperparameters, *losses: float, penalty: float = 0.0) -> Trial:
    return Trial(values, np.array(losses), penalty)


def loss_of(values: Hyperparameters) -> Trial:
    """A stand-in for a training: the lower the learning rate the better, on every photo alike."""
    return trial(values, *(values.learning_rate + np.linspace(0, 1e-9, 20)))


def key_of(number: int) -> str:
    return layout.base(SOURCES[number % 4], sha256(f"{number}".encode()).hexdigest())


def publish(lake, digest: str, numbers: range) -> None:
    """A dataset version of these photos; every eighth is on val."""
    photos = pd.DataFrame({"key": [key_of(number) for number in numbers]})
    photos["class_name"] = [layout.parse_base(key).source for key in photos["key"]]
    photos = photos.assign(label=photos["class_name"].map(label_of), weight=1.0)
    photos["split"] = ["val" if number // 4 % 8 == 0 else "train" for number in numbers]
    write_table(lake, layout.manifest(digest), photos)


@pytest.fixture
def place(lake):
    """A lake with a dataset version of 200 photos, whose features are Gaussian around the mean of their kind."""
    publish(lake, "d1", range(200))
    draw = np.random.default_rng(1)
    means = draw.normal(size=(4, 1280))
    features = [means[number % 4] + draw.normal(size=1280) * 8 for number in range(220)]
    write_embeddings(lake, [key_of(number) for number in range(220)], np.array(features, np.float16))
    return lake


@pytest.fixture
def ran(monkeypatch) -> list[Hyperparameters]:
    """The values of each trial that really ran, in order; nothing is trained, and MLflow is not asked."""
    values: list[Hyperparameters] = []

    def run(train, val, chosen, **options) -> Trial:
        values.append(chosen)
        return loss_of(chosen)

    monkeypatch.setattr(search, "_run", run)
    monkeypatch.setattr(search, "log_trials", lambda *shown: None)
    return values


def settings(**given) -> Settings:
    return Settings(tune_trials=4, **given)


def order(tmp_path, *known: Hyperparameters, seed: int, count: int = 6) -> list[Hyperparameters]:
    options = {"count": count, "folder": tmp_path, "settings": settings(seed=seed)}
    return [ended.values for ended in search.search(loss_of, known or (DEFAULTS,), **options)]


@pytest.mark.parametrize("seed", [0, 2025])
def test_a_seed_gives_the_same_trials_each_time(tmp_path, seed):
    first = order(tmp_path, seed=seed)
    assert len(set(first)) == 6
    assert order(tmp_path, seed=seed) == first
    assert order(tmp_path, seed=seed + 1) != first


def test_known_values_are_tried_first(tmp_path):
    assert order(tmp_path, SLOWER, DEFAULTS, seed=1)[:2] == [SLOWER, DEFAULTS]


def test_the_loss_that_is_compared_is_the_one_that_stops_training(place):
    manifest = pd.read_parquet(place.root / layout.manifest("d1"))
    examples = load_examples(place, manifest, Settings().embedding_cache)
    train, val = (examples.take((manifest["split"] == side).to_numpy()) for side in ("train", "val"))
    losses = []
    options = {"epochs": 3, "seed": 2025, "l2_penalty": Settings().l2_penalty}
    fit_head(train, val, DEFAULTS, **options, on_epoch=lambda epoch, given: losses.append(given["val_loss"]))
    measured = search._run(train, val, DEFAULTS, epochs=3, settings=Settings())
    assert measured.val_loss == pytest.approx(min(losses), abs=1e-5)
    assert len(measured.losses) == len(val)


def test_the_defaults_stay_unless_beaten_by_more_than_a_standard_error():
    default = trial(DEFAULTS, 1.0, 1.0, 1.0, 1.0)
    noisy = trial(SLOWER, 0.0, 2.0, 1.0, 0.9)  # 0.025 better, with a standard error of 0.41
    steady = trial(SLOWER, 0.9, 0.8, 0.9, 0.8)  # 0.15 better, with a standard error of 0.03
    assert search.choose_trial([default, noisy])[0] == DEFAULTS
    assert search.choose_trial([steady, default])[0] == SLOWER
    heavy = replace(steady, penalty=0.14)  # the penalty takes all but 0.01 of the lead
    chosen, reason = search.choose_trial([default, heavy])
    assert chosen == DEFAULTS
    assert (
        reason
        == "the defaults: the best of 2 trials is only 0.01000 below their loss, with a standard error of 0.02887"
    )


def test_a_lower_penalty_does_not_make_up_for_a_higher_loss():
    default = trial(DEFAULTS, 1.0, 1.0, 1.0, 1.0, penalty=0.5)
    light = trial(SLOWER, 1.1, 1.1, 1.1, 1.1, penalty=0.1)
    assert search.choose_trial([default, light])[0] == DEFAULTS


def test_a_run_trains_with_what_its_search_found(place, monkeypatch, caplog):
    shown = []
    monkeypatch.setattr(search, "log_trials", lambda *given: shown.append(given))
    caplog.set_level(logging.INFO)
    told = tune(place, "r1", "d1", PARAMS, settings=Settings(tune_trials=2))
    ((digest, _, trials, chosen, reason),) = shown
    assert digest == "d1"
    assert len(trials) == 2
    assert search.choose_trial(trials) == (chosen, reason)
    assert chosen_for(place, "r1") == chosen
    assert told["reason"] == reason
    assert reason in caplog.text
    assert read_json(place, layout.progress("r1", "tune")) == {"done": 2, "total": 2, "unit": "trials"}
    assert not (Settings().home / "tuning").exists()


def test_the_ceiling_is_said_when_it_cuts_a_search(place, ran, caplog):
    tune(place, "r1", "d1", PARAMS, settings=settings(tune_seconds=1e-9))
    assert ran == [DEFAULTS], "what is known runs in any case"
    assert "1 of 4 trials ran within CAT_TUNE_SECONDS" in caplog.text
    assert chosen_for(place, "r1") == DEFAULTS


@pytest.mark.parametrize("kill", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("torn", [False, True])
def test_a_killed_search_repeats_no_finished_trial_and_comes_to_the_same_end(place, ran, monkeypatch, kill, torn):
    run = search._run

    def killed(*given, **options) -> Trial:
        if len(ran) == 2:
            raise kill
        return run(*given, **options)

    monkeypatch.setattr(search, "_run", killed)
    with pytest.raises(kill):
        tune(place, "r1", "d1", PARAMS, settings=settings())
    for state in (settings().home / "tuning").glob("*/keras-tuner/*.json"):
        state.write_text("{" if torn else state.read_text())
    monkeypatch.setattr(search, "_run", run)
    told = tune(place, "r1", "d1", PARAMS, settings=settings())
    resumed = list(ran)
    assert len(set(resumed)) == len(resumed) == 4
    place.delete(next(place.keys("tuned/")))
    assert tune(place, "r2", "d1", PARAMS, settings=settings()) == told
    assert ran[4:] == resumed


def test_a_search_that_could_not_reach_mlflow_is_not_made_again(place, ran, monkeypatch):
    def unreachable(*shown) -> None:
        raise ConnectionError

    with monkeypatch.context() as once:
        once.setattr(search, "log_trials", unreachable)
        with pytest.raises(ConnectionError):
            tune(place, "r1", "d1", PARAMS, settings=settings())
    assert not list(place.keys("tuned/"))
    tune(place, "r1", "d1", PARAMS, settings=settings())
    assert len(ran) == 4


def test_what_a_killed_search_left_serves_no_other_search():
    def name(digest: str = "d1", known: Hyperparameters = DEFAULTS, epochs: int = 20, **given) -> str:
        return search.search_name(settings(**given), digest, [known], epochs=epochs)

    names = [name(), name(digest="d2"), name(known=SLOWER), name(epochs=5), name(l2_penalty=0.5), name(seed=1)]
    assert len(set(names)) == 6
    assert name() == names[0]


@pytest.mark.slow
def test_a_search_killed_with_signal_9_goes_on_where_it_was(place, mlflow_url, monkeypatch):
    monkeypatch.setenv("CAT_MLFLOW_URL", mlflow_url)
    program = f"from tests.tuning.test_tune import search_here; search_here({str(place.root)!r})"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.DEVNULL) as task:
        while len(list((settings().home / "tuning").glob("*/*.json"))) < 2:
            assert task.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
        task.kill()
    again, run = [], search._run
    monkeypatch.setattr(search, "_run", lambda *given, **options: again.append(given[2]) or run(*given, **options))
    told = tune(place, "r1", "d1", PARAMS, settings=settings())
    assert len(again) <= 2
    place.delete(next(place.keys("tuned/")))
    assert tune(place, "r2", "d1", PARAMS, settings=settings()) == told


def search_here(lake: str) -> None:
    tune(LocalStore(Path(lake)), "r1", "d1", PARAMS, settings=settings())


def test_an_error_in_a_trial_ends_the_task_as_itself(place, ran, monkeypatch):
    def broken(*given, **options) -> Trial:
        raise ValueError("no space left")

    monkeypatch.setattr(search, "_run", broken)
    with pytest.raises(ValueError, match="no space left"):
        tune(place, "r1", "d1", PARAMS, settings=settings())


@pytest.mark.parametrize(("new", "searches"), [(8, False), (12, True)])
def test_the_last_best_is_reused_while_few_photos_are_new(place, ran, new, searches):
    told = tune(place, "r1", "d1", PARAMS, settings=settings())
    best = chosen_for(place, "r1")
    assert best != DEFAULTS
    del ran[:]
    publish(place, "d2", range(new, 200 + new))
    again = tune(place, "r2", "d2", PARAMS, settings=settings())
    assert ran[:2] == ([best, DEFAULTS] if searches else [])
    assert ("of the photos are new" in again["reason"]) is not searches
    assert told["reason"].startswith("trial ")
    assert chosen_for(place, "r2").learning_rate <= best.learning_rate


@pytest.mark.parametrize("change", [{"l2_penalty": 0.5}, {"tune_trials": 5}])
def test_another_penalty_or_more_trials_ask_for_another_search(place, ran, change):
    tune(place, "r1", "d1", PARAMS, settings=settings())
    del ran[:]
    tune(place, "r2", "d1", PARAMS, settings=Settings(**{"tune_trials": 4, **change}))
    assert ran


def test_a_search_on_a_dataset_that_is_gone_counts_no_more(place, ran):
    tune(place, "r1", "d1", PARAMS, settings=settings())
    publish(place, "d2", range(200))
    place.delete(layout.manifest("d1"))
    del ran[:]
    tune(place, "r2", "d2", PARAMS, settings=settings())
    assert len(ran) == 4


def test_without_trials_nothing_is_searched(place, ran):
    told = tune(place, "r1", "d1", PARAMS, settings=Settings(tune_trials=0))
    assert ran == []
    assert chosen_for(place, "r1") == DEFAULTS
    assert "CAT_TUNE_TRIALS" in told["reason"]


def test_the_network_from_scratch_is_not_tuned(place, ran):
    told = tune(place, "r1", "d1", PARAMS, settings=settings(network="scratch"))
    assert ran == []
    assert chosen_for(place, "r1") == DEFAULTS
    assert "scratch" in told["reason"]


def test_mlflow_shows_a_search_once_with_its_trials_inside(mlflow_url, monkeypatch):
    monkeypatch.setenv("CAT_MLFLOW_URL", mlflow_url)
    trials = [trial(DEFAULTS, 0.1, 0.2, penalty=0.05), trial(SLOWER, 0.1, 0.1, penalty=0.05)]
    for _ in range(2):
        log_trials("d1", "one-search", trials, SLOWER, "trial 1 wins")
    client = mlflow_runs.connect()
    experiment = client.get_experiment_by_name(mlflow_runs.EXPERIMENT).experiment_id
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


def test_the_picture_marks_the_defaults_and_what_was_chosen():
    other = replace(DEFAULTS, batch_size=128)
    trials = [trial(DEFAULTS, 0.3), trial(SLOWER, 0.2), trial(other, 0.4)]
    axes = draw_trials(trials, SLOWER).axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["the defaults", "chosen", "other trials"]
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
    assert lines["chosen"] == pytest.approx([0, 1, 0, 0, 0, 0, 0])
    assert lines["the defaults"] == pytest.approx([1, 1, 0, 0, 0, 0.5, 0.5])
    alone = draw_trials(trials, DEFAULTS).axes[0].get_legend().get_texts()
    assert "the defaults, chosen" in [text.get_text() for text in alone]
