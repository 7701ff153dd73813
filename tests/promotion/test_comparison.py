"""The task of the gate, against a real registry: what is compared, and that the decision stands."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest

from include.dataset.manifest import MANIFEST
from include.dataset.publish import rules
from include.errors import BadRecord, DatasetError, ModelError
from include.ingestion.base_sets import claim_lake
from include.ingestion.snapshot import anything_new, snapshot_base, snapshot_uploads
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import json_sha256, read_json, read_table, to_json, write_json, write_table
from include.lake.local import LocalStore
from include.params import RetrainParams
from include.promotion import comparison
from include.promotion.cleared import check_champion_unmoved
from include.promotion.close_calls import failed_rules
from include.promotion.comparison import read_decision
from include.question import NEGATIVE, POSITIVE
from include.records import CONTRACT, Cost, Decision, ModelVersion
from include.registry.versions import champion_version, promote, set_reference, tag_version
from include.settings import Policy, Quality, Settings
from include.status import Status
from include.training.fingerprint import training_digest
from include.training.hyperparameters import Hyperparameters
from include.training.mlflow_runs import MADE_FROM_TAG, Mlflow
from include.training.run_results import keep_version
from tests.models import add_version
from tests.pictures import plain
from tests.promotion.conftest import (
    RUN,
    decided,
    killed_at,
    register_garbage,
    register_of_another_question,
    register_of_older_contract,
    register_tampered,
)

PARAMS = RetrainParams(images_per_source=10, epochs=1, min_precision=0.7, min_recall=0.7)
Evaluated = Callable[..., None]


def compare_and_decide(lake: ObjectStore) -> Decision:
    return comparison.compare_and_decide(lake, RUN, PARAMS, Settings())


def freeze(lake: ObjectStore, run: str) -> None:
    snapshot_base(lake, run, Settings().question)
    snapshot_uploads(lake, run)


@pytest.fixture(autouse=True)
def costs(monkeypatch: pytest.MonkeyPatch) -> list[Cost]:
    """Stands in for two processes that load TensorFlow, ten seconds a case; tests/promotion/test_costs.py has them."""
    costs = [Cost(0.02, 10**9), Cost(0.02, 10**9)]
    monkeypatch.setattr(comparison, "measure_costs", lambda packages, photos: costs)
    return costs


@pytest.fixture
def evaluated(client: Mlflow, lake: LocalStore, mlflow_run: str) -> Evaluated:
    """What earlier tasks write: four red positive photos, eight blue negative ones, and a challenger."""

    def evaluated(version: ModelVersion, *, network: str = "efficientnet_lite0") -> None:
        rows = []
        for number in range(12):
            positive = number < 4
            source, name = "cats" if positive else "misc", f"{number:064x}"
            key = layout.base(source, name)
            lake.write(key, plain((200 + number, 0, 0) if positive else (0, 0, 200 + number)))
            label = POSITIVE if positive else NEGATIVE
            rows.append({"key": key, "sha256": name, "source": source, "class_name": source, "label": label})
        photos = pd.DataFrame(rows).assign(split="test", label_origin="source", weight=1.0, cluster="one")
        write_table(lake, layout.manifest("d1"), photos[MANIFEST])
        write_table(lake, layout.run_page(RUN, "statuses.parquet"), photos.assign(status=Status.USED))
        facts = {"width": 64, "height": 64, "brightness": 0.5, "sharpness": 9.0}
        write_table(lake, layout.base_facts(layout.members_of(photos["key"])), photos[["key"]].assign(**facts))
        base = {"average_precision": {"value": 0.912, "low": 0.8, "high": 1.0}}
        evaluation: dict[str, object] = {"dataset": "d1", "mlflow_run": mlflow_run, "network": network}
        evaluation |= {"decision_rule": {"threshold": 0.5}, "slices": {"base": base}}
        write_json(lake, layout.run_evaluation(RUN), evaluation)
        keep_version(lake, RUN, version, evaluation)
        freeze(lake, RUN)

    settings = Settings()
    claim_lake(lake, settings)
    published = {"digest": "d1", "run": RUN, "crowds": [{"photos": 60, "stay": 1}]}
    write_json(lake, layout.run_dataset(RUN), published | rules(settings, PARAMS.images_per_source))
    made_from = training_digest("d1", Hyperparameters(), PARAMS, settings)
    client.set_tag(mlflow_run, MADE_FROM_TAG, made_from)
    return evaluated


@pytest.fixture
def wrong(client: Mlflow) -> ModelVersion:
    """A version that predicts positive for all photos but red ones."""
    return add_version(run="wrong", sign=-1)


def reason_of(decision: Decision, rule: str) -> str:
    return next(found.reason for found in decision.rules if found.name == rule)


def test_the_decision_is_recorded_in_the_lake_and_in_mlflow(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, mlflow_run: str, new: ModelVersion, tmp_path: Path
) -> None:
    evaluated(new)
    decision = compare_and_decide(lake)
    assert decision.outcome == "better"
    assert (decision.challenger, decision.predecessor) == (new, None)
    assert read_decision(lake, RUN) == decision
    logged = Path(client.download_artifacts(mlflow_run, "evaluation/decision.json", str(tmp_path)))
    assert Decision.of(json.loads(logged.read_text())) == decision
    assert client.get_run(mlflow_run).data.tags["decision"] == "better"
    assert read_json(lake, layout.LATEST_RUN)["run"] == RUN
    freeze(lake, "next")
    assert not anything_new(lake, "next", PARAMS, Settings()), "these photos are judged"
    description = client.get_model_version(client.name, new.number).description
    assert "Trained on dataset `d1`; decision threshold 0.5." in description
    assert "EfficientNet-Lite0" in description
    assert "Apache License 2.0" in description
    assert "| average precision | 0.912 | 0.800 to 1.000 |" in description
    assert "**Version" in description
    assert "no model to compare it with.**" in description
    assert f"runs/{mlflow_run}/artifacts/evaluation/decision.html" in description
    assert "- minimum recall: passed. recall 1.000 (4 of 4)" in description
    assert "cat-retrain promote VERSION" in client.get_registered_model(client.name).description


def test_the_gate_says_what_a_crowd_counts_as(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, new: ModelVersion
) -> None:
    evaluated(new)
    first = compare_and_decide(lake).rules[0]
    assert (first.name, first.result) == ("each picture is on one split", "passed")
    assert first.reason.endswith("crowds: 1, their 60 photos count as 1")


def test_a_picture_on_two_splits_makes_no_model_better(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, new: ModelVersion
) -> None:
    evaluated(new)
    key = layout.run_page(RUN, "statuses.parquet")
    photos = read_table(lake, key)
    twin = photos.iloc[:1].assign(key=layout.base("cats", "f" * 64), split="train")
    write_table(lake, key, pd.concat([photos, twin]))
    decision = compare_and_decide(lake)
    assert decision.outcome == "not better"
    assert "on more than one split: 1; the first, one, is on test and train" in decision.rules[0].reason


def test_a_model_from_scratch_names_no_backbone(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, new: ModelVersion
) -> None:
    evaluated(new, network="scratch")
    compare_and_decide(lake)
    description = client.get_model_version(client.name, new.number).description
    assert "It was trained from nothing" in description
    assert "EfficientNet" not in description


def test_a_worse_model_is_not_better_and_the_champion_stays(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, mlflow_run: str, old: ModelVersion, wrong: ModelVersion
) -> None:
    promote(client, old, replaces=None)
    evaluated(wrong)
    decision = compare_and_decide(lake)
    assert decision.outcome == "not better"
    assert decision.predecessor == old
    assert client.get_run(mlflow_run).data.tags["decision"] == "not better"
    description = client.get_model_version(client.name, wrong.number).description
    assert f"**Version {wrong} is not better. minimum precision: precision 0.000 (0 of 8)" in description
    assert "- minimum precision: **failed**. precision 0.000 (0 of 8)" in description
    assert any("precision 0.000 (0 of 8), at least 0.700" in reason for reason in failed_rules(lake, RUN))
    assert f"per 1,000 photos than version {old}" in reason_of(decision, "not worse than the champion")
    assert champion_version(client) == old


def test_champion_and_reference_are_two_comparisons(
    client: Mlflow,
    lake: LocalStore,
    evaluated: Evaluated,
    old: ModelVersion,
    new: ModelVersion,
    other: ModelVersion,
    costs: list[Cost],
) -> None:
    promote(client, old, replaces=None)
    set_reference(client, other)
    costs[0] = Cost(0.05, 10**9)  # the challenger's comes first
    evaluated(new)
    decision = compare_and_decide(lake)
    assert [(each.role, each.against) for each in decision.comparisons] == [("champion", old), ("reference", other)]
    assert (decision.predecessor, decision.reference, decision.next_reference) == (old, other, other)
    assert [rule.name for rule in decision.rules if rule.result == "failed"] == ["as fast as the champion"]
    assert "within 50 ms, with version" in reason_of(decision, "as fast as the champion")
    tags = client.get_model_version(client.name, new.number).tags
    assert tags["difference"].startswith("+0.0 (-")


def test_a_cleared_run_whose_challenger_is_the_reference_leaves_it_so(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, old: ModelVersion, new: ModelVersion
) -> None:
    promote(client, old, replaces=None)
    promote(client, new, replaces=old)
    set_reference(client, new)
    evaluated(new)
    decision = compare_and_decide(lake)
    assert (decision.predecessor, decision.next_reference) == (old, new)


def test_the_page_of_the_decision_is_that_of_the_one_that_stands(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, mlflow_run: str, new: ModelVersion, tmp_path: Path
) -> None:
    evaluated(new)
    compare_and_decide(lake)
    page = lake.read(layout.run_page(RUN, "decision.html")).decode()
    logged = Path(client.download_artifacts(mlflow_run, "evaluation/decision.html", str(tmp_path)))
    assert logged.read_text() == page
    assert f"The gate let version {new} serve" in page


def test_tags_of_an_earlier_decision_go(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, new: ModelVersion
) -> None:
    tag_version(client, new, {"close_call": "kept back by ann", "close_call_why": "-", "difference": "-1"})
    evaluated(new)
    compare_and_decide(lake)
    tags = client.get_model_version(client.name, new.number).tags
    assert {"close_call", "close_call_why", "difference"} & set(tags) == set()
    assert tags["decision"] == "better"


def test_the_first_decision_about_a_version_stands_whoever_is_champion_later(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, old: ModelVersion, new: ModelVersion
) -> None:
    evaluated(new)
    first = compare_and_decide(lake)
    for champion in (old, new):
        promote(client, champion, replaces=None)
        assert compare_and_decide(lake) == first


def test_another_version_of_a_cleared_run_is_decided_anew(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, mlflow_run: str, new: ModelVersion, wrong: ModelVersion
) -> None:
    evaluated(new)
    first = compare_and_decide(lake)
    evaluated(wrong)
    assert compare_and_decide(lake).outcome == "not better"
    assert read_decision(lake, RUN).challenger == wrong
    assert client.get_run(mlflow_run).data.tags["decision"] == "not better"
    evaluated(new)
    assert compare_and_decide(lake) == first == read_decision(lake, RUN)
    assert sum(key.endswith(".json") for key in lake.keys(layout.of_run(RUN) + "decisions/")) == 2


def test_a_decision_of_older_code_is_refused_with_the_cure(lake: LocalStore) -> None:
    older = {"better": True, "challenger": "2", "predecessor": "1", "rules": []}
    write_json(lake, layout.run_decision(RUN), older)
    with pytest.raises(BadRecord, match="decided by an older version of this code: trigger retrain again"):
        check_champion_unmoved(lake, RUN, Settings())


def test_other_floors_decide_anew(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, old: ModelVersion, wrong: ModelVersion
) -> None:
    evaluated(wrong)
    assert compare_and_decide(lake).outcome == "not better"
    low = replace(PARAMS, min_precision=0.0, min_recall=0.0)
    assert comparison.compare_and_decide(lake, RUN, low, Settings()).outcome == "better"


def test_a_version_of_another_evaluation_is_not_decided_about(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, new: ModelVersion
) -> None:
    evaluated(new)
    evaluation = read_json(lake, layout.run_evaluation(RUN))
    write_json(lake, layout.run_evaluation(RUN), evaluation | {"decision_rule": {"threshold": 0.9}})
    with pytest.raises(DatasetError, match=f"version {new} was registered from another .*clear the task register"):
        compare_and_decide(lake)
    assert not lake.exists(layout.run_decision(RUN))


@pytest.mark.parametrize(
    ("params", "settings"),
    [
        (PARAMS, Settings(l2_penalty=0.5)),
        (PARAMS, Settings(policy=Policy(quality=Quality(min_side=33)))),
        (replace(PARAMS, images_per_source=11), Settings()),
        (replace(PARAMS, epochs=2), Settings()),
    ],
    ids=["recipe", "policy", "photos", "epochs"],
)
def test_what_was_made_by_other_settings_does_not_count_as_judged(
    client: Mlflow,
    lake: LocalStore,
    evaluated: Evaluated,
    new: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
    params: RetrainParams,
    settings: Settings,
) -> None:
    """Settings changed in the middle of a run: the next one must train."""
    evaluated(new)
    there = Settings()
    settings = settings.model_copy(update={"mlflow_url": there.mlflow_url})
    assert comparison.compare_and_decide(lake, RUN, params, settings).outcome == "better"
    assert not lake.exists(layout.LATEST_RUN)


def test_of_two_gates_at_once_the_first_to_write_decides(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, new: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated(new)
    first = decided(new, None, outcome="not better")
    page = layout.decision_page(RUN, json_sha256(asdict(first)))
    exists = lake.exists

    def twin_writes(key: str) -> bool:
        found = exists(key)
        if not found and "/decisions/" in key:
            lake.write(page, b"the twin's page")
            lake.create(key, to_json(asdict(first)))
        return found

    monkeypatch.setattr(type(lake), "exists", lambda _, key: twin_writes(key))
    assert compare_and_decide(lake) == first
    assert lake.read(layout.run_page(RUN, "decision.html")) == b"the twin's page"


def test_after_a_kill_between_decision_and_mlflow_the_next_try_completes(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, mlflow_run: str, new: ModelVersion
) -> None:
    evaluated(new)
    with killed_at(comparison, "publish_decision"):
        compare_and_decide(lake)
    assert not lake.exists(layout.LATEST_RUN)
    assert compare_and_decide(lake) == read_decision(lake, RUN)
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
    new: ModelVersion,
    wrong: ModelVersion,
    tmp_path: Path,
    damaged: Callable[[Mlflow, str, Path], ModelVersion],
    reason: str,
) -> None:
    champion = damaged(client, mlflow_run, tmp_path)
    promote(client, champion, replaces=None)
    evaluated(new)
    decision = compare_and_decide(lake)
    assert decision.outcome == "better"
    assert decision.predecessor == champion
    assert f"version {champion} cannot be compared with" in reason_of(decision, "not worse than the champion")
    assert reason in reason_of(decision, "not worse than the champion")


@DAMAGED
def test_a_challenger_that_cannot_be_trusted_is_not_better(
    client: Mlflow,
    lake: LocalStore,
    evaluated: Evaluated,
    mlflow_run: str,
    old: ModelVersion,
    tmp_path: Path,
    damaged: Callable[[Mlflow, str, Path], ModelVersion],
    reason: str,
) -> None:
    promote(client, old, replaces=None)
    evaluated(damaged(client, mlflow_run, tmp_path))
    decision = compare_and_decide(lake)
    assert decision.outcome == "not better"
    assert reason in reason_of(decision, "challenger scores every photo")
    assert champion_version(client) == old


def test_without_a_champion_that_was_deleted_only_the_floors_count(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, new: ModelVersion
) -> None:
    gone = add_version(run="gone")
    promote(client, gone, replaces=None)
    client.delete_model_version(client.name, gone.number)
    evaluated(new)
    decision = compare_and_decide(lake)
    assert decision.outcome == "better"
    assert decision.predecessor is None
    assert reason_of(decision, "not worse than the champion") == "there is no champion yet"


def test_a_challenger_that_is_champion_already_is_compared_with_what_it_replaced(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, old: ModelVersion, new: ModelVersion
) -> None:
    promote(client, old, replaces=None)
    promote(client, new, replaces=old)
    evaluated(new)
    decision = compare_and_decide(lake)
    assert decision.predecessor == old
    assert f"per 1,000 photos than version {old}" in reason_of(decision, "not worse than the champion")


def test_a_cleared_run_is_refused_once_the_champion_has_moved_on(
    client: Mlflow, lake: LocalStore, evaluated: Evaluated, old: ModelVersion, new: ModelVersion, wrong: ModelVersion
) -> None:
    promote(client, old, replaces=None)
    check_champion_unmoved(lake, RUN, Settings())  # the gate has not decided it
    evaluated(new)
    compare_and_decide(lake)
    for champion in (old, new):
        promote(client, champion, replaces=None)
        check_champion_unmoved(lake, RUN, Settings())
    promote(client, wrong, replaces=new)
    with pytest.raises(
        ModelError, match=f"about version {new}, and .*moved on to {wrong} since: trigger retrain again"
    ):
        check_champion_unmoved(lake, RUN, Settings())
