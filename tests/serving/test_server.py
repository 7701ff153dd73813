"""The model server as a real process beside a real registry; both are killed and started again."""

import base64
import http.client
import json
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest
from PIL import Image

from include.errors import ServerError
from include.records import DecisionRule
from include.registry.package import COLUMNS
from include.registry.versions import find_version, register
from include.serving import client
from include.settings import Settings
from tests.pictures import plain
from tests.registry.test_versions import tamper
from tests.serving.conftest import Served
from tests.waiting import until

DOCUMENT = b"%PDF-1.7 a document"
JSON = {"content-type": "application/json"}
RED, BLUE = plain("red"), plain("blue")


def protocol(*photos: bytes) -> dict:
    rows = [[base64.b64encode(photo).decode()] for photo in photos]
    return {"dataframe_split": {"columns": ["image"], "data": rows}}


def post(served: Served, *, headers: dict[str, str] = JSON, **body) -> httpx.Response:
    return httpx.post(f"{served.url}/invocations", timeout=60, headers=headers, **body)


def test_before_the_first_champion_it_is_up_and_says_that_it_has_no_model(served: Served) -> None:
    assert served.at_first["/ping"].status_code == served.at_first["/version"].status_code == 200
    for path in ("/live", "/invocations"):
        assert served.at_first[path].status_code == 503
        assert served.at_first[path].json()["error"] == "no model yet"


def test_it_follows_the_alias_and_reports_what_it_serves(served: Served, red: str, blue: str) -> None:
    for version, dataset in ((red, "dataset-red"), (blue, "dataset-blue")):
        served.serve(version)
        live = served.live()
        assert (live["model_version"], live["dataset"]) == (version, dataset)
        assert datetime.fromisoformat(live["since"]).tzinfo
        assert client.live(served.url) == live


def test_an_answer_has_all_columns_and_names_its_version(served: Served, champion: str) -> None:
    answer = post(served, json=protocol(RED))
    (row,) = answer.json()["predictions"]
    assert list(row) == COLUMNS
    assert row["probability"] > 0.9
    assert (row["is_positive"], row["unsure"], row["threshold"], row["error"]) == (True, False, 0.5, None)
    assert row["model_version"] == answer.headers["X-Model-Version"] == champion


def _logged(served: Served, line: str) -> bool:
    return line in served.model.output


def test_a_request_leaves_its_id_in_the_log(served: Served, champion: str) -> None:
    for name, status in (("seen-by-both", 200), ("refused", 400)):
        body = protocol(RED) if status == 200 else {"nothing": 1}
        assert post(served, json=body, headers={"X-Request-ID": name}).status_code == status
        until(partial(_logged, served, f"request {name}: status {status}"))


def test_the_shares_of_all_sources_add_up(served: Served, champion: str) -> None:
    photo, document = served.predict(RED, DOCUMENT)
    assert photo.shares is not None
    assert len(photo.shares) == 4
    assert sum(photo.shares) == pytest.approx(1)
    assert photo.shares[0] == pytest.approx(photo.probability)
    assert document.shares is None


def test_the_rest_of_mlflows_protocol_is_understood_too(served: Served, champion: str) -> None:
    records = {"dataframe_records": [{"image": base64.b64encode(RED).decode()}]}
    assert post(served, json=records).json()["predictions"][0]["is_positive"] is True
    assert httpx.get(f"{served.url}/version").text == mlflow.__version__


def test_a_document_in_a_batch_fails_nobody_else(served: Served, champion: str) -> None:
    document, photo = served.predict(DOCUMENT, BLUE)
    assert document.probability is None
    assert str(document.error).startswith("not_an_image")
    assert (photo.is_positive, photo.error) == (False, None)
    assert {document.model_version, photo.model_version} == {champion}


UNREADABLE = {
    "garbage": {"content": b"{not json"},
    "no text": {"content": b"\xff\xfe\x00"},
    "a list": {"json": [1, 2]},
    "nothing": {"content": b""},
    "another key": {"json": {"photos": []}},
    "another column": {"json": {"dataframe_split": {"columns": ["photo"], "data": [["aGk="]]}}},
    "not base64": {"json": {"dataframe_split": {"columns": ["image"], "data": [["a"]]}}},
    "a number": {"json": {"dataframe_split": {"columns": ["image"], "data": [[5]]}}},
    "a ragged table": {"json": {"dataframe_split": {"columns": ["image"], "data": [["aGk=", "aGk="]]}}},
    "a picture": {"content": RED, "headers": {"content-type": "image/jpeg"}},
    "another charset": {"content": b"{}", "headers": {"content-type": "application/json; charset=latin-1"}},
    "a form": {"data": {"image": "aGk="}},
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_what_it_cannot_read_is_the_callers_fault_and_shows_nothing_of_the_inside(
    served: Served, champion: str, body: dict[str, Any]
) -> None:
    answer = post(served, **body)
    assert 400 <= answer.status_code < 500
    assert answer.headers["X-Model-Version"] == champion
    for inside in ("Traceback", 'File "', "stack_trace", "site-packages"):
        assert inside not in answer.text


def test_a_body_or_batch_beyond_the_limit_is_rejected(served: Served, champion: str) -> None:
    def in_parts() -> Iterator[bytes]:
        yield from [b"x" * 100_000] * 11

    for large in (
        post(served, content=b"x" * 1_000_001),
        post(served, content=in_parts()),
        post(served, json=protocol(*[RED] * 17)),
    ):
        assert large.status_code == 413
        assert large.headers["X-Model-Version"] == champion
    assert "1,000,000 bytes" in post(served, content=b"x" * 1_000_001).json()["error"]
    assert "17 photos at once; at most 16" in post(served, json=protocol(*[RED] * 17)).json()["error"]
    assert len(served.predict(*[RED] * 16)) == 16


def test_with_an_explanation_comes_a_picture_for_each_photo(served: Served, champion: str) -> None:
    red, document = client.predict(served.url, [RED, DOCUMENT], explain=True)
    assert red.explanation
    with Image.open(BytesIO(base64.b64decode(red.explanation))) as picture:
        assert picture.format == "PNG"
    assert document.explanation is None
    assert served.predict(RED)[0].explanation is None


def test_only_a_few_photos_are_explained_at_once(served: Served, champion: str) -> None:
    with pytest.raises(ServerError, match="5 photos to explain at once; at most 4"):
        client.predict(served.url, [RED] * 5, explain=True)
    assert post(served, json=protocol(RED) | {"params": {"explain": "loudly"}}).status_code == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_no_route_changes_the_model(served: Served, champion: str, method: str) -> None:
    for path in ("/", "/live", "/ping", "/version", "/metrics", "/models", "/reload", f"/models/{champion}"):
        assert httpx.request(method, served.url + path).status_code in (404, 405)
    if method != "POST":
        assert httpx.request(method, f"{served.url}/invocations").status_code == 405
    assert served.live()["model_version"] == champion


def test_requests_are_counted_by_status_and_version(served: Served, champion: str) -> None:
    def counted(status: int) -> float:
        wanted = f'cat_requests_total{{status="{status}",version="{champion}"}}'
        lines = httpx.get(f"{served.url}/metrics").text.splitlines()
        return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))

    good, bad = counted(200), counted(400)
    served.predict(RED)
    served.predict(RED, BLUE)
    post(served, content=b"{not json")
    assert (counted(200), counted(400)) == (good + 2, bad + 1)


def test_no_request_fails_while_the_champion_moves(served: Served, red: str, blue: str) -> None:
    """Each answer is wholly of one version: the one that it names."""
    served.serve(red)
    moved, body = threading.Event(), protocol(RED)

    def keep_asking(_: int) -> list[tuple[int, str, dict]]:
        answers: list[tuple[int, str, dict]] = []
        with httpx.Client(timeout=60) as connection:
            while len(answers) < 75 or not moved.is_set():
                answer = connection.post(f"{served.url}/invocations", json=body)
                answers.append((answer.status_code, answer.headers["X-Model-Version"], answer.json()))
        return answers

    with ThreadPoolExecutor(4) as pool:
        asked = pool.map(keep_asking, range(4))
        try:
            for version in (blue, red, blue, red, blue):
                served.serve(version)
        finally:
            moved.set()
        answers = [answer for of_one in asked for answer in of_one]
    assert len(answers) >= 300
    assert {status for status, _, _ in answers} == {200}
    rows = [
        (named, row["model_version"], row["is_positive"])
        for _, named, answer in answers
        for row in answer["predictions"]
    ]
    assert set(rows) == {(red, red, True), (blue, blue, False)}


def tampered(served: Served, tmp_path: Path) -> str:
    version = served.version("tampered")
    (tmp_path / "entry.py").write_text("raise SystemExit")
    tamper(served.client, find_version(served.client, version), tmp_path / "entry.py")
    return version


def of_unknown_contract(served: Served, _: Path) -> str:
    version = served.version("future")
    served.client.set_model_version_tag(served.client.name, version, "contract", "99")
    return version


def corrupt(served: Served, tmp_path: Path) -> str:
    """Registered as it is: its sum is right, and its network is no network."""
    (tmp_path / "network.keras").write_bytes(b"PK\x03\x04 half a file")
    with mlflow.start_run() as active:
        pass
    where = {"run": "corrupt", "mlflow_run": active.info.run_id, "dataset": "d"}
    rule, question = DecisionRule(0.5, 0.4, 0.6, (0,)), Settings().question
    return str(register(served.client, tmp_path / "network.keras", rule, question, **where))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (tampered, "have the sum"),
        (of_unknown_contract, "follows contract 99, and this code"),
        (corrupt, "no whole .keras"),
    ],
    ids=["tampered", "contract", "corrupt"],
)
def test_a_version_that_cannot_be_trusted_is_rejected_and_the_old_one_serves_on(
    served: Served, champion: str, tmp_path: Path, spoil: Callable[[Served, Path], str], reason: str
) -> None:
    spoiled = spoil(served, tmp_path)
    served.point(spoiled)
    until(lambda: served.sum_of(spoiled) in served.live()["rejected"])
    assert reason in served.live()["rejected"][served.sum_of(spoiled)]
    assert served.live()["model_version"] == champion
    assert served.predict(RED)[0].model_version == champion


def test_a_deleted_champion_serves_on(served: Served, champion: str) -> None:
    gone = served.version("gone")
    served.serve(gone)
    served.client.delete_model_version(served.client.name, gone)
    assert served.predict(RED)[0].model_version == gone
    served.serve(champion)


def test_an_alias_that_is_taken_away_changes_nothing(served: Served, champion: str) -> None:
    served.client.delete_registered_model_alias(served.client.name, "champion")
    assert served.predict(RED)[0].model_version == champion
    assert served.live()["model_version"] == champion


def test_it_outlives_mlflow_and_its_own_death_without_mlflow(served: Served, red: str, blue: str) -> None:
    served.serve(blue)
    served.mlflow.kill()
    until(lambda: "cannot load the champion now" in served.model.output)
    assert served.predict(RED)[0].model_version == blue

    served.model.kill()
    served.model.start()
    served.wait_for(blue)
    assert "serving the last good copy" in served.model.output
    assert (served.predict(RED)[0].model_version, served.live()["dataset"]) == (blue, "dataset-blue")

    served.mlflow.start()
    served.point(red)
    served.wait_for(red)
    assert served.predict(RED)[0].is_positive is True


def test_sigterm_lets_the_request_in_flight_end(served: Served, champion: str) -> None:
    body = json.dumps(protocol(RED)).encode()
    connection = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/invocations")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(len(body)))
    connection.putheader("expect", "100-continue")  # the server says when it began to read
    connection.endheaders(body[:0])
    assert connection.sock.recv(100).startswith(b"HTTP/1.1 100")
    connection.send(body[:50])
    process = served.model.process
    assert process
    process.send_signal(signal.SIGTERM)
    until(lambda: not served.model.answers())
    connection.send(body[50:])
    answer = connection.getresponse()
    assert answer.status == 200
    assert json.loads(answer.read())["predictions"][0]["model_version"] == champion
    assert process.wait(timeout=60) in (0, -signal.SIGTERM)
