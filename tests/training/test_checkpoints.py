"""Checkpoints: complete or absent, and only the latest attempt writes them."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from include import files
from include.errors import AttemptSuperseded
from include.training import checkpoints
from include.training.checkpoints import Checkpoint, Checkpoints


def after(epochs: int) -> Checkpoint:
    """A small state that differs from epoch to epoch."""
    history = tuple({"loss": 1 / (epoch + 1)} for epoch in range(epochs))
    weights = [np.full((2, 3), epochs, np.float32), np.array([epochs, 7], np.uint32)]
    return Checkpoint(weights, [np.array(epochs, np.int64)], history)


def assert_same(found: Checkpoint | None, expected: Checkpoint) -> None:
    assert found is not None
    assert found.history == expected.history
    for actual, wanted in ((found.weights, expected.weights), (found.optimizer, expected.optimizer)):
        for first, second in zip(actual, wanted, strict=True):
            assert first.dtype == second.dtype
            np.testing.assert_array_equal(first, second)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "0a1b"


def test_before_the_first_epoch_there_is_nothing(folder: Path) -> None:
    assert Checkpoints(folder).latest() is None


def test_a_checkpoint_is_read_as_it_was_saved(folder: Path) -> None:
    Checkpoints(folder).save(after(1), best=1)
    assert_same(Checkpoints(folder).latest(), after(1))


def test_the_last_two_and_the_best_are_kept(folder: Path) -> None:
    kept = Checkpoints(folder)
    for epoch, best in ((1, 1), (2, 2), (3, 2), (4, 2), (5, 2)):
        kept.save(after(epoch), best=best)
    assert kept.epochs() == [2, 4, 5]
    kept.save(after(6), best=6)
    assert kept.epochs() == [5, 6]
    assert_same(kept.latest(), after(6))


def test_a_process_that_resumes_after_another_took_over_is_superseded(folder: Path) -> None:
    stale = Checkpoints(folder)
    stale.save(after(1), best=1)
    fresh = Checkpoints(folder)
    fresh.save(after(2), best=2)
    wrong = Checkpoint(after(2).weights, after(2).optimizer, ({"loss": 9.0},) * 2)
    with pytest.raises(AttemptSuperseded, match="another process has taken over"):
        stale.save(wrong, best=2)
    for call in (stale.confirm, stale.clear, lambda: stale.read(2)):
        with pytest.raises(AttemptSuperseded):
            call()
    assert_same(fresh.latest(), after(2))
    fresh.save(after(3), best=3)
    assert fresh.epochs() == [2, 3]


def test_a_stale_process_is_superseded_also_after_the_training_has_ended_and_begun_again(folder: Path) -> None:
    stale, fresh = Checkpoints(folder), Checkpoints(folder)
    fresh.save(after(1), best=1)
    fresh.clear()
    with pytest.raises(AttemptSuperseded):
        stale.save(after(1), best=1)
    again = Checkpoints(folder)
    assert again.latest() is None
    with pytest.raises(AttemptSuperseded):
        stale.save(after(1), best=1)
    with pytest.raises(AttemptSuperseded):
        fresh.save(after(1), best=1)


def test_a_process_that_is_overtaken_while_it_writes_is_superseded_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = Checkpoints(folder)
    stale.save(after(1), best=1)
    sync = files.sync

    def overtaken(path: Path) -> None:
        monkeypatch.setattr(checkpoints, "sync", sync)
        Checkpoints(folder)
        sync(path)

    monkeypatch.setattr(checkpoints, "sync", overtaken)
    with pytest.raises(AttemptSuperseded):
        stale.save(after(2), best=2)
    assert_same(Checkpoints(folder).latest(), after(1))


def test_of_many_attempts_that_start_at_once_one_continues(folder: Path) -> None:
    Checkpoints(folder).save(after(1), best=1)
    with ThreadPoolExecutor(8) as pool:
        attempts = list(pool.map(Checkpoints, [folder] * 8))
    numbers = [attempt.number for attempt in attempts]
    assert numbers.count(max(numbers)) == 1  # a lower number, which is removed, may be taken twice: it loses anyway
    saved = []
    for attempt in attempts:
        with suppress(AttemptSuperseded):
            attempt.save(after(2), best=2)
            saved.append(attempt.number)
    assert saved == [max(numbers)]
    assert_same(Checkpoints(folder).latest(), after(2))


def test_a_killed_write_leaves_nothing_that_is_read(folder: Path) -> None:
    killed = Checkpoints(folder)
    killed.save(after(1), best=1)
    shutil.copytree(killed.folder / "epoch-0001", killed.folder / "draft")
    (killed.folder / "draft" / "history.json").write_text("[{")
    again = Checkpoints(folder)
    assert_same(again.latest(), after(1))
    again.save(after(2), best=2)
    assert sorted(path.name for path in folder.rglob("epoch-*")) == ["epoch-0001", "epoch-0002"]
    assert not list(folder.rglob("draft"))


@pytest.mark.parametrize("name", ["weights.npz", "optimizer.npz", "history.json"])
@pytest.mark.parametrize("keep", [0, 0.5, None])
def test_a_truncated_checkpoint_is_skipped_and_written_again(folder: Path, name: str, keep: float | None) -> None:
    kept = Checkpoints(folder)
    kept.save(after(1), best=1)
    kept.save(after(2), best=2)
    truncated = kept.folder / "epoch-0002" / name
    if keep is None:
        truncated.unlink()
    else:
        truncated.write_bytes(truncated.read_bytes()[: int(truncated.stat().st_size * keep)])
    again = Checkpoints(folder)
    assert_same(again.latest(), after(1))
    again.save(after(2), best=2)
    assert_same(again.latest(), after(2))


def test_changed_bytes_are_detected(folder: Path) -> None:
    kept = Checkpoints(folder)
    kept.save(after(1), best=1)
    path = kept.folder / "epoch-0001" / "weights.npz"
    body = path.read_bytes()
    value = after(1).weights[0].tobytes()
    assert value in body
    path.write_bytes(body.replace(value, bytes(len(value))))
    assert kept.latest() is None


def test_clear_deletes_all_files(folder: Path) -> None:
    kept = Checkpoints(folder)
    kept.save(after(1), best=1)
    kept.clear()
    assert not [path for path in folder.rglob("*") if path.is_file()]
    assert Checkpoints(folder).latest() is None


def test_the_history_is_plain_json(folder: Path) -> None:
    kept = Checkpoints(folder)
    kept.save(after(2), best=2)
    assert json.loads((kept.folder / "epoch-0002" / "history.json").read_text()) == [{"loss": 1.0}, {"loss": 0.5}]
