"""A lake that cannot be used is told at the start, in one sentence with the cure, without waiting for long."""

import errno
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from include.errors import UnsafeStore, Unusable
from include.lake.faults import OF_CLIENTS, OF_SERVERS
from include.lake.lake_check import check_lake
from include.lake.listing import own_keys
from include.lake.local import LocalStore
from include.lake.opening import open_lake
from include.lake.s3 import S3Store, connect
from include.lake.write_once import check_write_once
from include.settings import Settings
from tests.conftest import free_port
from tests.lake import test_store_contract as contract


def refusal(settings: Settings) -> str:
    began = time.monotonic()
    with pytest.raises(Unusable) as caught:
        check_lake(settings)
    assert time.monotonic() - began < 60, "the contract says 20 seconds, on a machine that is not busy"
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.startswith(f"the lake {settings.lake}")
    return sentence


class Answering(BaseHTTPRequestHandler):
    """An S3 server that answers every request with the same error, or something else with its own page."""

    server: "Server"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.headers.append({name.lower() for name in self.headers})
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.server.body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _answer

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, status: int, body: str) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.status, self.body, self.headers = status, body.encode(), list[set[str]]()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def settings(self) -> Settings:
        return Settings(lake_url="s3://bucket", s3_endpoint_url=f"http://127.0.0.1:{self.server_port}")


@pytest.fixture
def answering() -> Iterator[list[Server]]:
    """Servers to append to; they end with the test."""
    servers = list[Server]()
    yield servers
    for server in servers:
        server.shutdown()
        server.server_close()


def error(code: str) -> str:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "NoSuchBucket"),
        (403, "AccessDenied"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (400, "AuthorizationHeaderMalformed"),
        (500, "InternalError"),
        (400, "InvalidBucketName"),
    ],
)
def test_what_a_server_refuses_is_told_with_the_cure(answering: list[Server], status: int, code: str) -> None:
    answering.append(Server(status, error(code)))
    assert refusal(answering[0].settings).endswith(f"cannot be used: {OF_SERVERS[code]}")


def test_what_is_no_s3_server_is_told(answering: list[Server]) -> None:
    answering.append(Server(200, "<html><body>Welcome</body></html"))
    assert "CAT_S3_ENDPOINT_URL" in refusal(answering[0].settings)


def test_a_bucket_that_is_missing_is_told(s3_url: str) -> None:
    settings = Settings(lake_url="s3://no-such-bucket", s3_endpoint_url=s3_url)
    assert refusal(settings).endswith("there is no such bucket: create it, or set CAT_LAKE_URL to one that exists")


def test_without_credentials_the_variables_are_named(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it remembers those of other tests
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    sentence = refusal(Settings(lake_url="s3://bucket", s3_endpoint_url=s3_url))
    assert sentence.endswith(OF_CLIENTS["NoCredentialsError"])


def test_a_profile_that_does_not_exist_is_told(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "AWS_PROFILE" in refusal(Settings(lake_url="s3://bucket", s3_endpoint_url=s3_url))


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_an_address_where_nothing_answers_is_told(host: str) -> None:
    url = f"http://{host}:{free_port()}"
    sentence = refusal(Settings(lake_url="s3://bucket", s3_endpoint_url=url))
    assert url in sentence
    assert sentence.endswith("no S3 server answers there: start it, or set CAT_S3_ENDPOINT_URL to its address")


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.EACCES, "let this user read and write there"),
        (errno.EROFS, "mount it for writing"),
        (errno.ENOSPC, "make room"),
    ],
)
def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cure: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path))

    monkeypatch.setattr("include.lake.local._write_durably", fail)
    assert cure in refusal(Settings(lake_url=tmp_path.as_uri()))


def test_a_path_that_no_folder_can_have_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "a part of its path is a file" in refusal(Settings(lake_url=(tmp_path / "file" / "lake").as_uri()))
    assert "its path is too long" in refusal(Settings(lake_url=(tmp_path / ("x" * 300)).as_uri()))


def test_a_folder_without_hard_links_is_refused_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(UnsafeStore, match="has no hard links"):
        check_lake(Settings(lake_url=tmp_path.as_uri()))


def test_a_lake_that_works_is_as_it_was(s3_url: str, tmp_path: Path) -> None:
    bucket = S3Store(connect(s3_url), f"lake-{uuid4().hex}")
    bucket.ensure_bucket()
    for settings in (
        Settings(lake_url=f"s3://{bucket.bucket}/of%20cats", s3_endpoint_url=s3_url),
        Settings(lake_url=(tmp_path / "it's a lake & more").as_uri()),
    ):
        check_lake(settings)
        assert list(open_lake(settings).keys("")) == []


CONTRACT = [
    contract.test_reads_what_was_written,
    contract.test_writing_again_replaces,
    contract.test_missing_keys_are_named,
    contract.test_each_write_and_delete_is_listed_at_once,
    contract.test_what_is_deleted_is_gone_at_once,
    check_write_once,
]


def test_a_prefix_within_a_bucket_is_a_lake_of_its_own(s3_url: str) -> None:
    bucket = S3Store(connect(s3_url), f"lake-{uuid4().hex}")
    bucket.ensure_bucket()
    bucket.write("list/other", b"of somebody else")
    for number, promise in enumerate(CONTRACT):
        settings = Settings(lake_url=f"s3://{bucket.bucket}/a prefix/{number}", s3_endpoint_url=s3_url)
        promise(open_lake(settings))
    written = set(bucket.keys(""))
    assert written - {"list/other"}
    assert all(key == "list/other" or key.startswith("a prefix/") for key in written)


def test_no_request_has_headers_that_other_servers_refuse(answering: list[Server]) -> None:
    """Since 2025 boto3 sends checksums that older S3-compatible servers do not know."""
    answering.append(Server(200, ""))
    store = open_lake(answering[0].settings)
    store.write("a", b"x")
    store.create("b", b"x")
    store.delete("a")
    sent = set().union(*answering[0].headers)
    assert not {name for name in sent if "checksum" in name or name == "x-amz-trailer"}


FOREIGN = [
    *("base/.DS_Store", "base/cats/.DS_Store", "base/cats/readme.txt", f"base/cats/{'a' * 64} (conflicted copy).jpg"),
    *("base/cats/Thumbs.db", f"base/cats/{'a' * 64}.jpg", "uploads/notes.txt", "uploads/p1/photo (1).jpg"),
    *("uploads/p1 (Ann's conflicted copy)/photo.jpg", "feedback/p1 2.json", "reviews/.keep", "feedback/p1.json~"),
    *("tombstones/readme.md", "facts/v5/base/.DS_Store", "runs/r/progress/.keep"),
]


def test_keys_of_others_are_named_once_and_not_read(lake: LocalStore, caplog: pytest.LogCaptureFixture) -> None:
    own = [f"base/cats/{'a' * 64}", "uploads/p1/photo.jpg", "uploads/p1/record.json", "feedback/p1.json"]
    for key in [*own, *FOREIGN]:
        lake.write(key, b"x")
    assert list(own_keys(lake, "")) == sorted(own)
    (warning,) = caplog.messages
    assert warning.startswith(f"{len(FOREIGN)} keys below  are not of this project")


def test_a_marker_of_a_folder_is_no_photo(s3_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A console's "Create folder" writes keys that end with a slash."""
    bucket = S3Store(connect(s3_url), f"lake-{uuid4().hex}")
    bucket.ensure_bucket()
    for key in ("base/", "base/cats/"):
        bucket.client.put_object(Bucket=bucket.bucket, Key=key)
    photo = f"base/cats/{'b' * 64}"
    bucket.write(photo, b"x")
    assert list(own_keys(bucket, "base/")) == [photo]
    assert "2 keys below base/ are not of this project and are not read, such as 'base/'" in caplog.text
