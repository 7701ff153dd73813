"""A search in a real Airflow: triggered by the monthly DAG, and its best values stay in use."""

import pytest

from include.lake import layout
from include.lake.formats import read_json
from include.model import tracking
from include.settings import Settings
from stack.demo import follow

pytestmark = [pytest.mark.functional, pytest.mark.slow]


def hyperparameters(loop, run: str) -> dict:
    return read_json(loop.lake, layout.run_json(run, "hyperparameters"))


@pytest.mark.parametrize("loop", ["folder"], indirect=True)
def test_the_monthly_run_searches_and_later_runs_use_what_it_found(loop):
    loop.run("ingest_base_datasets")
    loop.api.unpause("retrain")
    loop.run("retrain_tuned", tune_minutes=2)
    (run,) = [run["dag_run_id"] for run in loop.api.runs("retrain")]
    assert follow(loop.stack, loop.api, "retrain", run) == "success"

    client = tracking.connect(Settings())
    found = client.search_runs([client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id], "tags.search != ''")
    searches = [one for one in found if "trial" not in one.data.tags]
    trials = [one for one in found if "trial" in one.data.tags]
    assert len(searches) == 1
    assert len(trials) >= 2
    best = min(trials, key=lambda trial: trial.data.metrics["val_loss"])
    chosen = hyperparameters(loop, run)
    assert float(best.data.params["learning_rate"]) == pytest.approx(chosen["learning_rate"])

    later, _ = loop.run("retrain", force=True)
    assert hyperparameters(loop, later) == chosen
