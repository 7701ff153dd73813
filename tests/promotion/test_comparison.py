"""The task of the gate, against a real registry: what is compared, and that the decision stands."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from include.dataset.manifest import MANIFEST
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json, to_json, write_json, write_table
from include.lake.local import LocalStore
from include.promotion import comparison
from include.promotion.comparison import failed_rules, read_decision
from include.question import NEGATIVE, POSITIVE
from include.records import CONTRACT, Decision, RetrainParams, Rule
from include.registry.versions import champion_version, promote
from include.settings import Settings
from include.training.mlflow_runs import Mlflow
from tests.models import add_version
from tests.pictures import plain
from tests.promotion.conftest import (
    RUN,
    register_garbage,
    register_of_another_question,
    register_of_older_contract,
    register_tampered,
    write_decision,
)

PARAMS = RetrainParams(images_per_source=10, epochs=1, min_precision=0.7, min_recall=0.7)
Evaluated = Callable[..., None]


def compare_and_decide(lake: ObjectStore) -> Decision:
    return comparison.compare_and_decide(lake, RUN, PARAMS, Settings())


@pytest.fixture
def evaluated(lake: LocalStore, mlflow_run: str) -> Evaluated:
    """What earlier tasks write: four red positive photos, eight blue negative ones, and a challenger."""

    def evaluated(version: str, *, network: str = "efficientnet_lite0") -> None:
        rows = []
        for number in range(12):
            positive = number < 4
            source, name = "cats" if positive else "misc", f"{number:064x}"
            key = layout.base(source, name)
            lake.write(key, plain((200 + number, 0, 0) if positive else (0, 0, 200 + number)))
            label = POSITIVE if positive else NEGATIVE
            rows.append({"key": key, "sha256": name, "source": source, "class_name": source, "label": label})
        photos = pd.DataFrame(rows).assign(split="test", label_origin="source", weight=1.0, cluster="")
        write_table(lake, layout.manifest("d1"), photos[MANIFEST])
        base = {"average_precision": {"value": 0.912, "low": 0.8, "high": 1.0}}
        evaluation: dict[str, object] = {"dataset": "d1", "mlflow_run": mlflow_run, "network": network}
        evaluation |= {"decision_rule": {"threshold": 0.5}, "slices": {"base": base}}
        write_json(lake, layout.run_evaluation(RUN), evaluation)
        registered = {"version": version, "dataset": "d1", "mlflow_run": mlflow_run}
        write_json(lake, layout.run_version(RUN), registered)
        write_json(lake, layout.run_inputs(RUN), {"input_digest": "abc"})

    return evaluated


@pytest.fixture
def wrong(client: Mlflow) -> str:
    """A version that predicts positive for all photos but red ones."""
    return add_version(run="wrong", sign=-1)


def last_rule(decision: Decision) -> str:
    return decision.rules[-1].reason


def test_the_decision_is_recorded_in_the_lake_and_in_mlflow(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, mlflow_run: str, new: str, tmp_path: Path
) -> None:
    evaluated(new)
    decision = compare_and_decide(lake)
    assert decision.better
    assert (decision.challenger, decision.predecessor) == (new, None)
    assert read_decision(lake, RUN) == decision
    logged = Path(client.download_artifacts(mlflow_run, "evaluation/decision.json", str(tmp_path)))
    assert Decision.of(json.loads(logged.read_text())) == decision
    assert client.get_run(mlflow_run).data.tags["decision"] == "better"
    assert read_json(lake, layout.LATEST_RUN) == {"run": RUN, "input_digest": "abc"}
    description = client.get_model_version(client.name, new).description
    assert "Trained on dataset `d1`; decision threshold 0.5." in description
    assert "EfficientNet-Lite0" in description
    assert "Apache License 2.0" in description
    assert "| average precision | 0.912 | 0.800 to 1.000 |" in description
    assert "**Better**, compared with no champion:" in description
    assert "- minimum recall: passed. recall 1.000 (4 of 4)" in description
    assert "cat-retrain promote VERSION" in client.get_registered_model(client.name).description


def test_a_model_from_scratch_names_no_backbone(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, new: str
) -> None:
    evaluated(new, network="scratch")
    compare_and_decide(lake)
    description = client.get_model_version(client.name, new).description
    assert "It was trained from nothing" in description
    assert "EfficientNet" not in description


def test_a_worse_model_is_not_better_and_the_champion_stays(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, mlflow_run: str, old: str, wrong: str
) -> None:
    promote(client, old, replaces=None)
    evaluated(wrong)
    decision = compare_and_decide(lake)
    assert not decision.better
    assert decision.predecessor == old
    assert client.get_run(mlflow_run).data.tags["decision"] == "not better"
    description = client.get_model_version(client.name, wrong).description
    assert f"**Not better**, compared with version {old}:" in description
    assert "- minimum precision: **failed**. precision 0.000 (0 of 8)" in description
    assert any("precision 0.000 (0 of 8), at least 0.700" in reason for reason in failed_rules(lake, RUN))
    assert f"against version {old}" in last_rule(decision)
    assert champion_version(client) == old


def test_the_first_decision_stands_whatever_changes_later(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, old: str, new: str, wrong: str
) -> None:
    evaluated(new)
    first = compare_and_decide(lake)
    promote(client, old, replaces=None)
    evaluated(wrong)
    assert compare_and_decide(lake) == first


def test_of_two_gates_at_once_the_first_to_write_decides(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated(new)
    first = Decision(False, new, None, (Rule("by a twin", False, "it came first"),))
    exists = lake.exists

    def twin_writes(key: str) -> bool:
        found = exists(key)
        if not found and key.endswith("decision.json"):
            lake.create(key, to_json(asdict(first)))
        return found

    monkeypatch.setattr(type(lake), "exists", lambda _, key: twin_writes(key))
    assert compare_and_decide(lake) == first


def test_after_a_kill_between_decision_and_mlflow_the_next_try_completes(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, mlflow_run: str, new: str
) -> None:
    evaluated(new)
    write_decision(lake, new, None)
    compare_and_decide(lake)
    assert client.get_run(mlflow_run).data.tags["decision"] == "better"
    assert lake.exists(layout.LATEST_RUN)


DAMAGED = pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (register_garbage, "is no whole .keras archive"),
        (register_tampered, "have the sum"),
        (register_of_older_contract, f"follows contract 3, and this code {CONTRACT}: run retrain once"),
        (register_of_another_question, "answers another question than 'Are you a cat?': run retrain once"),
    ],
    ids=["unloadable", "tampered", "older", "another question"],
)


@DAMAGED
def test_a_champion_that_cannot_be_trusted_does_not_block(
    client: Mlflow,
    lake: LocalStore,
    evaluated: Evaluated,
    mlflow_run: str,
    new: str,
    wrong: str,
    tmp_path: Path,
    damaged: Callable[[Mlflow, str, Path], str],
    reason: str,
) -> None:
    champion = damaged(client, mlflow_run, tmp_path)
    promote(client, champion, replaces=None)
    evaluated(new)
    decision = compare_and_decide(lake)
    assert decision.better
    assert decision.predecessor == champion
    assert f"version {champion} cannot be compared with" in last_rule(decision)
    assert reason in last_rule(decision)


@DAMAGED
def test_a_challenger_that_cannot_be_trusted_is_not_better(
    client: Mlflow,
    lake: LocalStore,
    evaluated: Evaluated,
    mlflow_run: str,
    old: str,
    tmp_path: Path,
    damaged: Callable[[Mlflow, str, Path], str],
    reason: str,
) -> None:
    promote(client, old, replaces=None)
    evaluated(damaged(client, mlflow_run, tmp_path))
    decision = compare_and_decide(lake)
    assert not decision.better
    assert reason in last_rule(decision)
    assert champion_version(client) == old


def test_without_a_champion_that_was_deleted_only_the_floors_count(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, new: str
) -> None:
    gone = add_version(run="gone")
    promote(client, gone, replaces=None)
    client.delete_model_version(client.name, gone)
    evaluated(new)
    decision = compare_and_decide(lake)
    assert decision.better
    assert decision.predecessor is None
    assert "floors only" in last_rule(decision)


def test_a_challenger_that_is_champion_already_is_compared_with_what_it_replaced(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, old: str, new: str
) -> None:
    promote(client, old, replaces=None)
    promote(client, new, replaces=old)
    evaluated(new)
    decision = compare_and_decide(lake)
    assert decision.predecessor == old
    assert f"against version {old}" in last_rule(decision)
