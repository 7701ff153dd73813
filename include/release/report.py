"""What a run of ``retrain`` came to, as one JSON in the lake."""

from typing import Any

from include.data.dataset import read_report
from include.data.snapshot import finish_run
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json, write_json


def report(store: ObjectStore, run: str) -> dict[str, Any]:
    """Task: gather dataset and evaluation of the run; from now on the same inputs have nothing to do."""
    evaluation = read_json(store, layout.run_json(run, "evaluation"))
    dataset = read_report(store, evaluation["dataset"])
    told = {
        "run": run,
        "dataset": evaluation["dataset"],
        "images": dataset["images"],
        "fates": dataset["fates"],
        "version": evaluation["version"],
        "figures": evaluation["figures"],
        "test": evaluation["slices"]["base"],
        "sources": evaluation["sources"],
    }
    write_json(store, layout.run_json(run, "report"), told)
    finish_run(store, run)
    return {"version": told["version"], "dataset": told["dataset"]}
