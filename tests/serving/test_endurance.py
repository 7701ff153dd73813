"""8 clients, 5,000 requests, ten swaps and three steps back: nobody fails, nothing goes back, no memory is lost."""

import psutil
import pytest

from bench.load_clients import asking, request
from tests.pictures import plain
from tests.serving.conftest import Served
from tests.waiting import until

pytestmark = pytest.mark.slow
SWAPS, STEPS_BACK = 10, 3
MEGABYTE = 1_000_000


def test_swaps_under_load_cost_no_answer_and_no_memory(served: Served, champion: str) -> None:
    made = [served.version(f"swap-{number}") for number in range(SWAPS)]
    order = [champion, *made, *made[-2 : -2 - STEPS_BACK : -1]]
    assert served.model.process
    server, memory = psutil.Process(served.model.process.pid), list[float]()
    with asking(served.url, request([plain("red")]), clients=8, order=order) as answers:
        for version in order[1:]:
            served.serve(version)
            memory.append(server.memory_info().rss / MEGABYTE)
        until(lambda: len(answers.seconds) >= 5000, within=600)
    assert (answers.failed, answers.busy, answers.went_back) == (0, 0, 0)
    assert memory[-1] < memory[2] + 30, memory
    served.serve(champion)
