r"""Programs graded by the tests of their problems, side by side, each in a sandbox of its own.

Program("HumanEval/0", "def add(a, b):\n    return a + b\n")
Problem("HumanEval/0", ("def check(candidate):\n    assert candidate(1, 2) == 3\n",), "add")
Verdict(passed=1, tests=1, error="", message="", test=-1, cpu_seconds=0.01, wall_seconds=0.02, together=False)
"""

import hashlib
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.code.sandbox.engine import Sandbox
from gcsl_cli.tasks.code.sandbox.limits import Limits
from gcsl_cli.tasks.code.sandbox.remote import RemoteWorker

# Programs a worker that are taken before the verdict on the first of them is handed out: as many as the other workers
# run while that one reaches its limit.
AHEAD = 128
BUSY_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Program:
    """What a model wrote for a problem, complete with the prompt's imports."""

    identity: str
    """The problem's."""
    code: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Tests of a function."""

    identity: str
    tests: tuple[str, ...]
    """One text that defines `check(candidate)`, or texts that are a test each and call the function by its name."""
    entry_point: str
    setup: str = ""
    """Code of the data set before the tests, such as helper functions of the prompt. A candidate cannot replace it, and
    it cannot use what a candidate defines."""
    together: bool = False
    """Whether tests and candidate have to share a process, because values between them are not plain ones."""

    def key(self) -> str:
        """What makes two problems the same."""
        parts = (self.setup, self.entry_point, *self.tests)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a program did.

    `error` is what the first test that failed failed of: "" (none), "wrong answer", the name of an exception's type,
    "syntax", "import", "entry point" (the program has no such function), "exit", "crash" (a signal), "outside" (a value
    that is not plain), or a limit: "timeout", "memory", "processes", "open files", "disk", "output", "forbidden",
    "killed". Or the tests cannot be used: "tests", "no tests".
    """

    passed: int
    tests: int
    error: str
    message: str
    """The exception's, shortened."""
    test: int
    """The first test that failed, from 0; -1 where none did or none was run."""
    cpu_seconds: float
    """Of the candidate's sandbox, start of the interpreter included; NaN where it is not known."""
    wall_seconds: float
    together: bool
    """Whether tests and candidate shared a process, so that the verdict could be forged (see `together`)."""

    @property
    def solved(self) -> bool:
        """Whether all tests passed."""
        return not self.error and self.tests > 0 and self.passed == self.tests


def grade(
    programs: Iterable[Program],
    problems: Mapping[str, Problem],
    *,
    workers: int = 1,
    limits: Limits | None = None,
    sandbox: Sandbox | None = None,
) -> Generator[Verdict, None, None]:
    """Verdicts on the programs, in their order, as they come.

    A program that reaches the wall limit with little processor time, because the machine was busy, is run once more
    while no other one runs.

    Args:
        programs: may be a generator; `AHEAD` a worker are taken ahead.
        problems: by identity.
        workers: programs at a time.
        limits: of each program.
        sandbox: where they run.

    Raises:
        ConfigError: no worker, or a program of an unknown problem.
        DependencyError: the sandbox does not work here.
    """
    if workers < 1:
        raise ConfigError(f"workers={workers} grade nothing; allowed: 1 or more.")
    limits = limits or Limits()
    pool = _Pool(workers, limits, sandbox or Sandbox())
    waiting: deque[Future[Verdict]] = deque()
    try:
        for program in programs:
            if program.identity not in problems:
                raise ConfigError(f"a program belongs to {program.identity!r}, which is not among the problems.")
            waiting.append(pool.submit(program, problems[program.identity]))
            while len(waiting) > AHEAD * workers or (waiting and waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        pool.close()


class _Pool:
    """Threads with a worker each."""

    def __init__(self, workers: int, limits: Limits, sandbox: Sandbox) -> None:
        self.limits = limits
        engine = sandbox.engine(limits)
        self.remotes = [RemoteWorker(engine, limits) for _ in range(workers)]
        self.free = deque(self.remotes)
        self.executor = ThreadPoolExecutor(workers)
        self.turn = _Turn()
        for remote in self.remotes:
            remote.start()

    def submit(self, program: Program, problem: Problem) -> "Future[Verdict]":
        return self.executor.submit(self._grade, program, problem)

    def _grade(self, program: Program, problem: Problem) -> Verdict:
        request = (problem.key(), problem.setup, problem.tests, problem.entry_point, problem.together, program.code)
        remote = self.free.popleft()
        try:
            with self.turn.shared():
                verdict = Verdict(*remote.ask(request))
            starved = verdict.error == "timeout" and verdict.cpu_seconds < self.limits.cpu_seconds * BUSY_SHARE
            if starved:
                with self.turn.alone():
                    verdict = Verdict(*remote.ask(request))
            return verdict
        finally:
            self.free.append(remote)

    def close(self) -> None:
        """End workers and their sandboxes."""
        self.executor.shutdown(wait=True, cancel_futures=True)
        for remote in self.remotes:
            remote.close()


class _Turn:
    """Many at a time, or one alone."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.running = 0
        self.exclusive = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self.condition:
            self.condition.wait_for(lambda: not self.exclusive)
            self.running += 1
        try:
            yield
        finally:
            with self.condition:
                self.running -= 1
                self.condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self.condition:
            self.condition.wait_for(lambda: not self.exclusive)
            self.exclusive = True
            self.condition.wait_for(lambda: self.running == 0)
        try:
            yield
        finally:
            with self.condition:
                self.exclusive = False
                self.condition.notify_all()
