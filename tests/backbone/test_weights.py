"""The reader of the package's file: every array of the pinned one, and one clear error for any other."""

import io
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from include.backbone import weights
from include.backbone.weights import PACKAGE, check_sum, load_weights, parse_weights, read_file
from include.errors import BackboneError

MAGIC = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})  # what stands before the tensors
ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
CURE = f"install {PACKAGE} again"


class Named:
    """Is pickled as the bare name of something, whether that can be imported here or not."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Storage:
    def __init__(self, values: np.ndarray, key: str) -> None:
        self.values, self.key = values, key

    @property
    def kind(self) -> Named:
        return Named("torch", "FloatStorage" if self.values.dtype == np.float32 else "LongStorage")


class Tensor:
    """Where a tensor lies in its storage."""

    def __init__(self, storage: Storage, offset: int, shape: tuple, strides: tuple) -> None:
        hooks: OrderedDict[str, object] = OrderedDict()
        self.place = (storage, offset, shape, strides, False, hooks)


class Call:
    """What a pickle makes whoever loads it call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments


PythonPickler: Any = pickle._Pickler


class Writer(PythonPickler):
    """Python's own pickler in Python, which lets a name be written that cannot be looked up."""

    dispatch: dict[type, Any] = dict(PythonPickler.dispatch)

    def persistent_id(self, given: object) -> tuple | None:
        return (
            ("storage", given.kind, given.key, "cpu", given.values.size, None) if isinstance(given, Storage) else None
        )

    def save_named(self, given: Named) -> None:
        self.write(pickle.GLOBAL + f"{given.module}\n{given.name}\n".encode())

    def save_tensor(self, given: Tensor) -> None:
        self.save_reduce(Named("torch._utils", "_rebuild_tensor_v2"), given.place)

    def save_call(self, given: Call) -> None:
        self.save_reduce(given.function, given.arguments)

    def save_reduce(self, function: object, arguments: tuple, *rest: object, **named: object) -> None:
        if not isinstance(function, Named):
            return super().save_reduce(function, arguments, *rest, **named)
        self.save(function)
        self.save(arguments)
        self.write(pickle.REDUCE)

    dispatch.update({Named: save_named, Tensor: save_tensor, Call: save_call})


def write(tensors: object, *storages: Storage) -> bytes:
    """A file of the legacy layout: four pickles, the list of storages, then each storage's count and values."""
    file = io.BytesIO()
    for part in (*MAGIC, tensors, [storage.key for storage in storages]):
        Writer(file, protocol=2).dump(part)
    for storage in storages:
        file.write(storage.values.size.to_bytes(8, "little") + storage.values.tobytes())
    return file.getvalue()


def write_one(offset: int = 0, shape: tuple = ARRAY.shape, strides: tuple = (12, 4, 1)) -> bytes:
    storage = Storage(ARRAY.ravel(), "94")
    return write(OrderedDict(kernel=Tensor(storage, offset, shape, strides)), storage)


@pytest.fixture(scope="module")
def pinned() -> bytes:
    return read_file()


def test_the_pinned_file_holds_every_array_of_the_network() -> None:
    arrays = load_weights()
    assert len(arrays) == 296
    assert {array.dtype.str for array in arrays.values()} == {"<f4", "<i8"}
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert arrays["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert arrays["_blocks.15._project_conv.weight"].shape == (320, 1152, 1, 1)
    assert arrays["_fc.weight"].shape == (1000, 1280)
    assert (arrays["_bn0.running_var"] >= 0).all()


def test_a_file_of_our_own_is_read_as_it_was_written() -> None:
    long, short = Storage(np.array([7, 9]), "1"), Storage(ARRAY.ravel(), "2")
    tensors = OrderedDict(a=Tensor(short, 0, (24,), (1,)), b=Tensor(long, 1, (), ()), c=Tensor(short, 20, (4,), (1,)))
    found = parse_weights(write(tensors, short, long))
    assert list(found) == ["a", "b", "c"]
    np.testing.assert_array_equal(found["a"], ARRAY.ravel())
    np.testing.assert_array_equal(found["c"], ARRAY.ravel()[20:])
    assert found["b"].shape == ()
    assert found["b"].dtype == np.int64
    assert int(found["b"]) == 9


@pytest.mark.parametrize(
    ("shape", "strides", "expected"),
    [
        ((2, 3, 4), (12, 4, 1), ARRAY),
        ((4, 3, 2), (1, 4, 12), ARRAY.transpose(2, 1, 0)),
        ((3, 2, 4), (4, 12, 1), ARRAY.transpose(1, 0, 2)),
        ((2, 4), (12, 0), np.broadcast_to(ARRAY[:, 0, :1], (2, 4))),  # what PyTorch's `expand` leaves
    ],
)
def test_strides_are_honoured(shape: tuple[int, ...], strides: tuple[int, ...], expected: np.ndarray) -> None:
    np.testing.assert_array_equal(parse_weights(write_one(0, shape, strides))["kernel"], expected)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(1, (2, 3, 4), (12, 4, 1)), (0, (25,), (1,)), (0, (2,), (24,)), (-1, (4,), (1,)), (23, (4,), (-1,))],
)
def test_a_tensor_outside_its_storage_is_refused(offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    with pytest.raises(BackboneError, match=f"lies outside its 24 values.*{CURE}"):
        parse_weights(write_one(offset, shape, strides))


@pytest.mark.parametrize("place", [0, 100, 20_000, 0.5, 0.9, -1], ids=str)
def test_a_flipped_byte_is_noticed_wherever_it_is(pinned: bytes, place: int | float) -> None:
    body = bytearray(pinned)
    body[int(place * len(body)) if isinstance(place, float) else place] ^= 1
    with pytest.raises(BackboneError, match=f"has the sha256 [0-9a-f]{{64}}, not {weights.SHA256}: {CURE}"):
        check_sum(bytes(body))


def test_nothing_of_a_file_is_read_before_its_sum_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "read_file", lambda: write_one())
    monkeypatch.setattr(weights, "parse_weights", pytest.fail)
    with pytest.raises(BackboneError, match="sha256"):
        load_weights()


def hostile(function: Named, *arguments: object) -> Iterator[bytes]:
    """A file that makes whoever loads it call a function: as a tensor, within one, and before all of them."""
    storage, call = Storage(ARRAY.ravel(), "94"), Call(function, *arguments)
    yield write(OrderedDict(kernel=call), storage)
    yield write(OrderedDict(kernel=Tensor(storage, 0, (call,), (1,))), storage)
    file = io.BytesIO()
    Writer(file, protocol=2).dump(call)
    yield file.getvalue() + write_one()


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("torch", "load"), ("collections", "Counter")],
)
def test_a_file_that_asks_for_anything_but_tensors_is_refused_and_nothing_of_it_runs(
    tmp_path: Path, module: str, name: str
) -> None:
    trace = tmp_path / "ran"
    argument = {"system": f"touch {trace}", "eval": f"open({str(trace)!r}, 'w')"}.get(name, "x")
    for body in hostile(Named(module, name), argument):
        with pytest.raises(BackboneError, match=re.escape(f"ask for {module}.{name}, but nothing except tensors")):
            parse_weights(body)
    assert not trace.exists()


def test_that_hostile_file_would_run_where_pickle_itself_reads_it(tmp_path: Path) -> None:
    """Else the test above could not fail."""
    file = io.BytesIO(next(hostile(Named("os", "system"), f"touch {tmp_path / 'ran'}")))
    for _ in range(4):
        pickle.Unpickler(file).load()
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "attack",
    [b"(S'true'\nios\nsystem\n.", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."],
    ids=["INST", "STACK_GLOBAL"],
)
def test_other_ways_to_name_a_function_are_refused_too(attack: bytes) -> None:
    with pytest.raises(BackboneError, match=r"ask for os\.system"):
        parse_weights(attack + write_one())


def test_a_file_that_breaks_off_is_refused_wherever_it_does() -> None:
    body = write_one()
    for end in range(len(body)):
        with pytest.raises(BackboneError, match=CURE):
            parse_weights(body[:end])


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9999])
def test_the_pinned_file_cut_short_is_refused_by_the_reader_too(pinned: bytes, share: float) -> None:
    with pytest.raises(BackboneError, match=f"cannot be read.*{CURE}"):
        parse_weights(pinned[: int(share * len(pinned))])


def test_random_bytes_are_no_weights() -> None:
    with pytest.raises(BackboneError, match="cannot be read"):
        parse_weights(os.urandom(1000))


class Elsewhere:
    """A distribution whose files lie in a folder of the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate_file(self, name: str) -> Path:
        return self.folder / name


def test_a_missing_package_is_reported_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(weights, "distribution", missing)
    with pytest.raises(BackboneError, match=f"the package {PACKAGE}.*is missing: {CURE}.*make setup"):
        load_weights()


def test_a_package_without_its_file_is_missing_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "distribution", lambda _: Elsewhere(tmp_path))
    with pytest.raises(BackboneError, match=f"the package {PACKAGE}.*is missing"):
        load_weights()
