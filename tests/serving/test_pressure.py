"""The model server under pressure: floods, slow clients, large pictures and restarts. Other clients are answered."""

import base64
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from PIL import Image

from include.errors import ServerBusy, ServerStarting
from include.serving import client
from tests.pictures import encode, plain
from tests.serving.conftest import LIMITS, Served, answer_with
from tests.serving.test_server import RED, post, protocol
from tests.waiting import until

LARGE = encode(Image.new("RGBA", (4000, 3500), (255, 0, 0, 255)), "PNG")  # 14 megapixels in 60 kB
BEGINNING = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@contextmanager
def connected(served: Served) -> Iterator[socket.socket]:
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        yield connection


def as_json(value: dict) -> bytes:
    return json.dumps(value).encode()


def read_all(connection: socket.socket) -> bytes:
    """Until the server closes the connection."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest.mark.parametrize("form", ["inputs", "instances"])
def test_a_form_that_hands_over_text_is_refused_with_the_cure(served: Served, champion: str, form: str) -> None:
    answer = post(served, json={form: [base64.b64encode(RED).decode()]})
    assert answer.status_code == 400
    assert "dataframe_split" in answer.json()["error"]


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}]
)
def test_a_page_of_another_site_cannot_post(served: Served, champion: str, headers: dict[str, str]) -> None:
    assert (
        post(served, headers=headers, content=httpx.Request("POST", "http://x", json=protocol(RED)).content).status_code
        == 415
    )
    asked_first = httpx.options(f"{served.url}/invocations", headers={"Origin": "http://evil.example"})
    assert asked_first.status_code == 405, "it allows no other site to send JSON"


def test_deeply_nested_json_is_the_callers_fault(served: Served, champion: str) -> None:
    before = served.model.output.count("Traceback")
    for depth in (200, 5_000, 400_000):
        assert post(served, content=b'{"a":' * min(depth, 190_000)).status_code in (400, 413)
    assert served.model.output.count("Traceback") == before


@pytest.mark.parametrize("sent", [b"", BEGINNING], ids=["nothing", "half of the headers"])
def test_headers_that_do_not_come_are_not_waited_for(served: Served, champion: str, sent: bytes) -> None:
    with connected(served) as slow:
        slow.sendall(sent)
        assert read_all(slow) == b""


def test_a_body_that_does_not_come_is_not_waited_for(served: Served, champion: str) -> None:
    with connected(served) as slow:
        slow.sendall(BEGINNING + b"Content-Length: 1000\r\nConnection: close\r\n\r\n{")
        assert read_all(slow).startswith(b"HTTP/1.1 408")


def test_connections_that_do_nothing_keep_nobody_out(served: Served, champion: str) -> None:
    with ExitStack() as stack:
        for _ in range(3 * int(LIMITS["CAT_LIMITS__CONNECTIONS"])):
            stack.enter_context(connected(served))
        assert served.predict(RED)[0].is_positive is True


def test_many_explanations_at_once_starve_no_verdict(served: Served, champion: str) -> None:
    """Those beyond what may wait are told when to come back, and our own client does."""
    explained = protocol(*[RED] * 4) | {"params": {"explain": True}}
    with ThreadPoolExecutor(14) as pool:
        flood = [pool.submit(post, served, json=explained) for _ in range(40)]
        verdicts = [pool.submit(post, served, json=protocol(RED)) for _ in range(20)]
        assert {each.result().status_code for each in verdicts} == {200}
        patient = pool.submit(client.predict, served.url, [RED], explain=True)
        answers = [each.result() for each in flood]
        assert patient.result()[0].explanation
    assert {answer.status_code for answer in answers} <= {200, 429}  # a fast machine may need to send nobody away
    assert {answer.headers.get("retry-after") for answer in answers if answer.status_code == 429} <= {"2"}


def test_who_cannot_wait_learns_that_the_server_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = httpx.Response(429, headers={"Retry-After": "2"}, json={"error": "too many verdicts at once"})
    answer_with(monkeypatch, busy)
    with pytest.raises(ServerBusy, match="too many verdicts at once.*try again in 2 s"):
        client.predict("http://x", [RED], patience=1)


def test_a_parameter_in_disguise_does_not_pass_into_the_lane_of_verdicts(served: Served, champion: str) -> None:
    plain_name = as_json(protocol(RED) | {"params": {"explain": True}})
    answer = post(served, content=plain_name.replace(b"explain", b"\\u0065xplain"))
    assert (answer.status_code, "plainly" in answer.text) == (400, True)


def test_a_large_picture_is_answered_beside_others(served: Served, champion: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        large = [pool.submit(post, served, json=protocol(LARGE, RED)) for _ in range(2)]
        small = [pool.submit(post, served, json=protocol(RED)) for _ in range(12)]
        rows = [row for each in (*large, *small) for row in each.result().json()["predictions"]]
    assert {(row["is_positive"], row["error"]) for row in rows} == {(True, None)}


def test_the_pixels_of_a_request_are_bounded(served: Served, champion: str) -> None:
    """20 million here: two large pictures are too much, and what follows them has its verdict if it fits."""
    first, second, small = post(served, json=protocol(LARGE, LARGE, RED)).json()["predictions"]
    assert (first["is_positive"], small["is_positive"]) == (True, True)
    assert second["error"].startswith("too_many_pixels: the photos of this request")


def test_health_says_how_it_fares(served: Served, champion: str) -> None:
    until(lambda: httpx.get(f"{served.url}/health").status_code == 200)
    assert httpx.get(f"{served.url}/health").json() == {"status": "serving"}


def test_after_a_kill_it_says_that_it_starts_until_the_last_good_copy_serves(
    served: Served, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.mlflow.kill()
    served.model.kill()
    served.model.launch()
    words: set[Any] = set()

    def serves() -> bool:
        answer = served.model.answers() and httpx.get(f"{served.url}/live")
        if answer and answer.status_code == 503:
            words.add(answer.json()["error"])
            words.add(httpx.get(f"{served.url}/health").json()["status"])
        return bool(answer and answer.is_success)

    until(serves)
    assert words <= {"starting", "serving"}
    assert served.predict(RED)[0].model_version == champion
    answer_with(monkeypatch, httpx.Response(503, json={"error": "starting"}))
    with pytest.raises(ServerStarting):
        client.predict(served.url, [plain()])
