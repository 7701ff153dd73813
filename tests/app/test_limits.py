from threading import Thread

import pytest

from app.limits import WINDOW, RateLimit
from app.refreshed import Refreshed


def test_a_minute_holds_so_many_and_no_more() -> None:
    now = [0.0]
    limit = RateLimit(3, clock=lambda: now[0])
    assert [limit.allows() for _ in range(5)] == [True, True, True, False, False]
    now[0] = WINDOW - 0.001
    assert not limit.allows()
    now[0] = WINDOW
    assert [limit.allows() for _ in range(4)] == [True, True, True, False]


def test_threads_share_a_limit() -> None:
    limit, allowed = RateLimit(50), list[bool]()
    threads = [Thread(target=lambda: allowed.extend(limit.allows() for _ in range(20))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(allowed) == 50


def test_a_value_stays_while_it_cannot_be_read_anew(caplog: pytest.LogCaptureFixture) -> None:
    answers = iter([1, 0, 2])

    def read() -> int:
        if not (answer := next(answers)):
            raise OSError("the lake is down")
        return answer

    value = Refreshed(read, seconds=-1.0)
    seen = [value.get(wait=60)]
    while seen[-1] != 2:
        seen.append(value.get())
    assert set(seen) == {1, 2}
    assert "the lake is down" in caplog.text
