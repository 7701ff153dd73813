"""The alias that moves to the challenger, or back, against a real registry and a stand-in for the model server."""

from typing import Any
from uuid import uuid4

import pytest

from include.errors import ModelError, NotDeployed, TransientError
from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.promotion import deploy
from include.promotion.close_calls import failed_rules, take_answer
from include.promotion.comparison import read_decision
from include.promotion.gate_words import describe_run
from include.records import KEEP, PROMOTE, Answer, CloseCalls, ModelVersion
from include.registry.versions import ALIAS, champion_version, predecessor_of, promote, reference_version, set_reference
from include.settings import Settings
from include.training.mlflow_runs import Mlflow, connect
from tests.models import add_version
from tests.promotion.conftest import RUN, LiveStandIn, killed_at, write_decision

GOOD_ENOUGH = "Version {} reaches the floors; there is no model to compare it with. It is promoted."


def redeploy(lake: ObjectStore) -> dict[str, str | None]:
    return deploy.redeploy(lake, RUN, Settings())


def test_the_first_model_becomes_champion_and_replaces_none(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, new: ModelVersion
) -> None:
    write_decision(lake, new, None)
    assert redeploy(lake) == {"version": new.number, "replaced": None, "decision": GOOD_ENOUGH.format(new)}
    assert champion_version(client) == new
    assert client.get_model_version(client.name, new.number).tags["replaces"] == ""
    assert predecessor_of(client, new) is None


def test_a_better_model_replaces_the_champion_and_records_it(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old)
    assert redeploy(lake)["replaced"] == old.number
    assert champion_version(client) == new
    assert predecessor_of(client, new) == old


def test_a_second_try_moves_nothing(
    client: Mlflow,
    live: LiveStandIn,
    lake: LocalStore,
    old: ModelVersion,
    new: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old)
    first = redeploy(lake)
    monkeypatch.setattr(deploy, "promote", None)  # a call fails
    assert redeploy(lake) == first
    assert (champion_version(client), predecessor_of(client, new)) == (new, old)


def test_a_model_that_is_not_better_is_not_deployed(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old, outcome="not better")
    with pytest.raises(ModelError, match=f"version {new} is not better: it is not deployed"):
        redeploy(lake)
    assert champion_version(client) == old


@pytest.mark.parametrize(
    ("close_calls", "answered", "message"),
    [
        ("keep", None, "is a close call: it is not deployed"),
        ("keep", True, "is a close call: it is not deployed"),
        ("promote", None, None),
        ("ask", None, "is a close call: it is not deployed"),
        ("ask", False, "is a close call \\(kept back by ann\\): it is not deployed"),
        ("ask", True, None),
    ],
)
def test_a_close_call_is_deployed_by_setting_or_by_a_person(
    client: Mlflow,
    live: LiveStandIn,
    lake: LocalStore,
    old: ModelVersion,
    new: ModelVersion,
    close_calls: CloseCalls,
    answered: bool | None,
    message: str | None,
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old, outcome="close call", close_calls=close_calls)
    if answered is not None:
        answer(lake, promote=answered)
    if message is None:
        assert redeploy(lake)["version"] == new.number
        return
    with pytest.raises(ModelError, match=f"version {new} {message}"):
        redeploy(lake)
    assert champion_version(client) == old


def test_an_answer_about_another_challenger_lets_none_serve(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion, other: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, other, old, outcome="close call", close_calls="ask")
    answer(lake, promote=True)
    write_decision(lake, new, old, outcome="close call", close_calls="ask")
    with pytest.raises(ModelError, match="is a close call: it is not deployed"):
        redeploy(lake)


def test_an_answer_after_the_champion_moved_on_does_not_count(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion, other: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, other.number)
    write_decision(lake, new, old, outcome="close call", close_calls="ask")
    given = answer(lake, promote=True)
    assert (given.promote, given.counts) == (True, False)
    told = "ann promoted it, too late: the champion had moved on, and stays"
    assert client.get_model_version(client.name, new.number).tags["close_call"] == told
    said = describe_run(read_decision(lake, RUN), given)
    assert said.endswith(
        "Ann promoted it, too late: the champion had moved on, and stays. Reason: the lost photos are worse."
    )
    with pytest.raises(ModelError, match=told):
        redeploy(lake)
    assert champion_version(client) == other


def test_who_answered_and_why_stand_beside_the_version(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old, outcome="close call", close_calls="ask")
    answer(lake, promote=False)
    tags = client.get_model_version(client.name, new.number).tags
    assert (tags["close_call"], tags["close_call_why"]) == ("kept back by ann", "the lost photos are worse")
    assert failed_rules(lake, RUN)[-1] == "kept back by ann: the lost photos are worse"
    nobody: dict[str, Any] = {"chosen_options": [KEEP], "params_input": {}, "responded_by_user": None}
    decision, late = take_answer(lake, RUN, nobody, Settings())
    assert describe_run(decision, late).endswith("Nobody answered in time, so the champion stays.")


def answer(lake: ObjectStore, *, promote: bool) -> Answer:
    """As Airflow hands it over."""
    user = {"id": "7", "name": "ann"}
    chosen = [PROMOTE if promote else KEEP]
    given = {"chosen_options": chosen, "params_input": {"why": "the lost photos are worse"}, "responded_by_user": user}
    return take_answer(lake, RUN, given, Settings())[1]


def test_the_reference_is_set_once_the_version_serves(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old, next_reference=old)
    with killed_at(deploy, "set_reference"):
        redeploy(lake)
    assert reference_version(client) is None
    redeploy(lake)
    assert (champion_version(client), reference_version(client)) == (new, old)


@pytest.mark.parametrize("moved", ["by a person", "gone"])
def test_a_reference_that_moved_since_the_decision_stays(
    client: Mlflow,
    live: LiveStandIn,
    lake: LocalStore,
    old: ModelVersion,
    new: ModelVersion,
    other: ModelVersion,
    moved: str,
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    gone = ModelVersion(old.number, "of a registry before this one")
    write_decision(lake, new, old, next_reference=gone if moved == "gone" else new)
    if moved == "by a person":
        set_reference(client, other)
    redeploy(lake)
    assert champion_version(client) == new
    assert reference_version(client) == (other if moved == "by a person" else None)


def test_a_version_that_is_not_served_does_not_become_the_reference(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old)
    live.serves = old
    with pytest.raises(NotDeployed):
        redeploy(lake)
    assert reference_version(client) is None


@pytest.mark.parametrize("before", ["old", None], ids=["a predecessor", "first"])
def test_an_alias_that_moved_since_the_decision_stays(
    client: Mlflow,
    live: LiveStandIn,
    lake: LocalStore,
    old: ModelVersion,
    new: ModelVersion,
    other: ModelVersion,
    before: str | None,
) -> None:
    """It was moved by another run, by a person, or before a run is cleared weeks later."""
    predecessor = old if before else None
    write_decision(lake, new, predecessor)
    client.set_registered_model_alias(client.name, ALIAS, other.number)
    moved = f"moved from version {predecessor or 'none'} .*to {other} .*trigger retrain again"
    with pytest.raises(ModelError, match=moved):
        redeploy(lake)
    assert champion_version(client) == other


def test_a_removed_champion_is_not_put_back_by_an_old_run(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion
) -> None:
    write_decision(lake, new, old)
    with pytest.raises(ModelError, match=f"moved from version {old} .*to none"):
        redeploy(lake)
    assert champion_version(client) is None


def test_a_run_that_is_cleared_after_a_later_one_deploys_nothing(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion, other: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old)
    redeploy(lake)
    promote(client, other, replaces=new)
    with pytest.raises(ModelError, match="moved"):
        redeploy(lake)
    assert (champion_version(client), predecessor_of(client, other)) == (other, new)


@pytest.mark.parametrize("status", [200, 503], ids=["serves the old one", "has no model"])
def test_a_server_that_does_not_follow_has_its_champion_back(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion, status: int
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old)
    live.serves, live.status = old, status
    message = f"version {new} is not live: .*did not serve it in 1 s; `champion` is {old} now.*clear this task"
    with pytest.raises(NotDeployed, match=message) as raised:
        redeploy(lake)
    assert isinstance(raised.value, TransientError), "a retry may help"
    assert champion_version(client) == old


def test_a_rejection_ends_the_wait_and_is_an_error_of_the_model(
    client: Mlflow,
    live: LiveStandIn,
    lake: LocalStore,
    old: ModelVersion,
    new: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CAT_DEPLOY_TIMEOUT_SECONDS", "3600")
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old)
    live.serves, live.rejected = old, {new: "another sum"}
    with pytest.raises(ModelError, match=f"the model server rejects it: another sum; `champion` is {old} now"):
        redeploy(lake)
    assert champion_version(client) == old


def test_a_rejection_of_another_version_is_none_of_this_one(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old)
    live.rejected = {old: "another sum"}
    assert redeploy(lake)["version"] == new.number


def test_after_a_rejection_the_version_may_be_mended_and_the_task_cleared(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old)
    live.serves, live.rejected = old, {new: "another sum"}
    with pytest.raises(ModelError):
        redeploy(lake)
    live.serves, live.rejected = None, {}
    assert redeploy(lake)["version"] == new.number


def test_where_there_was_no_champion_there_is_none_again(
    client: Mlflow,
    live: LiveStandIn,
    lake: LocalStore,
    old: ModelVersion,
    new: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_decision(lake, new, None)
    monkeypatch.setenv("CAT_SERVER_URL", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(NotDeployed, match="`champion` is none now"):
        redeploy(lake)
    assert champion_version(client) is None


def test_an_alias_that_moves_on_during_the_wait_is_not_put_back(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion, other: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old)
    live.serves = old
    live.when_polled = lambda: client.set_registered_model_alias(client.name, ALIAS, other.number)
    with pytest.raises(NotDeployed, match=f"version {new} is not live.*`champion` is {other}"):
        redeploy(lake)
    assert champion_version(client) == other


def test_after_a_roll_back_the_task_may_be_cleared(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old)
    live.serves = old
    with pytest.raises(NotDeployed):
        redeploy(lake)
    live.serves = None
    assert redeploy(lake)["version"] == new.number
    assert champion_version(client) == new


@pytest.fixture
def made_anew(client: Mlflow, live: LiveStandIn, monkeypatch: pytest.MonkeyPatch) -> tuple[ModelVersion, ModelVersion]:
    """Version 1 of a registered model that was deleted, and version 1 of the same model made anew."""
    monkeypatch.setenv("CAT_QUESTION__NAME", f"deleted-{uuid4().hex[:8]}")
    live.client = connect(Settings())
    first = add_version(run="before")
    live.client.delete_registered_model(live.client.name)
    second = add_version(run="after")
    assert first.number == second.number == "1"
    assert first.sha256 != second.sha256
    return first, second


def test_a_server_that_serves_another_version_of_the_same_number_is_not_taken_for_the_new_one(
    made_anew: tuple[ModelVersion, ModelVersion], live: LiveStandIn, lake: LocalStore
) -> None:
    before, after = made_anew
    write_decision(lake, after, None)
    live.serves = before
    with pytest.raises(NotDeployed, match="version 1 is not live"):
        redeploy(lake)
    live.serves = None
    assert redeploy(lake)["version"] == "1"


@pytest.mark.parametrize("champion", [True, False], ids=["champion", "no champion"])
def test_a_decision_about_a_version_that_is_gone_deploys_none_of_its_number(
    made_anew: tuple[ModelVersion, ModelVersion], live: LiveStandIn, lake: LocalStore, champion: bool
) -> None:
    before, after = made_anew
    if champion:
        promote(live.client, after, replaces=None)
    write_decision(lake, before, None)
    with pytest.raises(ModelError, match="trigger retrain again"):
        redeploy(lake)
    assert champion_version(live.client) == (after if champion else None)


def test_after_a_kill_between_tag_and_alias_the_next_try_completes(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old)
    with killed_at(Mlflow, "set_registered_model_alias"):
        redeploy(lake)
    assert (champion_version(client), predecessor_of(client, new)) == (old, old)
    assert redeploy(lake)["replaced"] == old.number
    assert champion_version(client) == new


def test_after_a_kill_before_the_server_confirmed_the_next_try_completes(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old)
    with killed_at(deploy, "wait_for_server"):
        redeploy(lake)
    assert champion_version(client) == new
    assert redeploy(lake)["replaced"] == old.number


def test_after_a_kill_before_the_roll_back_the_next_try_rolls_back(
    client: Mlflow, live: LiveStandIn, lake: LocalStore, old: ModelVersion, new: ModelVersion
) -> None:
    client.set_registered_model_alias(client.name, ALIAS, old.number)
    write_decision(lake, new, old)
    live.serves = old
    with killed_at(deploy, "roll_back_alias"):
        redeploy(lake)
    assert champion_version(client) == new
    with pytest.raises(NotDeployed, match=f"`champion` is {old} now"):
        redeploy(lake)
    assert champion_version(client) == old
