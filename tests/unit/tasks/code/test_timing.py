"""Relative times: derived by hand from fake measurements, and compared by a large factor if measured."""

import csv
import math
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.code import timing
from gcsl_cli.tasks.code.problems import CodeProblem, Scaling
from gcsl_cli.tasks.code.sandbox.backends import Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict, grade
from gcsl_cli.tasks.code.sandbox.limits import Limits
from gcsl_cli.tasks.code.timing import TIMING_LIMITS, Timing, relative_times, timing_problem

GENERATOR = "def generate_input(size, lid, cid): return list(range(size)),"
LINEAR = "def total(numbers):\n    n = 0\n    for number in numbers: n += number\n    return n\n"
QUADRATIC = (
    "def total(numbers):\n    for n in range(len(numbers) + 1):\n        last = 0\n"
    "        for number in numbers[:n]: last += number\n    return last\n"
)


def problem(
    reference: str = LINEAR,
    generator: str = GENERATOR,
    checker: str = "",
    sizes: tuple[int, ...] = (3, 3000),
    name: str = "total",
) -> CodeProblem:
    return CodeProblem("p", "", name, (), scaling=Scaling(generator, sizes, reference, checker))


def verdict(code: str, scaled: CodeProblem, cases: int = 1) -> Verdict:
    (found,) = grade([Program("p", code)], {"p": timing_problem(scaled, cases)}, limits=TIMING_LIMITS)
    return found


def test_one_test_for_each_case_of_each_level() -> None:
    found = timing_problem(problem(), cases=2)
    assert found.tests == ("_case(0, 0, 3)", "_case(0, 1, 3)", "_case(1, 0, 3000)", "_case(1, 1, 3000)")
    assert (found.identity, found.entry_point, found.together) == ("p", "total", False)


def test_right_and_wrong_answers(bubblewrap: None) -> None:
    assert verdict("def total(numbers): return sum(numbers)", problem()).solved
    wrong = verdict("def total(numbers): return 3", problem())
    assert (wrong.passed, wrong.error, wrong.test) == (1, "wrong answer", 1)


def test_a_recursive_reference_calls_itself(bubblewrap: None) -> None:
    """If it called the candidate, it would return the candidate's 5 instead of 1."""
    reference = "def down(n): return n if n < 2 else down(n - 1)"
    recursive = problem(reference, "def generate_input(size, lid, cid): return size,", sizes=(3, 30), name="down")
    assert verdict("def down(n): return 1", recursive).solved
    assert verdict("def down(n): return 5", recursive).passed == 0


@pytest.mark.parametrize("name", ["random", "check", "_prepared", "generate_input", "deepcopy", "reference"])
def test_a_function_may_have_any_name(name: str, bubblewrap: None) -> None:
    named = problem(LINEAR.replace("total", name), sizes=(3, 4), name=name)
    assert verdict(f"def {name}(numbers): return sum(numbers)", named).solved


def test_programs_cannot_change_the_input_of_the_checker(bubblewrap: None) -> None:
    sort = "def least(numbers):\n    numbers.sort()\n    return numbers[0]\n"
    checker = "def __check(input, answer, output): return input == ([3, 1, 2],) and answer == output == 1"
    scaled = problem(sort, "def generate_input(size, lid, cid): return [3, 1, 2],", checker, name="least")
    assert verdict(sort, scaled).solved


def test_inputs_are_the_same_in_every_run(bubblewrap: None) -> None:
    """Level and case are the seed, so a program can know both numbers."""
    first, second = (random.Random(f"{level} 0").random() for level in (0, 1))
    drawn = problem(
        "def known(x): return True", "def generate_input(size, lid, cid): return random.random(),", name="known"
    )
    assert verdict(f"def known(x): return x in ({first}, {second})", drawn).solved
    assert first != second


def test_wrong_answers_do_not_stop_the_run(bubblewrap: None) -> None:
    """Only the fourth of four calls returns the expected 4."""
    code = "calls = []\ndef total(numbers):\n    calls.append(0)\n    return len(calls)\n"
    found = verdict(code, problem("def total(numbers): return 4"), cases=2)
    assert (found.passed, found.tests, found.test) == (1, 4, 0)


def test_generator_and_checker_can_use_helpers_of_the_reference(bubblewrap: None) -> None:
    reference = "def double(n): return 2 * n\ndef half(n): return n // 2\n"
    generator = "def generate_input(size, lid, cid): return double(size),"
    checker = "def __check(input, answer, output): return double(output) == input[0]"
    scaled = problem(reference, generator, checker, name="half")
    assert verdict("def half(n): return n / 2", scaled).solved


def fake_times(monkeypatch: pytest.MonkeyPatch, seconds: Mapping[str, list[float]]) -> None:
    """Replace the sandbox: a program whose code contains a key takes the key's times in turn, then repeats the last."""

    def graded(programs: Iterable[Program], problems: Mapping[str, Problem], **_: object) -> Iterator[Verdict]:
        for program in programs:
            (name,) = (name for name in seconds if name in program.code)
            cpu = seconds[name].pop(0) if len(seconds[name]) > 1 else seconds[name][0]
            solved = "pass" not in program.code
            yield Verdict(2 * solved, 2, "" if solved else "wrong answer", "", solved - 1, cpu, 1.0, False)

    monkeypatch.setattr(timing, "grade", graded)


def test_relative_times_are_ratios_of_minima_above_the_empty_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minima: empty 1.0, reference 1.5 (its trial run of 0.1 does not count), candidate 2.5; 1.5 / 0.5 = 3."""
    fake_times(monkeypatch, {"pass": [1.2, 1.0], "n += number": [0.1, 1.5, 1.7], "last": [2.5, 3.0]})
    programs = [Program("p", QUADRATIC), Program("p", LINEAR), Program("p", QUADRATIC)]
    slow, same, again = relative_times(programs, {"p": problem()}, repeats=2)
    assert slow == again == Timing(3.0, "", 1.5, 0.5, 0.15)
    assert same == Timing(1.0, "", 0.5, 0.5, 0.15)


@pytest.mark.parametrize(
    ("reference", "candidate", "relative"), [(1.05, 1.3, 2.0), (1.05, 0.9, 1.0), (1.3, 1.1, 0.5), (0.8, 1.6, 4.0)]
)
def test_times_below_the_floor_are_raised_to_it(
    reference: float, candidate: float, relative: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The floor is 0.15 of the empty program's 1.0: 0.3 / 0.15, 0.15 / 0.15, 0.15 / 0.3, 0.6 / 0.15."""
    fake_times(monkeypatch, {"pass": [1.0], "n += number": [reference], "last": [candidate]})
    (found,) = relative_times([Program("p", QUADRATIC)], {"p": problem()}, repeats=1)
    assert found.relative == pytest.approx(relative)
    assert found.reason == ""


def test_slow_programs_are_distinguished_from_fast_ones(bubblewrap: None) -> None:
    """For 3000 numbers, the quadratic sum does 4.5 million additions, the linear one 3000."""
    slow, fast = relative_times(
        [Program("p", QUADRATIC), Program("p", "def total(numbers): return sum(numbers)")], {"p": problem()}, repeats=2
    )
    assert slow.relative > 5 * fast.relative
    assert slow.seconds > 5 * slow.reference_seconds
    assert (slow.reason, fast.reason) == ("", "")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def total(numbers): return 3", "wrong answer"),
        ("def total(numbers): return 1 / 0", "exception ZeroDivisionError (division by zero)"),
        ("def total(numbers):\n    while True: pass", "timeout"),
        ("def total(numbers): return object()", "outside (a value of type object)"),
        ("def total(numbers): return bytes(10**6)", "output (more than 100000 bytes)"),
        ("def total(numbers", "syntax"),
        ("def total(*args, **kwargs):\n    pass\n", "wrong answer"),
    ],
)
def test_programs_that_fail_are_infinitely_slow(code: str, reason: str, bubblewrap: None) -> None:
    limits = Limits(cpu_seconds=1, output_bytes=100_000)
    (found,) = relative_times([Program("p", code)], {"p": problem()}, repeats=2, limits=limits)
    assert found.relative == math.inf
    assert found.reason.startswith(reason)


def test_time_cannot_be_hidden_in_a_child(bubblewrap: None) -> None:
    """The kernel does not count the time of a child that nobody waits for, so none is allowed, whatever the limits."""
    code = "import os\ndef total(numbers):\n    if os.fork() == 0: os._exit(0)\n    return sum(numbers)\n"
    (found,) = relative_times([Program("p", code)], {"p": problem()}, repeats=1, limits=Limits(processes=16))
    assert (found.relative, found.reason[:9]) == (math.inf, "processes")


def test_common_modules_do_not_shadow_names_of_a_program(bubblewrap: None) -> None:
    code = "def string(n): return n\ndef total(numbers): return string(sum(numbers))"
    (found,) = relative_times([Program("p", code)], {"p": problem()}, repeats=1)
    assert math.isfinite(found.relative)


def test_unusable_problems_are_not_timed(bubblewrap: None) -> None:
    """Only the first problem is usable."""
    problems = {
        "fine": problem(),
        "none": CodeProblem("none", "", "total", ()),
        "helper": problem(generator="def generate_input(size, lid, cid): return rand_parens(size),"),
        "syntax": problem(generator="def generate_input(size"),
        "missing": problem(generator="size = 3"),
        "reference": problem("def total(numbers): raise ValueError('no')"),
        "checker": problem(checker="def __check(input, answer, output): return False"),
        "plain": problem("def total(f): return 3", "def generate_input(size, lid, cid): return (lambda: 3),"),
    }
    found = relative_times([Program(name, "def total(n): return sum(n)") for name in problems], problems, repeats=1)
    reasons = {name: one.reason for name, one in zip(problems, found, strict=True)}
    assert [math.isfinite(one.relative) for one in found] == [True] + [False] * 7
    assert all(math.isnan(one.relative) for one in found[1:])
    assert reasons["none"] == "no inputs of growing size"
    assert reasons["helper"] == "reference: wrong answer (name 'rand_parens' is not defined)"
    assert reasons["syntax"].startswith("reference: tests (setup: '(' was never closed")
    assert reasons["missing"] == "reference: tests (setup: 'generate_input')"
    assert reasons["reference"] == "reference: exception ValueError (no)"
    assert reasons["checker"] == "reference: wrong answer"
    assert reasons["plain"] == "reference: outside (an argument of type function)"


def test_invalid_arguments() -> None:
    one = [Program("p", LINEAR)]
    with pytest.raises(ConfigError, match="repeats=0"):
        relative_times(one, {"p": problem()}, repeats=0)
    with pytest.raises(ConfigError, match="cases=0"):
        relative_times(one, {"p": problem()}, cases=0)
    with pytest.raises(ConfigError, match="'p', which is not in `problems`"):
        relative_times(one, {})
    with pytest.raises(ConfigError, match=r"task\.sandbox\.kind=docker"):
        relative_times(one, {"p": problem()}, sandbox=Sandbox("docker"))
    with pytest.raises(ConfigError, match="'p' has no inputs"):
        timing_problem(CodeProblem("p", "", "total", ()))


def test_problems_of_enamel(bubblewrap: None) -> None:
    """References pass their own tests under the timing limits; problem 1 uses a helper that the file lacks."""
    folder = os.environ.get("GCSL_TEST_DATA")
    path = Path(folder or "") / "enamel.csv"
    if not folder or not path.exists():
        pytest.skip("GCSL_TEST_DATA does not name a folder with enamel.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = {row["task_id"]: enamel_problem(row) for row in csv.DictReader(file)}
    chosen = {f"HumanEval/{number}": rows[f"HumanEval/{number}"] for number in (0, 32, 38, 40, 95, 1)}
    programs = [Program(name, f"{one.scaling.reference}\n# again\n") for name, one in chosen.items() if one.scaling]
    *found, helper = relative_times(programs, chosen, repeats=1)
    assert [math.isfinite(one.relative) for one in found] == [True] * 5
    assert "rand_parens" in helper.reason


def enamel_problem(row: dict[str, str]) -> CodeProblem:
    reference = f"{row['prompt']}\n{row['reference_solution']}"
    sizes = tuple(map(int, row["input_levels"].split()))
    scaling = Scaling(row["input_generator"], sizes, reference, row["checker"])
    return CodeProblem(row["task_id"], row["prompt"], row["entry_point"], (), scaling=scaling)
