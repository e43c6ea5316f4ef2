"""Time programs on inputs of growing size, relative to a fast reference.

    Timing(relative=3.1, reason="", seconds=0.31, reference_seconds=0.1, floor_seconds=0.01)

A relative time of 1 means as fast as the reference, 2 twice as slow. Inputs are in the format of ENAMEL (Qiu et al.,
2024, arXiv 2406.06647), whose own score is a different one: it relates times to a time limit.

Times are CPU times of whole runs, measured from outside. The fixed cost of a run (startup, loading, decoding the
inputs) is that of an empty program and is subtracted. What remains in both times is the cost of encoding the answers,
which draws relative times towards 1 if answers are long but preserves their order. Repeats are reduced to their
minimum, because other load on the machine can only add time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gcsl_cli.errors import ConfigError
from gcsl_cli.tasks.code.problems import CodeProblem
from gcsl_cli.tasks.code.sandbox.backends import Sandbox
from gcsl_cli.tasks.code.sandbox.grader import Problem, Program, grade
from gcsl_cli.tasks.code.sandbox.limits import MEBIBYTE, Limits

# Inputs per level: ENAMEL's generators alternate between two kinds.
CASES = 2
# Twenty times the CPU time of ENAMEL's slowest reference. Generator, reference and checker count as wall time.
TIMING_LIMITS = Limits(
    cpu_seconds=10.0, wall_seconds=60.0, memory_bytes=1024 * MEBIBYTE, output_bytes=64 * MEBIBYTE, processes=1
)
# Times below this share of the empty program's time are indistinguishable from zero and are raised to it. Other load
# adds an approximately exponential time with mean s to each run. The minima of n runs of two equal programs therefore
# differ by more than x with probability exp(-x n / s). With s a quarter of the empty program's time (measured on two
# busy cores) and n = 5, 3 s / n = 0.15 is exceeded in 5 of 100 cases. The share is fixed rather than measured so that
# relative times are comparable across runs.
FLOOR_SHARE = 0.15
# Imported in every run, so that a program is not charged for modules that its reference happens not to import. This is
# an expression, so that it binds no name.
_IMPORTS = """
[__import__(module) for module in ("bisect", "collections", "copy", "functools", "heapq", "itertools", "math",
                                   "operator", "random", "re", "string", "typing")]
"""

# Everything is local to a function, because the candidate's stand-in may have any global name.
_SETUP = '''
def _prepared(reference, generator, checker, entry):
    """Build the test function. The reference gets its own namespace, so that its recursive calls reach itself."""
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
        arguments = generate(size=size, lid=level, cid=number)
        output = candidate(*deepcopy(arguments))
        assert check(arguments, solve(*deepcopy(arguments)), output)

    return case

'''


@dataclass(frozen=True, slots=True)
class Timing:
    """Speed of a program. Times are CPU seconds above the empty program's, before the floor is applied."""

    relative: float
    """Time relative to the reference; infinite if the program fails a test or exceeds a limit, NaN if it cannot be
    timed."""
    reason: str = ""
    """Why there is no finite relative time: the program's error, or what is wrong with the problem."""
    seconds: float = math.nan
    reference_seconds: float = math.nan
    floor_seconds: float = math.nan


def timing_problem(problem: CodeProblem, cases: int = CASES) -> Problem:
    """Turn the inputs of growing size into tests: `cases` per level, smallest size first.

    Generator, checker and reference run in the tester process, out of the candidate's reach. Inputs are the same in
    every run. A failed test does not stop the next ones, so a program is timed on all inputs even if its answers are
    wrong.

    Raises:
        ConfigError: The problem has no inputs of growing size, or `cases` is below 1.
    """
    scaling = problem.scaling
    if scaling is None:
        raise ConfigError(f"problem {problem.identity!r} has no inputs of growing size (`scaling`) to time it on.")
    if cases < 1:
        raise ConfigError(f"cases={cases} is out of range; allowed: 1 or more.")
    texts = ", ".join(map(repr, (scaling.reference, scaling.generator, scaling.checker, problem.entry_point)))
    tests = tuple(
        f"_case({level}, {case}, {size})" for level, size in enumerate(scaling.sizes) for case in range(cases)
    )
    setup = f"{_SETUP}_case = _prepared({texts})\n"
    return Problem(problem.identity, tests, problem.entry_point, setup, reference=scaling.reference)


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
    """Time each program, in order; equal programs are timed once.

    Only programs that pass their problems' other tests are worth timing. A program cannot lower the measured time of
    its run, but one that is written against gcsl can avoid some of the fixed costs that the empty program stands for.

    In each of `repeats` rounds, every program runs next to its reference and the empty program, on `cases` inputs per
    level. With more than one worker, programs run in parallel and disturb each other. Only one process is allowed
    whatever `limits` says: the kernel does not count the time of a child whose parent ignores SIGCHLD.

    Raises:
        ConfigError: A program belongs to an unknown problem, `repeats` or `workers` is below 1, or the sandbox does not
            report CPU time.
        DependencyError: The sandbox does not work here.
    """
    if repeats < 1:
        raise ConfigError(f"repeats={repeats} is out of range; allowed: 1 or more.")
    if sandbox is not None and sandbox.kind == "docker":
        raise ConfigError("task.sandbox.kind=docker does not report CPU time; allowed for timing: bubblewrap, rlimit.")
    for program in programs:
        if program.identity not in problems:
            raise ConfigError(f"a program belongs to problem {program.identity!r}, which is not in `problems`.")
    needed = {program.identity: problems[program.identity] for program in programs}
    rounds = _Rounds(needed, cases, workers, replace(limits, processes=1), sandbox)
    rounds.try_references()
    unique = sorted(dict.fromkeys(programs), key=lambda program: program.identity)
    for _ in range(repeats):
        rounds.run(unique)
    return [rounds.timing(program) for program in programs]


class _Rounds:
    """Measurements so far."""

    def __init__(
        self, problems: Mapping[str, CodeProblem], cases: int, workers: int, limits: Limits, sandbox: Sandbox | None
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
        """Exclude unusable problems before any candidate could share a process with their tests."""
        self._grade(list(self.references.values()))
        self.seconds.clear()

    def run(self, programs: Sequence[Program]) -> None:
        """Run one round of all programs that have not failed."""
        left = [one for one in programs if one.identity not in self.untimed and one not in self.failed]
        runs = [run for one in left for run in (self.empty[one.identity], self.references[one.identity], one)]
        self._grade(list(dict.fromkeys(runs)))

    def timing(self, program: Program) -> Timing:
        """Evaluate the measurements of one program."""
        if program.identity in self.untimed:
            return Timing(math.nan, self.untimed[program.identity])
        if program in self.failed:
            return Timing(math.inf, self.failed[program])
        base = self.seconds[self.empty[program.identity]]
        seconds, reference = self.seconds[program] - base, self.seconds[self.references[program.identity]] - base
        floor = FLOOR_SHARE * base
        return Timing(max(seconds, floor) / max(reference, floor), "", seconds, reference, floor)

    def _grade(self, runs: Sequence[Program]) -> None:
        if not runs:
            return
        programs = [Program(run.identity, run.code + _IMPORTS) for run in runs]
        verdicts = grade(programs, self.problems, workers=self.workers, limits=self.limits, sandbox=self.sandbox)
        for run, verdict in zip(runs, verdicts, strict=True):
            self.seconds[run] = min(self.seconds.get(run, math.inf), verdict.cpu_seconds)
            if not verdict.solved:
                self.failed.setdefault(run, verdict.cause)
            if run == self.references[run.identity] and (not verdict.solved or verdict.together):
                why = "its tests need values that are not plain" if verdict.together else verdict.cause
                self.untimed.setdefault(run.identity, f"reference: {why}")
