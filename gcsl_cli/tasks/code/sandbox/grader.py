r"""Grade programs against the tests of their problems, in parallel, each in a fresh sandbox.

Program("HumanEval/0", "def add(a, b):\n    return a + b\n")
Problem("HumanEval/0", ("def check(candidate):\n    assert candidate(1, 2) == 3\n",), "add")
Verdict(passed=1, tests=1, error="", message="", test=-1, cpu_seconds=0.01, wall_seconds=0.02, together=False,
        exception="")
"""

import hashlib
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.code.sandbox.backends import Sandbox
from gcsl_cli.tasks.code.sandbox.limits import Limits
from gcsl_cli.tasks.code.sandbox.worker_client import WorkerClient

# Programs per worker that may be submitted before the oldest verdict is yielded: enough to keep the other workers busy
# while one program runs into its limit.
AHEAD = 128


@dataclass(frozen=True, slots=True)
class Program:
    """A complete program for a problem, including the prompt's imports."""

    identity: str
    """Identity of the problem."""
    code: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Tests of a function."""

    identity: str
    tests: tuple[str, ...]
    """A single text that defines `check(candidate)`, or one text per test, which calls the function by name."""
    entry_point: str
    setup: str = ""
    """Trusted code to run before the tests, such as helper functions from the prompt. It neither sees the candidate's
    definitions nor can they replace it."""
    together: bool = False
    """Whether tests and candidate have to share a process because they exchange values that are not plain."""
    reference: str = ""
    """A correct program. If it passes more tests in one process with them than apart, all programs share a process with
    the tests; without one, the values that the tests pass to the function decide."""

    def key(self) -> str:
        """A hash of everything that the tests consist of."""
        parts = (self.setup, self.entry_point, *self.tests, self.reference)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of running a program against its tests.

    `error` tells why the first failed test failed: "" (none failed), "wrong answer", "exception", "syntax", "import",
    "entry point" (the program lacks the function), "exit", "crash" (a signal), "outside" (a value that is not plain),
    or a limit: "timeout", "memory", "processes", "open files", "disk", "output", "forbidden", "killed". If the tests
    themselves are unusable, it is "tests" or "no tests".
    """

    passed: int
    tests: int
    error: str
    message: str
    """Message of the exception, shortened."""
    test: int
    """Index of the first failed test; -1 if none failed or none ran."""
    cpu_seconds: float
    """CPU time of the candidate's sandbox, including interpreter startup; NaN if unknown."""
    wall_seconds: float
    together: bool
    """Whether the candidate could have forged the verdict: it shared a process with the tests, or they executed code
    (`eval`, `exec`, `pickle`) after an answer with text in it."""
    exception: str = ""
    """Name of the exception's type if the error is an exception or a limit that was noticed as one. The program chooses
    it; it is shortened and printable."""
    why: str = ""
    """Why the candidate could have forged the verdict; empty if it could not."""

    @property
    def solved(self) -> bool:
        """Whether all tests passed."""
        return not self.error and self.tests > 0 and self.passed == self.tests

    @property
    def label(self) -> str:
        """`error`, with the name of an exception, for people."""
        return f"{self.error} {self.exception}".rstrip() if self.error == "exception" else self.error

    @property
    def cause(self) -> str:
        """The label and the message."""
        return f"{self.label} ({self.message})" if self.message else self.label


def grade(
    programs: Iterable[Program],
    problems: Mapping[str, Problem],
    *,
    workers: int = 1,
    limits: Limits | None = None,
    sandbox: Sandbox | None = None,
) -> Generator[Verdict, None, None]:
    """Yield the verdicts in the order of the programs, as they become available.

    At most `workers` programs run in parallel, and `programs` may be a generator, which is consumed at most `AHEAD`
    programs per worker in advance. A program that hits the wall limit with little CPU time used, because the machine
    was busy, is rerun once while no other program runs; not if its tests took the time.

    Raises:
        ConfigError: `workers` is below 1, or a program belongs to an unknown problem.
        DependencyError: The sandbox does not work on this machine.
    """
    if workers < 1:
        raise ConfigError(f"workers={workers} is out of range; allowed: 1 or more.")
    limits = limits or Limits()
    pool = _WorkerPool(workers, limits, sandbox or Sandbox())
    waiting: deque[Future[Verdict]] = deque()
    try:
        for program in programs:
            if program.identity not in problems:
                raise ConfigError(f"a program belongs to problem {program.identity!r}, which is not in `problems`.")
            waiting.append(pool.executor.submit(pool.grade, program, problems[program.identity]))
            while len(waiting) > AHEAD * workers or (waiting and waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        pool.close()


class _WorkerPool:
    """Threads that talk to one worker process each."""

    def __init__(self, workers: int, limits: Limits, sandbox: Sandbox) -> None:
        self.limits = limits
        backend = sandbox.backend(limits)
        self.clients = [WorkerClient(backend, limits) for _ in range(workers)]
        self.free = deque(self.clients)
        self.executor = ThreadPoolExecutor(workers)
        self.lock = _SharedLock()
        for client in self.clients:
            client.start()

    def grade(self, program: Program, problem: Problem) -> Verdict:
        tests = (problem.setup, problem.tests, problem.entry_point, problem.reference, problem.together)
        request = (problem.key(), *tests, program.code)
        client = self.free.popleft()
        try:
            with self.lock.shared():
                *fields, again = client.ask(request)
            if again:
                with self.lock.exclusive():
                    *fields, _ = client.ask(request)
            return Verdict(*fields)
        finally:
            self.free.append(client)

    def close(self) -> None:
        for client in self.clients:
            client.stop()
        self.executor.shutdown(wait=True, cancel_futures=True)
        for client in self.clients:
            client.close()


class _SharedLock:
    """A lock that is held by many threads in shared mode or by one in exclusive mode."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.running = 0
        self.alone = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self.condition:
            self.condition.wait_for(lambda: not self.alone)
            self.running += 1
        try:
            yield
        finally:
            with self.condition:
                self.running -= 1
                self.condition.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self.condition:
            self.condition.wait_for(lambda: not self.alone)
            self.alone = True
            self.condition.wait_for(lambda: self.running == 0)
        try:
            yield
        finally:
            with self.condition:
                self.alone = False
                self.condition.notify_all()
