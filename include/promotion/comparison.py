"""The task `gate`: challenger, champion and reference scored afresh on the same photos, and the decision stored."""

import logging
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from include.dataset.crowd_report import splits_apart
from include.dataset.publish import read_published, rules
from include.errors import BadRecord
from include.ingestion.snapshot import mark_decided
from include.lake import layout
from include.lake.base import ObjectStore, create_or_read, read_many
from include.lake.formats import json_sha256, read_json, to_json, write_json
from include.params import RetrainParams
from include.promotion.costs import measure_costs
from include.promotion.decision_page import render_decision
from include.promotion.gate import Limits, decide
from include.promotion.gate_photos import describe_photos, list_free_photos, on_test
from include.promotion.margin import margin_for
from include.promotion.publish_decision import publish_decision
from include.promotion.scoring import Contender, load_contender, score_photos
from include.records import UPLOADS, Cost, Decision, ModelVersion, Rule
from include.registry.versions import champion_version, predecessor_of, reference_version
from include.settings import Settings
from include.training.fingerprint import fingerprint, training_digest
from include.training.hyperparameters import read_chosen
from include.training.mlflow_runs import Mlflow, connect, is_made_from
from include.training.run_results import read_results

log = logging.getLogger(__name__)

ONE_SPLIT = "each picture is on one split"
MODULES = ("differences", "gate", "gate_photos", "gate_words")
CODE = (  # that decides
    *(f"include.evaluation.{name}" for name in ("metrics", "slices", "slice_properties")),
    *(f"include.promotion.{name}" for name in MODULES),
)
MEASURED = 60  # photos on which latency and memory are measured


def compare_and_decide(
    store: ObjectStore, run: str, params: RetrainParams, settings: Settings, *, run_url: str = ""
) -> Decision:
    """Task: the gate. It decides once about a challenger by the same rules, however often the task is repeated.

    ``run_url`` is where a person finds the run; the page of the decision leads there.
    """
    client, (evaluation, challenger) = connect(settings), read_results(store, run)
    published = read_published(store, run, evaluation["dataset"])
    photos = list_free_photos(store, run)
    test = on_test(photos)
    limits = limits_of(params, settings, photos=len(test))
    judged = json_sha256(test[["key", "label", "status"]].astype(str).to_numpy().tolist())
    made_from = [challenger.sha256, evaluation["dataset"], judged, asdict(limits)]
    digest = fingerprint(made_from, packages=(), code=CODE)
    key = layout.decision(run, digest)
    if not store.exists(key):
        about_photos = _about_photos(photos, published)
        decision, page = _compare(store, client, challenger, test, about_photos, limits, settings, run_url=run_url)
        store.write(layout.decision_page(run, json_sha256(asdict(decision))), page)
        create_or_read(store, key, to_json(asdict(decision)))
    decision = Decision.of(read_json(store, key))
    page = store.read(layout.decision_page(run, json_sha256(asdict(decision))))
    write_json(store, layout.run_decision(run), asdict(decision))
    store.write(layout.run_page(run, "decision.html"), page)
    publish_decision(client, evaluation, decision, page=page.decode())
    if _of_these_inputs(store, client, published, evaluation["mlflow_run"], params, settings):
        mark_decided(store, run, params, settings)
    return decision


def limits_of(params: RetrainParams, settings: Settings, *, photos: int) -> Limits:
    """What the gate decides by, on so many test photos."""
    gate, floors = settings.gate, {"min_precision": params.min_precision, "min_recall": params.min_recall}
    return Limits(
        **floors,
        margin=margin_for(photos, settings),
        max_calibration_increase=gate.max_calibration_increase,
        max_latency_ratio=gate.max_latency_ratio,
        max_memory_ratio=gate.max_memory_ratio,
        close_calls=gate.close_calls,
        seed=settings.seed,
    )


def read_decision(store: ObjectStore, run: str) -> Decision:
    """What the gate decided last about the run. Raises ObjectNotFound before it did, BadRecord for older code's."""
    try:
        return Decision.of(read_json(store, layout.run_decision(run)))
    except ValueError as error:
        raise BadRecord(
            f"the run {run!r} was decided by an older version of this code: trigger retrain again"
        ) from error


def _about_photos(photos: pd.DataFrame, published: dict[str, Any]) -> Rule:
    whole, reason = splits_apart(photos, published)
    return Rule(ONE_SPLIT, "passed" if whole else "failed", reason)


def _compare(
    store: ObjectStore,
    client: Mlflow,
    challenger: ModelVersion,
    test: pd.DataFrame,
    about_photos: Rule,
    limits: Limits,
    settings: Settings,
    *,
    run_url: str,
) -> tuple[Decision, bytes]:
    """The decision, and its page."""
    champion, reference = _opponents(client, challenger)
    versions = [version for version in dict.fromkeys((challenger, champion, reference)) if version]
    with tempfile.TemporaryDirectory() as scratch:
        contenders = [
            load_contender(client, version, settings.question, Path(scratch) / str(place))
            for place, version in enumerate(versions)
        ]
        scores = {each.version: each for each in score_photos(contenders, store, test["key"])}
        costs = _costs(store, test, contenders[:2]) if champion else None
    # a cleared run whose challenger is the reference by now: it was proven before, and is not compared with itself
    proven = reference == challenger
    found = [scores[champion] if champion else None, scores[reference] if reference and not proven else None]
    photos = describe_photos(store, test)
    decision = decide(photos, scores[challenger], *found, about_photos=about_photos, limits=limits, costs=costs)
    if proven:
        decision = replace(decision, next_reference=challenger)
    return decision, render_decision(store, decision, test, scores, settings.question, run_url=run_url).encode()


def _opponents(client: Mlflow, challenger: ModelVersion) -> tuple[ModelVersion | None, ModelVersion | None]:
    """The champion and the reference; in a cleared run, whose challenger serves already, what it replaced."""
    champion, reference = champion_version(client), reference_version(client)
    if champion == challenger:
        champion = predecessor_of(client, challenger)
    return champion, reference


def _costs(store: ObjectStore, test: pd.DataFrame, contenders: list[Contender]) -> tuple[Cost, Cost] | None:
    """Of challenger and champion, where both can be served."""
    packages = [contender.package for contender in contenders if contender.package and not contender.problem]
    keys = test.loc[test["source"] != UPLOADS, "key"]
    keys = keys.iloc[:: -(-len(keys) // MEASURED) or 1]  # evenly over the sources
    if len(packages) < len(contenders) or keys.empty:
        return None
    new, old = measure_costs(packages, list(read_many(store, keys)))
    return new, old


def _of_these_inputs(
    store: ObjectStore,
    client: Mlflow,
    published: dict[str, Any],
    mlflow_run: str,
    params: RetrainParams,
    settings: Settings,
) -> bool:
    """Whether the challenger is what these params and settings make of the run's photos.

    It is not when they changed on the way and only some tasks were cleared: the next run must then train.
    """
    dataset, run = published["digest"], published["run"]
    by_these_rules = rules(settings, params.images_per_source).items() <= published.items()
    made_from = training_digest(dataset, read_chosen(store, run, dataset), params, settings)
    same = by_these_rules and is_made_from(client, mlflow_run, made_from)
    if not same:
        log.warning("settings or params changed during this run: its photos count as new for the next one")
    return same
