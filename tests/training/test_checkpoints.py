import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

from include.errors import AttemptSuperseded
from include.training import checkpoints
from include.training.checkpoints import Checkpoint, Checkpoints


def after(epochs: int) -> Checkpoint:
    """A small state that tells which epoch it is of."""
    history = tuple({"loss": 1 / (epoch + 1)} for epoch in range(epochs))
    weights = [np.full((2, 3), epochs, np.float32), np.array([epochs, 7], np.uint32)]
    return Checkpoint(weights, [np.array(epochs, np.int64)], history)


def assert_same(found: Checkpoint, expected: Checkpoint) -> None:
    assert found.history == expected.history
    for mine, other in ((found.weights, expected.weights), (found.optimizer, expected.optimizer)):
        for one, two in zip(mine, other, strict=True):
            assert one.dtype == two.dtype
            np.testing.assert_array_equal(one, two)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state" / "0a1b"


def test_before_the_first_epoch_there_is_nothing(folder):
    assert Checkpoints(folder).latest() is None


def test_what_was_saved_is_read_again_to_the_last_bit(folder):
    Checkpoints(folder).save(after(1), best=1)
    assert_same(Checkpoints(folder).latest(), after(1))


def test_the_last_two_and_the_best_are_kept(folder):
    kept = Checkpoints(folder)
    for epoch, best in ((1, 1), (2, 2), (3, 2), (4, 2), (5, 2)):
        kept.save(after(epoch), best=best)
    assert kept.epochs() == [2, 4, 5]
    kept.save(after(6), best=6)
    assert kept.epochs() == [5, 6]
    assert_same(kept.latest(), after(6))


def test_a_process_that_comes_back_loses(folder):
    stale = Checkpoints(folder)
    stale.save(after(1), best=1)
    fresh = Checkpoints(folder)
    fresh.save(after(2), best=2)
    wrong = Checkpoint(after(2).weights, after(2).optimizer, ({"loss": 9.0},) * 2)
    with pytest.raises(AttemptSuperseded, match="another process has taken over"):
        stale.save(wrong, best=2)
    for refused in (stale.confirm, stale.clear, lambda: stale.read(2)):
        with pytest.raises(AttemptSuperseded):
            refused()
    assert_same(fresh.latest(), after(2))
    fresh.save(after(3), best=3)
    assert fresh.epochs() == [2, 3]


def test_a_stale_process_loses_also_when_the_training_is_done_and_begun_again(folder):
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


def test_one_that_was_overtaken_while_it_wrote_loses_too(folder, monkeypatch):
    stale = Checkpoints(folder)
    stale.save(after(1), best=1)
    sync = checkpoints._sync

    def overtaken(path):
        monkeypatch.setattr(checkpoints, "_sync", sync)
        Checkpoints(folder)
        sync(path)

    monkeypatch.setattr(checkpoints, "_sync", overtaken)
    with pytest.raises(AttemptSuperseded):
        stale.save(after(2), best=2)
    assert_same(Checkpoints(folder).latest(), after(1))


def test_of_many_that_start_at_once_one_goes_on(folder):
    Checkpoints(folder).save(after(1), best=1)
    with ThreadPoolExecutor(8) as pool:
        tries = list(pool.map(Checkpoints, [folder] * 8))
    numbers = [each.number for each in tries]
    assert numbers.count(max(numbers)) == 1  # a lower number, which is removed, may be taken twice: it loses anyway
    saved = []
    for each in tries:
        with suppress(AttemptSuperseded):
            each.save(after(2), best=2)
            saved.append(each.number)
    assert saved == [max(numbers)]
    assert_same(Checkpoints(folder).latest(), after(2))


def test_a_killed_write_leaves_nothing_that_is_read(folder):
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
def test_a_torn_checkpoint_is_passed_over_and_written_again(folder, name, keep):
    kept = Checkpoints(folder)
    kept.save(after(1), best=1)
    kept.save(after(2), best=2)
    torn = kept.folder / "epoch-0002" / name
    if keep is None:
        torn.unlink()
    else:
        torn.write_bytes(torn.read_bytes()[: int(torn.stat().st_size * keep)])
    again = Checkpoints(folder)
    assert_same(again.latest(), after(1))
    again.save(after(2), best=2)
    assert_same(again.latest(), after(2))


def test_flipped_bytes_are_noticed(folder):
    kept = Checkpoints(folder)
    kept.save(after(1), best=1)
    path = kept.folder / "epoch-0001" / "weights.npz"
    body = path.read_bytes()
    value = after(1).weights[0].tobytes()
    assert value in body
    path.write_bytes(body.replace(value, bytes(len(value))))
    assert kept.latest() is None


def test_nothing_is_left_when_all_is_done(folder):
    kept = Checkpoints(folder)
    kept.save(after(1), best=1)
    kept.clear()
    assert not [path for path in folder.rglob("*") if path.is_file()]
    assert Checkpoints(folder).latest() is None


def test_the_history_can_be_read_by_anybody(folder):
    kept = Checkpoints(folder)
    kept.save(after(2), best=2)
    assert json.loads((kept.folder / "epoch-0002" / "history.json").read_text()) == [{"loss": 1.0}, {"loss": 0.5}]
