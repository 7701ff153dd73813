"""The trials of a search, as people see them: nested runs in MLflow, and a picture of all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from mlflow.entities import Metric, Param
from numpy.typing import NDArray
from pandas.plotting import parallel_coordinates

from include.training.hyperparameters import Hyperparameters
from include.training.mlflow_runs import DATASET_TAG, Mlflow

LINES: dict[str, dict[str, Any]] = {
    "other trials": {"color": ["#1c5fa8"], "alpha": 0.45},
    "the defaults": {"color": ["#1b1f24"], "linestyle": "--", "linewidth": 2.5},
    "the defaults, chosen": {"color": ["#1b1f24"], "linestyle": "--", "linewidth": 2.5},
    "chosen": {"color": ["#d9480f"], "linewidth": 2.5},
}
SEARCH_TAG, TRIAL_TAG, PARENT_TAG, NOTE_TAG = "search", "trial", "mlflow.parentRunId", "mlflow.note.content"


@dataclass(frozen=True)
class Trial:
    """One training and what came of it: the weighted loss of each val photo, float64 (photos,), and the L2
    penalty of the head.
    """

    values: Hyperparameters
    losses: NDArray[np.float64]
    penalty: float

    @property
    def val_loss(self) -> float:
        """With the penalty, as training watches it."""
        return float(self.losses.mean()) + self.penalty


def log_trials(
    client: Mlflow, dataset: str, search: str, trials: Sequence[Trial], chosen: Hyperparameters, reason: str
) -> None:
    """One run for the search, and a nested one for each trial. Safe to repeat: nothing is added twice."""
    experiment = mlflow.set_experiment(client.name).experiment_id
    parent = _run(client, experiment, f"tuning on dataset {dataset[:8]}", {SEARCH_TAG: search, DATASET_TAG: dataset})
    began = client.get_run(parent).info.start_time
    for number, trial in enumerate(trials):
        tags = {SEARCH_TAG: search, TRIAL_TAG: f"{number:02}", PARENT_TAG: parent}
        _log_trial(client, _run(client, experiment, f"trial {number:02}", tags), trial, began)
    client.set_tag(parent, NOTE_TAG, f"Chosen: {reason}. {chosen}")
    client.log_figure(parent, draw_trials(trials, chosen), "tuning/trials.png")
    client.set_terminated(parent)


def _log_trial(client: Mlflow, run: str, trial: Trial, began: int) -> None:
    """MLflow keeps a point once by its name, step, time and value: so the time is that of the search."""
    if client.get_run(run).info.status == "FINISHED":
        return
    metrics = {
        "val_loss": trial.val_loss,
        "val_partial_label_loss": float(trial.losses.mean()),
        "penalty": trial.penalty,
    }
    points = [Metric(name, value, began, 0) for name, value in metrics.items()]
    client.log_batch(run, points, [Param(name, str(value)) for name, value in asdict(trial.values).items()])
    client.set_terminated(run)


def draw_trials(trials: Sequence[Trial], chosen: Hyperparameters) -> Figure:
    """Parallel coordinates: a line for each trial, through its values to the loss that it reached."""
    losses = [{"loss_on_val": each.losses.mean(), "with_penalty": each.val_loss} for each in trials]
    rows = [asdict(each.values) | loss for each, loss in zip(trials, losses, strict=True)]
    table = pd.DataFrame(rows).astype(float)
    ends = [f"{name.replace('_', ' ')}\n{low:.3g} to {high:.3g}" for name, low, high in _ends(table)]
    table = (table - table.min()) / (table.max() - table.min()).replace(0, 1)
    table["line"] = [_name(each.values, chosen) for each in trials]
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, lines in table.groupby("line", sort=False):
        parallel_coordinates(lines, "line", ax=axes, axvlines_kwds={"color": "#c4c9cf"}, **LINES[str(name)])
    axes.set_xticks(range(len(ends)), ends, fontsize=8)
    axes.set_yticks([0, 1], ["lowest", "highest"])
    axes.set_title(f"{len(trials)} trials", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)
    return figure


def _name(values: Hyperparameters, chosen: Hyperparameters) -> str:
    if values == Hyperparameters():
        return "the defaults, chosen" if values == chosen else "the defaults"
    return "chosen" if values == chosen else "other trials"


def _ends(table: pd.DataFrame) -> Iterator[tuple[str, float, float]]:
    """The lowest and the highest value of each column."""
    return ((str(name), float(column.min()), float(column.max())) for name, column in table.items())


def _run(client: Mlflow, experiment: str, name: str, tags: dict[str, str]) -> str:
    """The id of the run with these tags; it is made where there is none."""
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    for run in client.search_runs([experiment], query):
        if TRIAL_TAG in tags or TRIAL_TAG not in run.data.tags:
            return str(run.info.run_id)
    return str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)
