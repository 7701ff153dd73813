"""The last two steps of the loop against a real registry: the decision on record, and the alias that moves or not."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from include.errors import ModelError
from include.lake import layout
from include.lake.formats import read_json, to_json, write_json, write_table
from include.promotion import deploy as redeploying
from include.promotion.comparison import compare_and_decide, failed_rules, read_decision
from include.promotion.deploy import redeploy
from include.records import CONTRACT, Decision, DecisionRule, RetrainParams, Rule
from include.registry.versions import ALIAS, CONTRACT_TAG, MODEL, champion_version, predecessor_of, promote, register
from include.training.mlflow_runs import connect
from tests.models import add_version
from tests.pictures import plain
from tests.registry.test_versions import tamper

RUN = "manual__2026-01-01T00:00:00+00:00"
PARAMS = RetrainParams(images_per_source=10, epochs=1, min_precision=0.7, min_recall=0.7)


class LiveStandIn:
    """Plays the /live of a model server: one that follows the alias, or one that stays where it is.

    A real server needs a quarter of a minute to start and cannot be made not to follow; tests/serving has the real one.
    """

    def __init__(self) -> None:
        self.serves: str | None = None  # none: it follows the alias
        self.asked = lambda: None  # what happens in the world when it is asked
        self.status = 200
        self.refused: dict[str, str] = {}

    def version(self) -> str | None:
        return self.serves or champion_version(connect())


@contextmanager
def answering(live: LiveStandIn) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            live.asked()
            self.send_response(live.status)
            self.end_headers()
            self.wfile.write(json.dumps({"model_version": live.version(), "refused": live.refused}).encode())

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def client(mlflow_url, monkeypatch) -> Iterator[MlflowClient]:
    """The registry, without a champion before and after."""
    monkeypatch.setenv("CAT_MLFLOW_URL", mlflow_url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back after the test
    client = connect()
    forget_champion(client)
    yield client
    forget_champion(client)


def forget_champion(client: MlflowClient) -> None:
    if champion_version(client):
        client.delete_registered_model_alias(MODEL, ALIAS)


@pytest.fixture
def live(monkeypatch) -> Iterator[LiveStandIn]:
    """A model server that follows, until a test says otherwise."""
    live = LiveStandIn()
    with answering(live) as url:
        monkeypatch.setenv("CAT_SERVER_URL", url)
        monkeypatch.setenv("CAT_DEPLOY_TIMEOUT_SECONDS", "1.2")
        yield live


@pytest.fixture
def old(client) -> str:
    return add_version(run="old")


@pytest.fixture
def new(client) -> str:
    return add_version(run="new")


@pytest.fixture
def other(client) -> str:
    return add_version(run="other")


def decided(lake, challenger: str, predecessor: str | None, *, better: bool = True) -> None:
    """The gate's decision, as it lies in the lake."""
    decision = Decision(better, challenger, predecessor, (Rule("a rule", better, "by hand"),))
    write_json(lake, layout.run_json(RUN, "decision"), asdict(decision))


def test_the_first_model_becomes_champion_and_replaces_nobody(client, live, lake, new):
    decided(lake, new, None)
    assert redeploy(lake, RUN) == {"version": new, "replaced": None}
    assert champion_version(client) == new
    assert client.get_model_version(MODEL, new).tags["replaces"] == ""
    assert predecessor_of(client, new) is None


def test_a_better_model_replaces_the_champion_and_says_so(client, live, lake, old, new):
    client.set_registered_model_alias(MODEL, ALIAS, old)
    decided(lake, new, old)
    assert redeploy(lake, RUN) == {"version": new, "replaced": old}
    assert champion_version(client) == new
    assert predecessor_of(client, new) == old


def test_a_second_try_moves_nothing(client, live, lake, old, new, monkeypatch):
    client.set_registered_model_alias(MODEL, ALIAS, old)
    decided(lake, new, old)
    first = redeploy(lake, RUN)
    monkeypatch.setattr(redeploying, "promote", None)  # whoever calls it fails
    assert redeploy(lake, RUN) == first
    assert (champion_version(client), predecessor_of(client, new)) == (new, old)


def test_a_refused_model_is_not_deployed(client, live, lake, old, new):
    client.set_registered_model_alias(MODEL, ALIAS, old)
    decided(lake, new, old, better=False)
    with pytest.raises(ModelError, match=f"refused version {new}"):
        redeploy(lake, RUN)
    assert champion_version(client) == old


@pytest.mark.parametrize("before", ["old", None], ids=["a predecessor", "first"])
def test_an_alias_that_moved_since_the_decision_stays(client, live, lake, old, new, other, before):
    """Another run, a person, or a run that is cleared weeks later."""
    predecessor = old if before else None
    decided(lake, new, predecessor)
    client.set_registered_model_alias(MODEL, ALIAS, other)
    with pytest.raises(ModelError, match=f"moved from version {predecessor} to {other}.*trigger retrain anew"):
        redeploy(lake, RUN)
    assert champion_version(client) == other


def test_a_champion_that_was_taken_away_is_not_put_back_by_a_run_of_long_ago(client, live, lake, old, new):
    decided(lake, new, old)
    with pytest.raises(ModelError, match=f"moved from version {old} to None"):
        redeploy(lake, RUN)
    assert champion_version(client) is None


def test_a_run_cleared_after_others_came_refuses(client, live, lake, old, new, other):
    client.set_registered_model_alias(MODEL, ALIAS, old)
    decided(lake, new, old)
    redeploy(lake, RUN)
    promote(client, other, replaces=new)
    with pytest.raises(ModelError, match="moved"):
        redeploy(lake, RUN)
    assert (champion_version(client), predecessor_of(client, other)) == (other, new)


@pytest.mark.parametrize("status", [200, 503], ids=["serves the old one", "has no model"])
def test_a_server_that_does_not_follow_gets_its_champion_back(client, live, lake, old, new, status):
    client.set_registered_model_alias(MODEL, ALIAS, old)
    decided(lake, new, old)
    live.serves, live.status = old, status
    told = f"version {new} is not live: .*did not serve it within 1 .*`champion` is {old} now"
    with pytest.raises(ModelError, match=told):
        redeploy(lake, RUN)
    assert champion_version(client) == old


def test_a_server_that_refuses_is_not_waited_for(client, live, lake, old, new, monkeypatch):
    monkeypatch.setenv("CAT_DEPLOY_TIMEOUT_SECONDS", "3600")
    client.set_registered_model_alias(MODEL, ALIAS, old)
    decided(lake, new, old)
    live.serves, live.refused = old, {new: "another sum"}
    with pytest.raises(ModelError, match=f"refuses it: another sum; `champion` is {old} now"):
        redeploy(lake, RUN)


def test_where_there_was_no_champion_there_is_none_again(client, live, lake, old, new, monkeypatch):
    decided(lake, new, None)
    monkeypatch.setenv("CAT_SERVER_URL", "http://127.0.0.1:9")  # nobody answers
    with pytest.raises(ModelError, match="`champion` is nobody now"):
        redeploy(lake, RUN)
    assert champion_version(client) is None


def test_an_alias_that_moves_on_during_the_wait_is_not_put_back(client, live, lake, old, new, other):
    client.set_registered_model_alias(MODEL, ALIAS, old)
    decided(lake, new, old)
    live.serves = old
    live.asked = lambda: client.set_registered_model_alias(MODEL, ALIAS, other)
    with pytest.raises(ModelError, match=f"version {new} is not live.*`champion` is {other}"):
        redeploy(lake, RUN)
    assert champion_version(client) == other


def test_after_an_undo_the_task_may_be_cleared(client, live, lake, old, new):
    client.set_registered_model_alias(MODEL, ALIAS, old)
    decided(lake, new, old)
    live.serves = old
    with pytest.raises(ModelError):
        redeploy(lake, RUN)
    live.serves = None
    assert redeploy(lake, RUN)["version"] == new
    assert champion_version(client) == new


class Killed(BaseException):
    """Nothing catches it: what would have come after it never happens."""


def dies(*_, **__):
    raise Killed


def test_a_kill_between_tag_and_alias_is_made_good_by_the_next_try(client, live, lake, old, new, monkeypatch):
    client.set_registered_model_alias(MODEL, ALIAS, old)
    decided(lake, new, old)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", dies)
        with pytest.raises(Killed):
            redeploy(lake, RUN)
    assert (champion_version(client), predecessor_of(client, new)) == (old, old)
    assert redeploy(lake, RUN) == {"version": new, "replaced": old}
    assert champion_version(client) == new


def test_a_kill_before_the_server_confirmed_is_made_good_by_the_next_try(client, live, lake, old, new, monkeypatch):
    client.set_registered_model_alias(MODEL, ALIAS, old)
    decided(lake, new, old)
    with monkeypatch.context() as patch:
        patch.setattr(redeploying, "wait_for_server", dies)
        with pytest.raises(Killed):
            redeploy(lake, RUN)
    assert champion_version(client) == new
    assert redeploy(lake, RUN) == {"version": new, "replaced": old}


def test_a_kill_before_the_undo_is_undone_by_the_next_try(client, live, lake, old, new, monkeypatch):
    client.set_registered_model_alias(MODEL, ALIAS, old)
    decided(lake, new, old)
    live.serves = old
    with monkeypatch.context() as patch:
        patch.setattr(redeploying, "restore", dies)
        with pytest.raises(Killed):
            redeploy(lake, RUN)
    assert champion_version(client) == new
    with pytest.raises(ModelError, match=f"`champion` is {old} now"):
        redeploy(lake, RUN)
    assert champion_version(client) == old


# the gate's task: what is judged, and that the decision stands


@pytest.fixture
def mlflow_run(client) -> str:
    with mlflow.start_run() as active:
        return active.info.run_id


@pytest.fixture
def evaluated(lake, mlflow_run):
    """What the steps before leave in the lake: four red cats and eight others in blue, and a challenger."""

    def evaluated(version: str, *, network: str = "efficientnet_lite0") -> None:
        rows = []
        for number in range(12):
            is_cat = number < 4
            colour = (200 + number, 0, 0) if is_cat else (0, 0, 200 + number)
            key = layout.base("cats" if is_cat else "misc", f"{number:064x}")
            lake.write(key, plain(colour))
            label = "cat" if is_cat else "not_cat"
            rows.append({"key": key, "source": "base", "label": label, "split": "test"})
        write_table(lake, layout.manifest("d1"), pd.DataFrame(rows))
        base = {"average_precision": {"value": 0.912, "low": 0.8, "high": 1.0}}
        evaluation = {"version": version, "dataset": "d1", "mlflow_run": mlflow_run}
        evaluation |= {"network": network, "decision_rule": {"threshold": 0.5}, "slices": {"base": base}}
        write_json(lake, layout.run_json(RUN, "evaluation"), evaluation)
        write_json(lake, layout.run_json(RUN, "inputs"), {"input_digest": "abc"})

    return evaluated


@pytest.fixture
def wrong(client) -> str:
    """A version that calls everything a cat but what is red."""
    return add_version(run="wrong", sign=-1)


def last_rule(decision: Decision) -> str:
    return decision.rules[-1].reason


def test_the_decision_is_on_record_in_the_lake_and_in_mlflow(client, lake, evaluated, mlflow_run, new, tmp_path):
    evaluated(new)
    decision = compare_and_decide(lake, RUN, PARAMS)
    assert decision.better
    assert (decision.challenger, decision.predecessor) == (new, None)
    assert read_decision(lake, RUN) == decision
    logged = Path(client.download_artifacts(mlflow_run, "evaluation/decision.json", str(tmp_path)))
    assert Decision.of(json.loads(logged.read_text())) == decision
    assert client.get_run(mlflow_run).data.tags["decision"] == "better"
    assert read_json(lake, layout.LATEST_RUN) == {"run": layout.run_name(RUN), "input_digest": "abc"}
    told = client.get_model_version(MODEL, new).description
    assert "Trained on dataset `d1`; says cat from 0.5 on." in told
    assert "EfficientNet-Lite0" in told
    assert "Apache License 2.0" in told
    assert "| average precision | 0.912 | 0.800 to 1.000 |" in told
    assert "**Better**, judged against no champion:" in told
    assert "- minimum recall: passed. recall 1.000 (4 of 4)" in told
    assert "python -m include.promotion.console" in client.get_registered_model(MODEL).description


def test_a_model_from_scratch_names_no_backbone(client, lake, evaluated, new):
    evaluated(new, network="scratch")
    compare_and_decide(lake, RUN, PARAMS)
    told = client.get_model_version(MODEL, new).description
    assert "It was trained from nothing" in told
    assert "EfficientNet" not in told


def test_a_worse_model_is_refused_with_its_figures_and_the_champion_stays(
    client, lake, evaluated, mlflow_run, old, wrong
):
    promote(client, old, replaces=None)
    evaluated(wrong)
    decision = compare_and_decide(lake, RUN, PARAMS)
    assert not decision.better
    assert decision.predecessor == old
    assert client.get_run(mlflow_run).data.tags["decision"] == "refused"
    told = client.get_model_version(MODEL, wrong).description
    assert f"**Refused**, judged against version {old}:" in told
    assert "- minimum precision: **failed**. precision 0.000 (0 of 8)" in told
    assert any("precision 0.000 (0 of 8), at least 0.700" in reason for reason in failed_rules(lake, RUN))
    assert f"against version {old}" in last_rule(decision)
    assert champion_version(client) == old


def test_the_first_decision_stands_however_the_world_has_changed(client, lake, evaluated, old, new, wrong):
    evaluated(new)
    first = compare_and_decide(lake, RUN, PARAMS)
    promote(client, old, replaces=None)
    evaluated(wrong)
    assert compare_and_decide(lake, RUN, PARAMS) == first


def test_of_two_gates_side_by_side_the_first_to_write_decides(client, lake, evaluated, new, monkeypatch):
    evaluated(new)
    theirs = Decision(False, new, None, (Rule("by a twin", False, "it came first"),))
    exists = lake.exists

    def twin_writes(key: str) -> bool:
        found = exists(key)
        if not found and key.endswith("decision.json"):
            lake.create(key, to_json(asdict(theirs)))
        return found

    monkeypatch.setattr(type(lake), "exists", lambda _, key: twin_writes(key))
    assert compare_and_decide(lake, RUN, PARAMS) == theirs


def test_a_kill_between_decision_and_its_record_in_mlflow_is_made_good(client, lake, evaluated, mlflow_run, new):
    evaluated(new)
    decided(lake, new, None)
    compare_and_decide(lake, RUN, PARAMS)
    assert client.get_run(mlflow_run).data.tags["decision"] == "better"
    assert lake.exists(layout.LATEST_RUN)


def register_garbage(client: MlflowClient, mlflow_run: str, tmp_path: Path) -> str:
    """Registered as it is: the sum is right, and the network is no network."""
    (tmp_path / "network.keras").write_bytes(b"PK\x03\x04 half a file")
    where = {"run": f"garbage-{mlflow_run}", "mlflow_run": mlflow_run, "dataset": "d1"}
    return register(client, tmp_path / "network.keras", DecisionRule(0.5, 0.4, 0.6), **where)


def make_tampered(client: MlflowClient, mlflow_run: str, tmp_path: Path) -> str:
    version = add_version(run=f"tampered-{mlflow_run}")
    (tmp_path / "entry.py").write_text("raise SystemExit")
    tamper(client, version, tmp_path / "entry.py")
    return version


def of_an_older_release(client: MlflowClient, mlflow_run: str, tmp_path: Path) -> str:
    version = add_version(run=f"older-{mlflow_run}")
    client.set_model_version_tag(MODEL, version, CONTRACT_TAG, "2")
    return version


DAMAGED = pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (register_garbage, "is no whole .keras archive"),
        (make_tampered, "have the sum"),
        (of_an_older_release, f"follows contract 2, and this code {CONTRACT}: run retrain once"),
    ],
    ids=["unloadable", "tampered", "older"],
)


@DAMAGED
def test_a_damaged_champion_is_no_bar(client, lake, evaluated, mlflow_run, new, wrong, tmp_path, damaged, reason):
    champion = damaged(client, mlflow_run, tmp_path)
    promote(client, champion, replaces=None)
    evaluated(new)
    decision = compare_and_decide(lake, RUN, PARAMS)
    assert decision.better
    assert decision.predecessor == champion
    assert f"version {champion} cannot be compared with" in last_rule(decision)
    assert reason in last_rule(decision)


@DAMAGED
def test_a_damaged_challenger_is_refused(client, lake, evaluated, mlflow_run, old, tmp_path, damaged, reason):
    promote(client, old, replaces=None)
    evaluated(damaged(client, mlflow_run, tmp_path))
    decision = compare_and_decide(lake, RUN, PARAMS)
    assert not decision.better
    assert reason in last_rule(decision)
    assert champion_version(client) == old


def test_a_deleted_champion_leaves_the_floors(client, lake, evaluated, new):
    gone = add_version(run="gone")
    promote(client, gone, replaces=None)
    client.delete_model_version(MODEL, gone)
    evaluated(new)
    decision = compare_and_decide(lake, RUN, PARAMS)
    assert decision.better
    assert decision.predecessor is None
    assert "floors only" in last_rule(decision)


def test_a_challenger_that_is_champion_already_is_compared_with_what_it_replaced(client, lake, evaluated, old, new):
    promote(client, old, replaces=None)
    promote(client, new, replaces=old)
    evaluated(new)
    decision = compare_and_decide(lake, RUN, PARAMS)
    assert decision.predecessor == old
    assert f"against version {old}" in last_rule(decision)
