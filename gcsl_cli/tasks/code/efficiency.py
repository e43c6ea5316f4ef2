"""How fast programs are: their processor time on inputs of growing size, beside that of a fast reference.

    Timing(relative=3.1, reason="", seconds=0.31, reference_seconds=0.1, floor_seconds=0.01)

The relative time of a program is 1 where it is as fast as the reference, 2 where it takes twice as long. Inputs have
the form of ENAMEL (Qiu et al., 2024, arXiv 2406.06647); its own score divides by a time limit and is another one.

Times are taken from outside, over a whole run. What a run costs by itself (starting, loading, decoding the inputs) is
what an empty program takes, and is subtracted. What is left in both is encoding the answers, which draws relative times
towards 1 where answers are long; their order stays. Repeats are minima, because other work only ever adds time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.code.records import CodeProblem
from gcsl_cli.tasks.code.sandbox.engine import Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, Verdict, grade
from gcsl_cli.tasks.code.sandbox.limits import MEBIBYTE, Limits

# Inputs a level: the generators of ENAMEL alternate between two kinds.
CASES = 2
# Twenty times what the slowest reference of ENAMEL takes. Generator, reference and checker count as wall time.
TIMING_LIMITS = Limits(
    cpu_seconds=10.0, wall_seconds=60.0, memory_bytes=1024 * MEBIBYTE, output_bytes=64 * MEBIBYTE, processes=1
)
# What is less than this share of the empty program's time cannot be told from nothing, and counts as this much. Other
# work adds to each run a time that is about exponential, of mean s; minima of n runs of two equal programs then differ
# by more than x with probability exp(-x n / s). s is a quarter of the empty program's time (measured on two busy
# cores), so 3 s / n = 0.15 at n = 5 is exceeded in 5 of 100 cases. The share is fixed, and not measured each time, so
# that relative times of different runs can be compared.
FLOOR_SHARE = 0.15
# Relative times within this factor of each other are the same: on two cores that others kept busy, relative times of
# five rounds varied by 10 % (median absolute deviation).
TIE = 1.1
# Loaded in every run, so that a program does not pay for what its reference happens not to import.
COMMON = (
    *("bisect", "collections", "copy", "functools", "heapq", "itertools"),
    *("math", "operator", "random", "re", "string", "typing"),
)

# Everything is in a closure: the stand-in of the candidate may have any name.
_SETUP = '''
def _prepared(reference, generator, checker, entry):
    """One test, from data that are texts; the reference has names of its own and so calls itself where it recurs."""
    import random
    from copy import deepcopy

    own = {}
    exec(reference, own)
    names = {}
    exec("import math, random, string, time", names)
    names.update(own)
    exec(generator, names)
    exec(checker or "def __check(input, answer, output): return output == answer", names)
    generate, check, solve = names["generate_input"], names["__check"], own[entry]

    def case(level, number, size):
        random.seed(f"{level} {number}")
        given = generate(size=size, lid=level, cid=number)
        output = candidate(*deepcopy(given))
        assert check(given, solve(*deepcopy(given)), output)

    return case

'''


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast a program is. Times are seconds of processor time above the empty program's, not yet at the floor."""

    relative: float
    """To the reference; infinite where the program fails a test or exceeds a limit, NaN where it cannot be timed."""
    reason: str = ""
    """Why there is no finite relative time: the program's error, or what is wrong with the problem."""
    seconds: float = math.nan
    reference_seconds: float = math.nan
    floor_seconds: float = math.nan


def timing_problem(problem: CodeProblem, cases: int = CASES) -> Problem:
    """The problem with one test for each of `cases` inputs a level, smallest size first.

    Generator, checker and reference are run by the process of the tests, which a candidate does not reach. Inputs are
    the same in every run. Tests go on after one that failed, so all inputs arrive even where every answer is wrong.

    Raises:
        ConfigError: it has no inputs of growing size, or no case is asked for.
    """
    scaling = problem.scaling
    if scaling is None:
        raise ConfigError(f"problem {problem.identity!r} has no inputs of growing size (`scaling`) to time it on.")
    if cases < 1:
        raise ConfigError(f"cases={cases} time nothing; allowed: 1 or more.")
    texts = ", ".join(map(repr, (scaling.reference, scaling.generator, scaling.checker, problem.entry_point)))
    tests = tuple(
        f"_case({level}, {case}, {size})" for level, size in enumerate(scaling.sizes) for case in range(cases)
    )
    return Problem(problem.identity, tests, problem.entry_point, f"{_SETUP}_case = _prepared({texts})\n")


def relative_times(
    programs: Sequence[Program],
    problems: Mapping[str, CodeProblem],
    *,
    workers: int = 1,
    repeats: int = 5,
    cases: int = CASES,
    limits: Limits = TIMING_LIMITS,
    sandbox: Sandbox | None = None,
) -> list[Timing]:
    """How fast each program is, in their order; equal programs are run once.

    Only programs that passed their problems' other tests are worth the time. A program cannot lower the time of its
    run, but one that was written against gcsl can save a part of the costs that the empty program stands for.

    Args:
        programs: complete, as the grader takes them.
        problems: by identity.
        workers: programs at a time; more than one disturb each other.
        repeats: rounds, in each of which every program is run next to its reference and the empty program.
        cases: inputs a level.
        limits: of each run. Only one process is allowed, whatever they say: the kernel does not count the time of a
            child whose parent ignores SIGCHLD.
        sandbox: where they run.

    Raises:
        ConfigError: a program of an unknown problem, no repeat or worker, or a sandbox that does not tell times.
        DependencyError: the sandbox does not work here.
    """
    if repeats < 1:
        raise ConfigError(f"repeats={repeats} time nothing; allowed: 1 or more.")
    if sandbox is not None and sandbox.kind == "docker":
        raise ConfigError(
            "task.sandbox.kind=docker does not tell processor time; allowed for timing: bubblewrap, rlimit."
        )
    for program in programs:
        if program.identity not in problems:
            raise ConfigError(f"a program belongs to {program.identity!r}, which is not among the problems.")
    asked = {program.identity: problems[program.identity] for program in programs}
    rounds = _Rounds(asked, cases, workers, replace(limits, processes=1), sandbox)
    rounds.try_references()
    waiting = sorted(dict.fromkeys(programs), key=lambda program: program.identity)
    for _ in range(repeats):
        rounds.run(waiting)
    return [rounds.timing(program) for program in programs]


class _Rounds:
    """What was measured so far."""

    def __init__(
        self,
        problems: Mapping[str, CodeProblem],
        cases: int,
        workers: int,
        limits: Limits,
        sandbox: Sandbox | None,
    ) -> None:
        self.workers, self.limits, self.sandbox = workers, limits, sandbox
        self.problems: dict[str, Problem] = {}
        self.references: dict[str, Program] = {}
        self.empty: dict[str, Program] = {}
        for identity, problem in problems.items():
            if problem.scaling is not None:
                self.problems[identity] = timing_problem(problem, cases)
                self.references[identity] = Program(identity, problem.scaling.reference)
                self.empty[identity] = Program(identity, f"def {problem.entry_point}(*args, **kwargs):\n    pass\n")
        self.untimed = dict.fromkeys(problems.keys() - self.problems.keys(), "no inputs of growing size")
        self.failed: dict[Program, str] = {}
        self.seconds: dict[Program, float] = {}

    def try_references(self) -> None:
        """Leave out problems that do not work, before a candidate could share a process with their tests."""
        self._graded(list(self.references.values()))
        self.seconds.clear()

    def run(self, programs: Sequence[Program]) -> None:
        """One round over what has not failed."""
        left = [one for one in programs if one.identity not in self.untimed and one not in self.failed]
        beside = [run for one in left for run in (self.empty[one.identity], self.references[one.identity], one)]
        self._graded(list(dict.fromkeys(beside)))

    def _graded(self, runs: Sequence[Program]) -> None:
        if not runs:
            return
        alike = [Program(run.identity, _with_common_modules(run.code)) for run in runs]
        verdicts = grade(alike, self.problems, workers=self.workers, limits=self.limits, sandbox=self.sandbox)
        for run, verdict in zip(runs, verdicts, strict=True):
            self.seconds[run] = min(self.seconds.get(run, math.inf), verdict.cpu_seconds)
            if not verdict.solved:
                self.failed.setdefault(run, _described(verdict))
            if run == self.references[run.identity] and (not verdict.solved or verdict.together):
                why = "values that are not plain" if verdict.together else _described(verdict)
                self.untimed.setdefault(run.identity, f"reference: {why}")

    def timing(self, program: Program) -> Timing:
        """What the rounds say of one program."""
        if program.identity in self.untimed:
            return Timing(math.nan, self.untimed[program.identity])
        if program in self.failed:
            return Timing(math.inf, self.failed[program])
        base = self.seconds[self.empty[program.identity]]
        seconds, reference = self.seconds[program] - base, self.seconds[self.references[program.identity]] - base
        floor = FLOOR_SHARE * base
        return Timing(max(seconds, floor) / max(reference, floor), "", seconds, reference, floor)


def _with_common_modules(code: str) -> str:
    """The program with an expression at its end that loads modules and binds no name."""
    return f"{code}\n[__import__(module) for module in {COMMON!r}]\n"


def _described(verdict: Verdict) -> str:
    return f"{verdict.error} ({verdict.message})" if verdict.message else verdict.error


def percentile(relative: float, known: NDArray[np.float64]) -> float:
    """The share of known relative times that are slower than this one, ties counting half; from 0 to 1.

    Relative times within a factor of `TIE` are ties, infinite ones among themselves as well.

    Args:
        relative: of a program; NaN gives NaN.
        known: of solutions that pass, shape (solutions,); NaN is left out, and where nothing is left the share is NaN.
    """
    timed = known[~np.isnan(known)]
    if math.isnan(relative) or not timed.size:
        return math.nan
    slower, faster = timed > relative * TIE, timed * TIE < relative
    return float(np.mean(np.where(slower, 1.0, np.where(faster, 0.0, 0.5))))
