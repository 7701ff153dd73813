"""From the app to the dataset: it holds exactly what visitors were told."""

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from app import services
from include.dataset.manifest import read_manifest, read_report
from include.lake import layout
from include.lake.local import LocalStore
from include.records import UPLOADS
from include.settings import Policy
from include.status import Status
from tests.app.conftest import SCRIPT, forget_cached
from tests.app.stand_in import ModelServer
from tests.app.visitor import click, consent, send_all, show, words
from tests.dataset.test_steps import publish
from tests.pictures import drawing

SOURCES = ("cats", "dogs", "selfies", "cats", "misc") * 2
OPPOSITE = {
    "positive": {"is_positive": False, "probability": 0.04},
    "negative": {"is_positive": True, "probability": 0.96},
}


def label_of(source: str) -> str:
    return "positive" if source == "cats" else "negative"


@pytest.fixture
def model(base_lake: LocalStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """The app's page has this lake, and a model that is always wrong."""
    with ModelServer() as model:
        monkeypatch.setenv("CAT_LAKE_URL", f"file://{base_lake.root}")
        monkeypatch.setenv("CAT_SERVER_URL", model.url)
        forget_cached()
        yield model
        services.get_sender().stop()
        forget_cached()


@pytest.mark.slow
def test_ten_wrong_verdicts_are_learned_from_as_was_promised(base_lake: LocalStore, model: ModelServer) -> None:
    promised = dict[str, bool]()  # by photo id: whether it was said to train
    labels = dict[str, str]()
    tab, other_tab = (AppTest.from_file(SCRIPT, default_timeout=30) for _ in range(2))
    for number, source in enumerate(SOURCES):
        model.verdict |= OPPOSITE[label_of(source)]
        before = set(base_lake.keys(layout.FEEDBACK))
        click(consent(show(tab, drawing(source, 20_000 + number))), "Wrong")
        if number == 3:
            click(tab, "Neither")
            click(tab, "Wrong")
        send_all(base_lake)
        (key,) = set(base_lake.keys(layout.FEEDBACK)) - before
        promised[layout.photo_id_of(key)] = "next training uses them" in words(tab)
        labels[layout.photo_id_of(key)] = label_of(source)
    before = set(base_lake.keys(layout.FEEDBACK))
    click(consent(show(other_tab, drawing(SOURCES[-1], 20_000 + len(SOURCES) - 1))), "Wrong")  # the last one again
    send_all(base_lake)
    (twin,) = set(base_lake.keys(layout.FEEDBACK)) - before
    withdrawn = show(other_tab, drawing("dogs", 30_000))
    click(consent(withdrawn), "Wrong")
    click(withdrawn, "Undo")
    send_all(base_lake)

    digest = publish(base_lake, "r", Policy())

    statuses = {
        layout.photo_id_of(photo["key"]): photo["status"]
        for photo in read_report(base_lake, digest)["photos"]
        if photo["key"].startswith(layout.UPLOADS)
    }
    assert statuses.keys() == labels.keys() | {layout.photo_id_of(twin)}, "what was undone is not among them"
    one_of_two = {statuses[layout.photo_id_of(twin)], statuses[list(labels)[-1]]}
    expected = {True: {Status.USED}, False: {Status.UNREVIEWED_HOLDOUT}}
    for photo_id in list(labels)[:-1]:
        assert statuses[photo_id] in expected[promised[photo_id]]
    assert one_of_two == {Status.NEAR_DUPLICATE} | expected[promised[list(labels)[-1]]]
    assert set(promised.values()) == {True, False}

    manifest = read_manifest(base_lake, digest)
    used = manifest[manifest["source"] == UPLOADS]
    trained = [labels[photo_id] for photo_id, trains in promised.items() if trains]
    assert sorted(used["label"]) == sorted(trained)
