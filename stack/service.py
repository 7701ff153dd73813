"""One process of the stack: started again whenever it ends, with ever longer pauses and without end."""

import logging
import shlex
import subprocess
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from stack.processes import kill_groups, spawn, why_it_ended

log = logging.getLogger(__name__)

PAUSES = (0, 1, 2, 5, 10, 20, 40, 60)  # seconds before it is started again; the last one for ever
STEADY = 60.0  # seconds; what has run for so long has recovered
SETTLED = 5.0  # seconds; a process that cannot run ends sooner
SILENCES = 3  # questions without an answer, after which a process that runs counts as failing
Environment = Callable[[], dict[str, str]]


class State(StrEnum):
    UP = "up"
    STARTING = "starting"
    FAILING = "failing"
    DONE = "done"


class Service:
    """A command that runs for ever, or ``once``: until it succeeds. It begins when ``after`` is done.

    ``answers`` says whether it is ready, if it can. The children of a killed process are ended; with ``keeps_children``
    only when it dies again: the supervisors of running tasks bring their work to its end without a scheduler.
    """

    def __init__(
        self,
        name: str,
        command: str,
        environment: Environment,
        output: Path,
        answers: Callable[[], bool] | None,
        *,
        once: bool = False,
        after: "Service | None" = None,
        keeps_children: bool = False,
    ) -> None:
        self.name = name
        self.process: subprocess.Popen | None = None
        self._command, self._environment = shlex.split(command), environment
        self._output, self._answers = output, answers
        self._once, self._after, self._keeps_children = once, after, keeps_children
        self._deaths, self._next_start, self._started = 0, 0.0, 0.0
        self._groups: list[int] = []
        self._problem = ""
        self._ready, self._silences = False, 0
        self.done = False

    def check(self, now: float, mark: str) -> None:
        """Note its end, and start it when it is time; ``now`` is a monotonic clock's."""
        if self.done or self._after and not self._after.done:
            return
        if self.process and (code := self.process.poll()) is not None:
            self._end(code, now, mark)
        if self.process is None and not self.done and now >= self._next_start:
            self._start(now)
        if self.process and now - self._started > STEADY:
            self._deaths = 0

    def ask(self, now: float) -> None:
        """Ask a running process whether it is ready; one that answers nobody is so when it has run for a while."""
        if self.process is None:
            return
        if self._answers() if self._answers else now - self._started > SETTLED:
            self._ready, self._silences = True, 0
        else:
            self._silences += self._ready

    def state(self) -> State:
        if self.done:
            return State.DONE
        if self._silences >= SILENCES or self.process is None and self._deaths or self._deaths > 1 and not self._ready:
            return State.FAILING
        return State.UP if self._ready else State.STARTING

    def reason(self) -> str:
        """Why it is failing."""
        return "does not answer" if self._silences >= SILENCES else self._problem

    def _start(self, now: float) -> None:
        self._ready, self._silences, self._started = False, 0, now
        try:
            with self._output.open("ab") as output:
                self.process = spawn(self._command, self._environment(), output)
        except OSError as error:  # the disk is full, or the memory
            self._wait(f"cannot be started: {error.strerror}", now)

    def _end(self, code: int, now: float, mark: str) -> None:
        assert self.process
        self._groups.append(self.process.pid)
        self.process, self.done = None, self._once and code == 0
        if self.done:
            return
        self._wait(f"ended with {code}: {why_it_ended(self._output)}", now)
        if self._deaths > 1 or not self._keeps_children:
            kill_groups(mark, self._groups)
            self._groups.clear()

    def _wait(self, problem: str, now: float) -> None:
        pause = PAUSES[min(self._deaths, len(PAUSES) - 1)]
        self._deaths, self._next_start, self._ready = self._deaths + 1, now + pause, False
        self._problem = f"{problem}; started again {f'after {pause} s' if pause else 'at once'}"
        log.warning("%s %s", self.name, self._problem)
